//! Every record, as one enum.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::clean::clean;
use crate::{
    Anomaly, ControlPlane, DryRun, End, Extension, Finding, Intent, Plan, Progress, Proxy, Rolled,
    Skipped, Step, Stream, Tool, Unseen, Verdict, Workload,
};

/// One record with its type. Filters work on [`RawLine`](crate::RawLine)s, which keep the bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// Begins a tool's output.
    Stream(Box<Stream>),
    /// A control plane; comes before its workloads.
    ControlPlane(Box<ControlPlane>),
    /// An extension such as viz.
    Extension(Extension),
    /// The owner of pods that are meshed or should be meshed.
    Workload(Box<Workload>),
    /// One proxy (`mesh-survey --pods`).
    Proxy(Box<Proxy>),
    /// Something unusual about a workload that no rule describes.
    Anomaly(Anomaly),
    /// A request that the survey could not make or that was refused.
    Unseen(Unseen),
    /// The result of one rule.
    Finding(Box<Finding>),
    /// The steps to the target.
    Plan(Plan),
    /// The answer to the question, one for each cluster and control plane.
    Verdict(Box<Verdict>),
    /// What an action will do, in order.
    Intent(Intent),
    /// A step of a control-plane upgrade, or the gate between two waves of a roll.
    Step(Box<Step>),
    /// How far a rollout has come; also written before each write to the cluster.
    Progress(Box<Progress>),
    /// The result for a workload that was rolled.
    Rolled(Box<Rolled>),
    /// A workload that was not rolled, and why.
    Skipped(Box<Skipped>),
    /// Ends a tool's output.
    End(Box<End>),
}

/// The types that this schema knows. Any other type is `Foreign` and passes a filter unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the variants of `Record`, documented there")]
pub enum RecordType {
    Stream,
    ControlPlane,
    Extension,
    Workload,
    Proxy,
    Anomaly,
    Unseen,
    Finding,
    Plan,
    Verdict,
    Intent,
    Step,
    Progress,
    Rolled,
    Skipped,
    End,
    Foreign,
}

// === impl Record ===

impl Record {
    /// Returns the record's type.
    #[must_use]
    pub fn kind(&self) -> RecordType {
        match self {
            Self::Stream(_) => RecordType::Stream,
            Self::ControlPlane(_) => RecordType::ControlPlane,
            Self::Extension(_) => RecordType::Extension,
            Self::Workload(_) => RecordType::Workload,
            Self::Proxy(_) => RecordType::Proxy,
            Self::Anomaly(_) => RecordType::Anomaly,
            Self::Unseen(_) => RecordType::Unseen,
            Self::Finding(_) => RecordType::Finding,
            Self::Plan(_) => RecordType::Plan,
            Self::Verdict(_) => RecordType::Verdict,
            Self::Intent(_) => RecordType::Intent,
            Self::Step(_) => RecordType::Step,
            Self::Progress(_) => RecordType::Progress,
            Self::Rolled(_) => RecordType::Rolled,
            Self::Skipped(_) => RecordType::Skipped,
            Self::End(_) => RecordType::End,
        }
    }

    /// The record as a run of an action writes it: with the run's id, and, where nothing is
    /// written, with a sentence that says so.
    #[must_use]
    pub fn of_run(mut self, run: &str, dry_run: Option<DryRun>) -> Self {
        // An intent says what to do; every other sentence says what is so.
        let mut mark = "dry run: ";
        if let Self::Intent(intent) = &mut self {
            intent.dry_run = dry_run;
            mark = "would ";
        }
        let Some((own, message)) = self.run_and_message() else {
            return self;
        };
        *own = Some(run.to_owned());
        if dry_run.is_some() && !message.starts_with("would ") {
            message.insert_str(0, mark);
        }
        self
    }

    /// Returns the record with control characters escaped in every sentence for people.
    #[must_use]
    pub fn cleaned(&self) -> Cow<'_, Self> {
        // The records of a survey with names only are many, and are not copied.
        if matches!(self, Self::Workload(_) | Self::Proxy(_)) {
            return Cow::Borrowed(self);
        }
        let mut record = self.clone();
        record.sentences().into_iter().for_each(clean);
        Cow::Owned(record)
    }

    fn sentences(&mut self) -> Vec<&mut String> {
        match self {
            Self::Anomaly(it) => vec![&mut it.message],
            Self::Unseen(it) => vec![&mut it.reason],
            Self::Finding(it) => [&mut it.message].into_iter().chain(&mut it.hint).collect(),
            Self::Verdict(it) => it.next.iter_mut().collect(),
            Self::Intent(it) => [&mut it.message]
                .into_iter()
                .chain(&mut it.warnings)
                .collect(),
            Self::Step(it) => [&mut it.message]
                .into_iter()
                .chain(&mut it.reason)
                .chain(&mut it.hint)
                .collect(),
            Self::Progress(it) => [&mut it.message]
                .into_iter()
                .chain(&mut it.reason)
                .collect(),
            Self::Rolled(it) => vec![&mut it.message],
            Self::Skipped(it) => vec![&mut it.message],
            Self::End(it) => it.reason.iter_mut().chain(&mut it.next).collect(),
            Self::Stream(_)
            | Self::ControlPlane(_)
            | Self::Extension(_)
            | Self::Workload(_)
            | Self::Proxy(_)
            | Self::Plan(_) => Vec::new(),
        }
    }

    fn run_and_message(&mut self) -> Option<(&mut Option<String>, &mut String)> {
        match self {
            Self::Intent(it) => Some((&mut it.run, &mut it.message)),
            Self::Step(it) => Some((&mut it.run, &mut it.message)),
            Self::Progress(it) => Some((&mut it.run, &mut it.message)),
            Self::Rolled(it) => Some((&mut it.run, &mut it.message)),
            Self::Skipped(it) => Some((&mut it.run, &mut it.message)),
            Self::Stream(_)
            | Self::ControlPlane(_)
            | Self::Extension(_)
            | Self::Workload(_)
            | Self::Proxy(_)
            | Self::Anomaly(_)
            | Self::Unseen(_)
            | Self::Finding(_)
            | Self::Plan(_)
            | Self::Verdict(_)
            | Self::End(_) => None,
        }
    }
}

