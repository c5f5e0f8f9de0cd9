//! Tests that every finding says what to do, and that nothing names a flag that is not there.

use clap::CommandFactory as _;
use serde_json::{Value, json};

use super::dice::{Dice, QUESTIONS, any_world};
use super::world::judge;
use crate::args::Args;

/// The texts for people of a finding or a verdict.
fn texts(record: &Value) -> impl Iterator<Item = &str> {
    let fields = ["message", "hint", "next"];
    fields
        .into_iter()
        .filter_map(|field| record[field].as_str())
}

#[test]
fn every_error_and_every_warning_says_what_to_do() {
    let mut dice = Dice::new(11);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..120 {
        let survey = any_world(&mut dice).survey();
        for args in QUESTIONS {
            let judged = judge(args, &survey);
            for finding in judged.of_type("finding") {
                let hint = finding.get("hint");
                let is_said = hint.is_some() || finding["severity"] == "info";
                assert!(is_said, "{args:?}: {finding}");
                seen.insert((finding["id"].clone().to_string(), hint.is_some()));
            }
        }
    }
    assert!(seen.len() > 30, "the worlds break few rules: {seen:?}");
}

#[test]
fn no_finding_names_a_flag_of_this_tool_that_is_not_there() {
    let command = Args::command();
    let flags = command.get_arguments().filter_map(|it| it.get_long());
    let flags: Vec<String> = flags.map(|it| format!("--{it}")).collect();
    let mut dice = Dice::new(12);
    for _ in 0..60 {
        let survey = any_world(&mut dice).survey();
        for args in QUESTIONS {
            let judged = judge(args, &survey);
            let records = judged.records.iter();
            for text in records.flat_map(texts) {
                let commands = text.split("mesh-skewcheck ").skip(1);
                let own = commands.flat_map(|it| it.split('|').next());
                let mut words = own.flat_map(str::split_whitespace);
                let unknown =
                    words.find(|it| it.starts_with("--") && !flags.contains(&(*it).to_owned()));
                assert_eq!(unknown, None, "{text}");
            }
        }
    }
    assert!(flags.contains(&"--ask".to_owned()));
    assert_eq!(json!(flags.len() > 10), json!(true));
}
