//! The judge's answer: a word and a sentence for each control plane, then why, and what to do.

use std::collections::BTreeSet;

use mesh_records::{Decided, Finding, Hop, HopKind, Plan, Severity, Verdict};

use super::headline::{answer, but};
use super::look::{Look, Symbol, Tone};
use super::text::{beside, hanging, many, next};

/// The records of all verdicts.
#[derive(Debug, Default)]
pub(super) struct Answer {
    findings: Vec<Finding>,
    plans: Vec<Plan>,
    verdicts: Vec<Verdict>,
}

/// The widest column of the rules' names.
const NAMES: usize = 24;

// === impl Answer ===

impl Answer {
    pub(super) fn finding(&mut self, finding: &Finding) {
        self.findings.push(finding.clone());
    }

    pub(super) fn plan(&mut self, plan: &Plan) {
        self.plans.push(plan.clone());
    }

    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        self.verdicts.push(verdict.clone());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.verdicts.is_empty() && self.findings.is_empty()
    }

    /// Returns each verdict with its findings, the worst first.
    pub(super) fn first(&self, look: Look) -> String {
        let mut text = String::new();
        for verdict in &self.verdicts {
            text += &self.headline(verdict, look);
            text.push('\n');
            text += &self.findings_of(Some(verdict), look);
        }
        text + &self.findings_of(None, look)
    }

    /// Returns the ways on, below the verdicts once more where something stands between.
    pub(super) fn last(&self, is_apart: bool, look: Look) -> String {
        let mut text = String::new();
        for verdict in &self.verdicts {
            if is_apart {
                text += &self.headline(verdict, look);
            }
            let mine = self.plans.iter().filter(|it| {
                it.cluster == verdict.cluster && it.control_plane == verdict.control_plane
            });
            let mut label = "path";
            let is_one = |one: &Hop, next: &Hop| one.from == next.from && one.to == next.to;
            for hops in mine.flat_map(|plan| plan.hops.chunk_by(is_one)) {
                text += &beside(look, (Tone::Dim, label), 4, (Tone::Plain, &step(hops)));
                label = "";
            }
            text += &next(look, verdict.next.as_deref());
        }
        text + &self.of_all(look)
    }

    // The findings of a control plane, or those that no verdict is about.
    fn findings_of(&self, verdict: Option<&Verdict>, look: Look) -> String {
        let is_of = |finding: &Finding, it: &Verdict| {
            it.cluster == finding.cluster && it.control_plane == finding.control_plane
        };
        let all = self.findings.iter().filter(|finding| match verdict {
            Some(verdict) => is_of(finding, verdict),
            None => !self.verdicts.iter().any(|it| is_of(finding, it)),
        });
        let mut mine: Vec<&Finding> = all.collect();
        mine.sort_by_key(|it| (it.waived.is_some(), it.severity));
        let width = mine
            .iter()
            .map(|it| it.id.chars().count())
            .max()
            .unwrap_or(0);
        let width = width.min(NAMES).saturating_add(2);
        let mut text: String = mine.iter().map(|it| finding(it, width, look)).collect();
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }

    fn headline(&self, verdict: &Verdict, look: Look) -> String {
        let (word, tone, sentence) = answer(verdict);
        let name = self.name(verdict);
        let sentence = format!("{name}: {sentence}{}", but(verdict));
        beside(look, (tone, word), word.len(), (Tone::Plain, &sentence))
    }

    // One line for all control planes.
    fn of_all(&self, look: Look) -> String {
        let no = self.verdicts.iter().filter(|it| !it.pass);
        let no: Vec<String> = no.map(|verdict| self.name(verdict)).collect();
        let clusters: BTreeSet<&str> = self.verdicts.iter().map(|it| it.cluster.as_str()).collect();
        let what = match clusters.len() == self.verdicts.len() {
            true => "cluster",
            false => "control plane",
        };
        let all = many(self.verdicts.len().try_into().unwrap_or(u64::MAX), what);
        match (self.verdicts.len(), &no[..]) {
            (0 | 1, _) => String::new(),
            (_, []) => beside(
                look,
                (Tone::Good, "OK"),
                2,
                (Tone::Plain, &format!("all {all}")),
            ),
            (_, no) => {
                let said = format!("{} of {all}: {}", no.len(), no.join(", "));
                beside(look, (Tone::Bad, "NOT OK"), 6, (Tone::Plain, &said))
            }
        }
    }

    fn name(&self, verdict: &Verdict) -> String {
        let mut all = self
            .verdicts
            .iter()
            .filter(|it| it.cluster == verdict.cluster);
        match all.nth(1).is_none() {
            true => verdict.cluster.clone(),
            false => format!("{}/{}", verdict.cluster, verdict.control_plane),
        }
    }
}