// === impl RecordType ===

impl RecordType {
    /// The number of types that this schema knows.
    pub const COUNT: usize = Self::KNOWN.len();

    const KNOWN: [(Self, &'static str); 16] = [
        (Self::Stream, "stream"),
        (Self::ControlPlane, "control_plane"),
        (Self::Extension, "extension"),
        (Self::Workload, "workload"),
        (Self::Proxy, "proxy"),
        (Self::Anomaly, "anomaly"),
        (Self::Unseen, "unseen"),
        (Self::Finding, "finding"),
        (Self::Plan, "plan"),
        (Self::Verdict, "verdict"),
        (Self::Intent, "intent"),
        (Self::Step, "step"),
        (Self::Progress, "progress"),
        (Self::Rolled, "rolled"),
        (Self::Skipped, "skipped"),
        (Self::End, "end"),
    ];

    /// Returns the type with this name, or `Foreign` for an unknown name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let known = Self::KNOWN.iter().find(|(_, known)| *known == name);
        known.map_or(Self::Foreign, |(kind, _)| *kind)
    }

    /// Returns the name in the records; `foreign` for an unknown type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let known = Self::KNOWN.iter().find(|(kind, _)| *kind == self);
        known.map_or("foreign", |(_, name)| name)
    }

    /// Returns the tool that writes records of this type; `None` for types that no other tool
    /// reads.
    #[must_use]
    pub fn writer(self) -> Option<Tool> {
        match self {
            Self::ControlPlane
            | Self::Extension
            | Self::Workload
            | Self::Proxy
            | Self::Anomaly
            | Self::Unseen => Some(Tool::MeshSurvey),
            Self::Finding | Self::Plan | Self::Verdict => Some(Tool::MeshSkewcheck),
            Self::Stream
            | Self::Intent
            | Self::Step
            | Self::Progress
            | Self::Rolled
            | Self::Skipped
            | Self::End
            | Self::Foreign => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const EXAMPLES: &str = include_str!("../../../tests/contract/records.ndjson");

    fn examples() -> impl Iterator<Item = (Value, Record)> {
        EXAMPLES.lines().map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            (value, serde_json::from_str(line).unwrap())
        })
    }

    #[test]
    fn every_sentence_of_a_dry_run_says_so_and_every_record_of_an_action_has_its_run() {
        for (example, record) in examples().filter(|(example, _)| !example["run"].is_null()) {
            if let "stream" | "end" = example["type"].as_str().unwrap() {
                continue;
            }
            let said =
                |dry_run| serde_json::to_value(record.clone().of_run("r7", dry_run)).unwrap();
            let message = example["message"].as_str().unwrap();
            let (acts, dry) = (said(None), said(Some(DryRun::Server)));
            assert_eq!(
                (&acts["run"], &acts["message"]),
                (&json!("r7"), &json!(message))
            );
            let says = dry["message"].as_str().unwrap();
            let so = says.starts_with("would ") || says.starts_with("dry run: ");
            assert!(so && says.ends_with(message), "{says}");
            let is_intent = example["type"] == "intent";
            assert_eq!(dry["dry_run"] == "server", is_intent, "{dry}");
            assert_eq!(acts.get("dry_run"), None);
        }
    }

    #[test]
    fn control_characters_are_escaped_in_every_sentence_that_a_record_has() {
        let harmful = "a\u{1b}[2J\u{9b}\u{202e}\u{2066}\u{61c}\u{2028}\nb";
        let mut seen = 0;
        for (mut example, _) in examples() {
            let kind = example["type"].as_str().unwrap().to_owned();
            // The reason of these is a word of a closed set.
            let closed = ["skipped", "rolled"].contains(&&*kind);
            let mut fields = vec!["message", "hint", "next"];
            fields.extend((!closed).then_some("reason"));
            for field in fields {
                example[field] = json!(harmful);
            }
            let record: Record = serde_json::from_value(example).unwrap();
            let before = serde_json::to_string(&record).unwrap();
            seen += before.matches("\u{9b}").count();
            let text = serde_json::to_string(&record.cleaned()).unwrap();
            for raw in [
                r"\u001b", "\u{9b}", "\u{202e}", "\u{2066}", "\u{61c}", "\u{2028}", r"\n",
            ] {
                assert!(!text.contains(raw), "{kind}: {text}");
            }
        }
        assert_eq!(seen, 15, "sentences");
    }

    #[test]
    fn ref_is_made_of_the_parts_whatever_was_read() {
        let mut seen = 0;
        for (mut example, _) in examples().filter(|(example, _)| !example["ref"].is_null()) {
            let part = |name: &str| example[name].as_str().unwrap();
            let made = format!("{}/{}/{}", part("namespace"), part("kind"), part("name"));
            example["ref"] = json!("another/Deployment/entirely");
            let record: Record = serde_json::from_value(example).unwrap();
            assert_eq!(serde_json::to_value(record).unwrap()["ref"], json!(made));
            seen += 1;
        }
        assert_eq!(
            seen, 6,
            "workload, proxy, anomaly, progress, rolled, skipped"
        );
    }
}
