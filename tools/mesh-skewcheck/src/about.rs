//! Tells what the rules are: `--list-rules` and `--explain`.

use std::fmt::Write as _;

use mesh_records::{Ask, Decided, Explained, Rule, Severity};
use serde::Serialize;

use crate::rule::{Weight, is_mandatory, severity};

/// A paragraph for each rule: its id, then a line for each field of [`About`].
const TEXT: &str = include_str!("about.txt");
const QUESTIONS: [Ask; 4] = [Ask::Upgrade, Ask::Drift, Ask::Roll, Ask::Done];
const WIDTH: usize = 80;

/// What a person should know about a rule. Its lines in `--list-rules -o ndjson` have the type
/// `rule`, which no tool reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct About {
    r#type: &'static str,
    id: &'static str,
    waivable: bool,
    /// By question, where the rule belongs to it.
    severity: Vec<Graded>,
    means: &'static str,
    matters: &'static str,
    r#do: &'static str,
    page: &'static str,
}

/// How bad a broken rule is for a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Graded {
    ask: Ask,
    broken: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    cannot_tell: Option<Severity>,
}

/// Returns all rules as a table.
pub(crate) fn table() -> String {
    let mut text = row(["RULE", "UPGRADE", "DRIFT", "ROLL", "DONE", "WAIVABLE"]);
    for rule in Rule::ALL {
        let [upgrade, drift, roll, done] = QUESTIONS.map(|ask| word(grade(*rule, ask)));
        let waivable = if is_mandatory(*rule) { "no" } else { "yes" };
        text += &row([rule.as_str(), upgrade, drift, roll, done, waivable]);
    }
    text
}

/// Returns all rules, one JSON object per line.
pub(crate) fn lines() -> serde_json::Result<String> {
    let mut text = String::new();
    for rule in Rule::ALL {
        text += &serde_json::to_string(&about(*rule))?;
        text.push('\n');
    }
    Ok(text)
}

/// Explains the rule with this id.
///
/// # Errors
/// There is no such rule.
pub(crate) fn explain(id: &str) -> Result<String, Explained> {
    let rule = Rule::named(id).ok_or_else(|| {
        let hint = "mesh-skewcheck --list-rules lists the rules";
        Explained::new(format!("no rule has the name `{id}`"), hint)
    })?;
    let About {
        id,
        waivable,
        means,
        matters,
        r#do,
        page,
        ..
    } = about(rule);
    let graded = QUESTIONS.map(|ask| format!("{ask} {}", word(grade(rule, ask))));
    let accepted = match waivable {
        true => "It can be accepted: --waivers FILE.",
        false => "It is mandatory: nothing can accept it.",
    };
    let graded = format!("Severity by question: {}. {accepted}", graded.join(", "));
    let paragraphs = [means, matters, r#do, &graded].map(wrapped);
    Ok(format!("{id}\n\n{}\n{page}\n", paragraphs.join("\n")))
}

fn grade(rule: Rule, ask: Ask) -> Option<Severity> {
    severity(rule, ask, Decided::Yes, Weight::Full)
}

fn about(rule: Rule) -> About {
    let graded = |ask| {
        Some(Graded {
            ask,
            broken: grade(rule, ask)?,
            cannot_tell: severity(rule, ask, Decided::CannotTell, Weight::Full),
        })
    };
    let id = rule.as_str();
    About {
        r#type: "rule",
        id,
        waivable: !is_mandatory(rule),
        severity: QUESTIONS.into_iter().filter_map(graded).collect(),
        means: field(id, "means: "),
        matters: field(id, "matters: "),
        r#do: field(id, "do: "),
        page: field(id, "page: "),
    }
}

fn field(id: &str, field: &str) -> &'static str {
    let mut paragraphs = TEXT.split("\n\n").map(str::lines);
    let own = paragraphs.find_map(|mut lines| (lines.next() == Some(id)).then_some(lines));
    let line = own.and_then(|mut lines| lines.find_map(|line| line.strip_prefix(field)));
    line.unwrap_or_default()
}

fn word(severity: Option<Severity>) -> &'static str {
    match severity {
        Some(Severity::Error) => "error",
        Some(Severity::Warning) => "warning",
        Some(Severity::Info) => "info",
        None => "-",
    }
}

fn row([id, upgrade, drift, roll, done, waivable]: [&str; 6]) -> String {
    format!("{id:<28} {upgrade:<8} {drift:<8} {roll:<8} {done:<8} {waivable}\n")
}

fn wrapped(text: &str) -> String {
    let mut wrapped = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        let gap = match width {
            0 => "",
            _ if width + 1 + length > WIDTH => "\n",
            _ => " ",
        };
        width = if gap == "\n" { 0 } else { width + gap.len() } + length;
        // Writing to a String cannot fail.
        let _ = write!(wrapped, "{gap}{word}");
    }
    wrapped.push('\n');
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_and_nothing_else_is_explained_in_four_fields() {
        let ids: Vec<&str> = TEXT
            .split("\n\n")
            .filter_map(|it| it.lines().next())
            .collect();
        let rules: Vec<&str> = Rule::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(ids, rules);
        for rule in Rule::ALL {
            let About {
                id,
                means,
                matters,
                r#do,
                page,
                ..
            } = about(*rule);
            for text in [means, matters, r#do] {
                assert!(text.ends_with('.'), "{id}: {text}");
            }
            assert!(page.starts_with("https://"), "{id}: {page}");
            let shown = explain(id).unwrap();
            assert!(
                shown.lines().all(|line| line.chars().count() <= WIDTH),
                "{shown}"
            );
        }
    }

    #[test]
    fn the_list_has_each_rule_with_its_severities() {
        let table = table();
        let line = |id: &str| {
            table
                .lines()
                .find(|line| line.starts_with(id))
                .unwrap()
                .to_owned()
        };
        let words = |id: &str| {
            line(id)
                .split_whitespace()
                .skip(1)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(words("hop-skips-minor"), "error - - - no");
        assert_eq!(words("crds-behind"), "info warning warning error yes");
        assert!(table.lines().all(|line| line.len() <= WIDTH));
        let lines = lines().unwrap();
        assert_eq!(lines.lines().count(), Rule::ALL.len());
        let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(first["id"], "proxy-too-old");
        assert_eq!(first["severity"][2]["ask"], "roll");
        assert_eq!(first["severity"][2]["broken"], "info");
    }

    #[test]
    fn an_explanation_says_whether_the_rule_can_be_accepted() {
        let mandatory = explain("downgrade").unwrap();
        assert!(
            mandatory.contains("upgrade error, drift -, roll -, done -"),
            "{mandatory}"
        );
        assert!(mandatory.contains("nothing can accept it"), "{mandatory}");
        assert!(explain("proxy-behind").unwrap().contains("--waivers FILE"));
        let error = explain("proxy-behnd").unwrap_err();
        assert!(error.to_string().contains("`proxy-behnd`"), "{error}");
    }
}