fn finding(finding: &Finding, width: usize, look: Look) -> String {
    let (symbol, tone) = match finding.severity {
        _ if finding.waived.is_some() => (Symbol::Note, Tone::Dim),
        Severity::Error => (Symbol::Failed, Tone::Bad),
        Severity::Warning => (Symbol::Warning, Tone::Warn),
        Severity::Info => (Symbol::Note, Tone::Dim),
    };
    let label = format!("{} {}", look.symbol(symbol), finding.id);
    let mut said = finding.message.clone();
    if finding.decided == Decided::CannotTell {
        said = format!("cannot tell: {said}");
    }
    said += &names(finding);
    if let Some(reason) = &finding.waived {
        said = format!("{said} (acknowledged: {reason})");
    }
    let quiet = if tone == Tone::Dim { tone } else { Tone::Plain };
    let mut text = beside(look, (tone, &label), width, (quiet, &said));
    let more = finding.hint.iter().map(|hint| ("hint:", hint));
    let more = more.chain(finding.page.iter().map(|page| ("see", page)));
    for (label, line) in more {
        let label = format!("{}{label} ", " ".repeat(width.saturating_add(2)));
        let indent = label.chars().count();
        text += &hanging(look, (quiet, &label), indent, (quiet, line));
    }
    text
}

/// Returns the first three workloads, unless the sentence names them.
pub(crate) fn names(finding: &Finding) -> String {
    let names = finding.workloads.iter().map(ToString::to_string);
    let names: Vec<String> = names.take(3).collect();
    if names.is_empty() || names.iter().any(|name| finding.message.contains(name)) {
        return String::new();
    }
    let rest = usize::try_from(finding.count).unwrap_or(usize::MAX);
    match rest.saturating_sub(names.len()) {
        0 => format!(": {}", names.join(", ")),
        rest => format!(": {} and {rest} more", names.join(", ")),
    }
}

// The steps from one minor version to the next, in a line.
fn step(hops: &[Hop]) -> String {
    let to_one_release = hops.chunk_by(|one, next| one.release == next.release);
    let steps = to_one_release.map(|hops| {
        let parts: Vec<&str> = hops.iter().map(|hop| part(hop.kind)).collect();
        let release = hops.first().map_or("", |hop| hop.release.as_str());
        format!("{} to {release}", parts.join(", "))
    });
    let steps: Vec<String> = steps.collect();
    let line = match hops.first() {
        Some(hop) if hop.from != hop.to => format!("{} to {}", hop.from, hop.to),
        Some(hop) => hop.to.clone(),
        None => String::new(),
    };
    format!("{line}: {}", steps.join(", then "))
}

fn part(kind: HopKind) -> &'static str {
    match kind {
        HopKind::Kubernetes => "Kubernetes",
        HopKind::ChartSplit => "split of the Helm release",
        HopKind::Crds => "CRDs",
        HopKind::ControlPlane => "control plane",
        HopKind::Extensions => "extensions",
        HopKind::Roll => "workloads",
    }
}
