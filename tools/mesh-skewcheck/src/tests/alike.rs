//! Workloads that differ in nothing but their names are judged once, and nobody can tell.

use serde_json::json;

use super::dice::{Dice, QUESTIONS, any_world, cases};
use super::world::{FIRST, World, asked, run_asked, spelled, workload};
use crate::alike::Split;
use crate::seen::Seen;

/// The same fields in an order in which nothing is remembered; as many bytes, so that an error names
/// the same column.
const ELSE: [&str; 8] = [
    "type",
    "cluster",
    "namespace",
    "kind",
    "name",
    "uid",
    "control_plane",
    "labels",
];

/// Makes a cluster of which some workloads have labels.
fn labelled_world(dice: &mut Dice) -> World {
    let mut world = any_world(dice);
    for one in &mut world.workloads {
        match dice.roll(4) {
            0 => one["labels"] = json!({"team": "shop"}),
            1 => one["labels"] = json!({"app": "é", "team": dice.pick(&["a", "\n", "}"])}),
            2 => one["labels"] = [json!({}), json!(null), json!({"a": [1]})][dice.roll(3)].clone(),
            _ => {}
        }
    }
    world
}

/// Damages a line from the byte `from` on.
fn damaged(line: &str, from: usize, dice: &mut Dice) -> String {
    let (start, rest) = line.as_bytes().split_at(from);
    let mut rest = rest.to_vec();
    dice.damage(&mut rest);
    // What is not UTF-8 never gets so far.
    String::from_utf8_lossy(&[start, &rest].concat()).into_owned()
}

fn without_name(mut seen: Seen<'_>) -> String {
    seen.namespace = "".into();
    seen.name = "".into();
    seen.uid = "".into();
    format!("{seen:?}")
}

#[test]
fn what_follows_the_name_decides_whether_a_line_is_valid_and_what_it_says() {
    let mut dice = Dice::new(8);
    let (mut valid, mut invalid) = (0, 0);
    for _ in 0..cases(5_000) {
        let world = labelled_world(&mut dice);
        let line = spelled(dice.pick(&world.workloads), &FIRST);
        let from = dice.roll(line.len());
        let line = damaged(&line, if dice.once_in(2) { 0 } else { from }, &mut dice);
        let Some(split) = Split::of(&line) else {
            continue;
        };
        let Split {
            kind,
            control_plane,
            rest,
            ..
        } = split;
        let other = format!(
            "{{\"type\":\"workload\",\"cluster\":\"\",\"ref\":\"\",\"kind\":\"{kind}\",\
             \"namespace\":\"any\",\"name\":\"\",\"uid\":\"é\",\
             \"control_plane\":\"{control_plane}\"{rest}"
        );
        let one: Result<Seen<'_>, _> = serde_json::from_str(&line);
        let other: Result<Seen<'_>, _> = serde_json::from_str(&other);
        match (one, other) {
            (Ok(one), Ok(other)) => {
                let name = (&*one.namespace, one.kind.as_str(), &*one.name, &*one.uid);
                assert_eq!(name, (split.namespace, kind, split.name, split.uid));
                assert_eq!(without_name(one), without_name(other), "{line}");
                valid += 1;
            }
            (Err(_), Err(_)) => invalid += 1,
            (one, other) => panic!("{line}: {one:?}, but {other:?}"),
        }
    }
    assert!(valid > 100 && invalid > 100, "{valid} {invalid}");
}

/// Makes a cluster in which each workload comes several times, under other names and kinds.
fn world_of_copies(dice: &mut Dice) -> World {
    let mut world = labelled_world(dice);
    let mut copies = Vec::new();
    for (index, one) in world.workloads.iter().enumerate() {
        for copy in 0..6 {
            let mut one = one.clone();
            one["name"] = json!(format!("w{index}-{copy}"));
            if dice.once_in(4) {
                one["kind"] = json!(dice.pick(&["StatefulSet", "DaemonSet", "Pod", "Odd"]));
            }
            copies.push(one);
        }
    }
    world.workloads = copies;
    world
}

/// Writes the survey with these fields first; in every second one, the last workload is damaged behind
/// its name.
fn survey(world: &World, first: &[&str], seed: u64) -> String {
    let mut dice = Dice::new(seed);
    let ended = world.survey();
    let mut text: Vec<String> = ended.lines().map(str::to_owned).collect();
    let start = text.len() - 1 - world.workloads.len();
    for (index, one) in world.workloads.iter().enumerate() {
        text[start + index] = spelled(one, first);
    }
    let last = start + world.workloads.len() - 1;
    if dice.once_in(2) {
        let from = text[last].find("\"control_plane\"").unwrap();
        text[last] = damaged(&text[last], from, &mut dice);
    }
    text.join("\n") + "\n"
}

#[test]
fn a_survey_is_judged_alike_whether_workloads_are_remembered_or_not() {
    let mut dice = Dice::new(9);
    let questions = QUESTIONS.map(asked);
    let (mut right, mut wrong) = (0, 0);
    for seed in 0..cases(500) as u64 {
        let world = world_of_copies(&mut dice);
        let question = dice.pick(&questions);
        let judged = |first: &[&str]| {
            let mut text = Vec::new();
            let exit = run_asked(question, survey(&world, first, seed).as_bytes(), &mut text);
            (String::from_utf8(text).unwrap(), exit)
        };
        let (mut remembered, exit) = judged(&FIRST);
        for one in &world.workloads {
            let kind = format!("\"kind\":{}", one["kind"]);
            let namespace = format!("\"namespace\":{}", one["namespace"]);
            let begin = "{\"type\":\"workload\",\"cluster\":\"eu\",";
            remembered = remembered.replace(
                &format!("{begin}{kind},{namespace}"),
                &format!("{begin}{namespace},{kind}"),
            );
        }
        match exit {
            Ok(_) => right += 1,
            Err(_) => wrong += 1,
        }
        assert_eq!((remembered, exit), judged(&ELSE));
    }
    assert!(right > 30 && wrong > 30, "{right} {wrong}");
}

#[test]
fn a_name_that_is_not_plain_is_never_remembered() {
    let line = spelled(&workload("web", "stable-2.13.7"), &FIRST);
    assert!(Split::of(&line).is_some());
    for (from, to) in [
        ("\"web\"", "\"w\\u0065b\""),
        ("\"web\"", "\"w\teb\""),
        ("\"web\"", "null"),
        ("\"web\"", "\"web\" "),
        ("\"web\"", "\"web"),
        ("\"kind\"", "\"k\\u0069nd\""),
        ("\"kind\"", " \"kind\""),
        ("{", "{ "),
    ] {
        let line = line.replacen(from, to, 1);
        assert!(Split::of(&line).is_none(), "{line}");
    }
}
