//! The answer of a verdict in a word, and the sentence that says what it means.

use mesh_records::{Ask, Verdict, VerdictScope};

use super::look::Tone;

// The answer first, in a word that means the same for every question.
pub(super) fn answer(verdict: &Verdict) -> (&'static str, Tone, String) {
    let Verdict {
        ask,
        pass,
        from,
        target,
        ..
    } = verdict;
    let running = &from.version;
    let target = target.as_ref().unwrap_or(running);
    let (answer, sentence) = match (ask, pass) {
        (Ask::Upgrade, true) if running == target => (
            "OK",
            format!("the control plane has {target}; you can run this upgrade again"),
        ),
        (Ask::Upgrade, true) => (
            "OK",
            format!("you can upgrade the control plane from {running} to {target}"),
        ),
        (Ask::Upgrade, false) => (
            "BLOCKED",
            format!("do not upgrade the control plane from {running} to {target} yet"),
        ),
        (Ask::Drift, true) => (
            "OK",
            format!("every proxy is within the supported skew of {running}"),
        ),
        (Ask::Drift, false) => (
            "NOT OK",
            format!("not every proxy is within the supported skew of {running}"),
        ),
        (Ask::Roll, true) => (
            "OK",
            format!("you can restart the workloads to get {target}"),
        ),
        (Ask::Roll, false) => (
            "BLOCKED",
            format!("do not restart workloads yet; they would get {target}"),
        ),
        (Ask::Done, true) => ("DONE", done(verdict, target)),
        (Ask::Done, false) => ("NOT DONE", format!("not everything runs {target}")),
    };
    let tone = if *pass { Tone::Good } else { Tone::Bad };
    (answer, tone, sentence)
}

// The rest of a verdict that passes is what no restart reaches or what somebody accepted.
fn done(verdict: &Verdict, target: &str) -> String {
    let (all, same) = (count(verdict, "workloads"), count(verdict, "same"));
    match all.saturating_sub(same) {
        0 => format!("the control plane and the workloads run {target}"),
        rest => format!(
            "the control plane and {same} of {all} workloads run {target}; see the findings for the other {rest}"
        ),
    }
}

fn count(verdict: &Verdict, name: &str) -> u64 {
    verdict.counts.get(name).copied().unwrap_or(0)
}

// What limits the answer: it may rest on a part, on a person's word, or on what is not known.
pub(crate) fn but(verdict: &Verdict) -> String {
    let mut parts = Vec::new();
    if !verdict.blocking.is_empty() {
        parts.push(format!("because of {}", verdict.blocking.join(", ")));
    }
    if verdict.scope == VerdictScope::Partial {
        parts.push("only a part of the cluster was judged".to_owned());
    }
    if !verdict.waived.is_empty() {
        parts.push(format!("acknowledged: {}", verdict.waived.join(", ")));
    }
    let count = |name: &str| count(verdict, name);
    for (name, what) in [("behind", "behind"), ("unknown", "of unknown version")] {
        if verdict.ask == Ask::Drift && count(name) > 0 {
            parts.push(format!(
                "{} of {} workloads {what}",
                count(name),
                count("workloads")
            ));
        }
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!(" ({})", parts.join("; ")),
    }
}
