//! The findings about the whole input: waivers, and control planes that differ.

use mesh_records::{Rule, Verdict};
use mesh_versions::{Releases, Version};

use crate::acknowledged::Acknowledged;
use crate::question::Question;
use crate::remark::Remark;
use crate::verdict::{Judgement, settle, weigh};

/// Adds the findings that need the judgements of all control planes.
pub(crate) fn add(judgements: &mut [Judgement], question: &Question) {
    let mut remarks = unused(judgements, question);
    remarks.extend(mixed(judgements, question));
    if remarks.is_empty() {
        return;
    }
    for judgement in judgements {
        let Verdict {
            ask,
            cluster,
            control_plane,
            ..
        } = &judgement.verdict;
        let findings = remarks.iter().cloned();
        let findings = findings.filter_map(|it| weigh(it, *ask, cluster, control_plane));
        let findings: Vec<_> = findings.collect();
        judgement.findings.extend(findings);
        settle(judgement, question);
    }
}

/// Makes a remark of each `--ack`, and of the waivers, that accepted nothing in any judgement.
fn unused(judgements: &[Judgement], question: &Question) -> Vec<Remark> {
    let is_found = |rule: &Rule| {
        let mut findings = judgements.iter().flat_map(|it| &it.findings);
        findings.any(|finding| finding.id == rule.as_str())
    };
    let acks = question.acknowledged.iter().filter(|it| !is_found(it));
    let mut remarks: Vec<Remark> = acks
        .map(|rule| {
            let id = rule.as_str();
            let message = format!("`--ack {id}` has no effect: there is no such finding");
            Remark::new(Rule::WaiverUnused, message).hint("leave it out")
        })
        .collect();
    let is_shown = |note: &&Acknowledged| {
        let mut notes = judgements.iter().flat_map(|it| &it.notes);
        notes.any(|shown| shown.answers(note))
    };
    let idle = question.notes.iter().filter(|it| !is_shown(it));
    remarks.extend(idle.map(Acknowledged::unused));
    let is_used = |line| judgements.iter().any(|it| it.waivers.contains(&line));
    let idle = question.waivers.iter().filter(|it| !is_used(it.line));
    let idle: Vec<String> = idle
        .map(|it| format!("line {} ({})", it.line, it.named()))
        .collect();
    if !idle.is_empty() {
        let message = format!("waivers without effect: {}", idle.join(", "));
        let hint = "there is no such finding: take these lines out of the file of --waivers";
        remarks.push(Remark::new(Rule::WaiverUnused, message).hint(hint));
    }
    remarks
}

fn mixed(judgements: &[Judgement], question: &Question) -> Option<Remark> {
    let Question {
        same_version,
        releases,
        ..
    } = question;
    let version = |it: &Judgement| Version::of_tag(&it.verdict.from.version);
    let first = version(judgements.first()?);
    let mut others = judgements.iter().map(version);
    if !same_version || others.all(|it| is_same(&it, &first, releases)) {
        return None;
    }
    let running = judgements.iter().map(|it| {
        let Verdict {
            cluster,
            control_plane,
            from,
            ..
        } = &it.verdict;
        format!("{cluster}/{control_plane} runs {}", from.version)
    });
    let running: Vec<String> = running.collect();
    let message = format!(
        "the control planes run different releases: {}",
        running.join(", ")
    );
    let hint = "upgrade the older ones, or leave out --same-version";
    Some(Remark::new(Rule::FleetMixed, message).hint(hint))
}

fn is_same(one: &Version, other: &Version, releases: &Releases) -> bool {
    releases
        .canonical(one)
        .same_release(releases.canonical(other))
}
