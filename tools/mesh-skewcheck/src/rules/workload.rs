//! Judges one workload: the skew of its proxies, and the rules that it breaks.

use mesh_records::{
    Ask, Decided, DowntimeGrade, Obstacle, PodCounts, Rule, Severity, Skew, SkewAction, SkewState,
    TrustAnchors, Word, WorkloadKind,
};
use serde_json::value::{RawValue, to_raw_value};

use crate::action::{action, obstacle};
use crate::proxy::{Sight, Sights, Standing};
use crate::question::{Jobs, Standpoint};
use crate::rule::{Weight, severity};
use crate::seen::{Seen, SeenProxy};

/// The judgement of a workload, and of every other one that differs in nothing but its name.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) kind: WorkloadKind,
    pub(crate) pods: PodCounts,
    /// Why a roll would not give every pod the injector's proxy.
    pub(crate) obstacle: Option<Obstacle>,
    pub(crate) state: SkewState,
    pub(crate) action: SkewAction,
    /// The record's new field, as it is written.
    pub(crate) skew: Box<RawValue>,
    pub(crate) hits: Vec<Hit>,
}

/// One rule that a workload breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) rule: Rule,
    pub(crate) severity: Severity,
    /// The proxy's version, if the rule is about one.
    pub(crate) version: String,
}

struct Judge<'a> {
    seen: &'a Seen<'a>,
    at: &'a Standpoint<'a>,
    hits: Vec<Hit>,
    worst: Option<Standing>,
}

/// Judges one workload for the question.
pub(crate) fn judge(seen: &Seen<'_>, sights: &mut Sights, at: &Standpoint<'_>) -> Judged {
    let mut judge = Judge {
        seen,
        at,
        hits: Vec::new(),
        worst: None,
    };
    for proxy in seen.proxies.iter().filter(|proxy| proxy.count > 0) {
        judge.proxy(proxy, sights.of(proxy, at));
    }
    for proxy in seen
        .terminating_proxies
        .iter()
        .filter(|proxy| proxy.count > 0)
    {
        let sight = sights.of(proxy, at);
        judge.leaving(proxy, sight);
        if seen.pods.total == 0 {
            judge.worst = judge.worst.max(Some(sight.standing));
        }
    }
    judge.unlisted();
    judge.anchors();
    judge.rest();
    let (action, why) = action(seen, sights, at);
    if action == SkewAction::Roll && seen.downtime.grade == DowntimeGrade::Outage {
        judge.hit(Rule::DowntimeOutage, Weight::Full, "");
    }
    let (state, minors) = state(judge.worst);
    let skew = Skew {
        state,
        minors,
        action,
        why: why_of(&judge.hits, why),
    };
    Judged {
        kind: seen.kind.clone(),
        pods: seen.pods,
        obstacle: obstacle(seen, at),
        state,
        action,
        skew: to_raw_value(&skew).expect("a judgement is made of words and numbers"),
        hits: judge.hits,
    }
}

/// The id of every finding that the hits end in, and what no finding says of the action; in the
/// order of the words, none twice.
fn why_of(hits: &[Hit], of_action: Vec<Word>) -> Vec<Word> {
    let mut why: Vec<Word> = hits.iter().map(|hit| hit.rule.into()).collect();
    let says_how = [Word::ProxyTooOld, Word::ProxyBehind, Word::ProxyAhead];
    let is_said = says_how.iter().any(|word| why.contains(word));
    let of_action = of_action.into_iter();
    why.extend(of_action.filter(|word| !is_said || *word != Word::VersionDiffers));
    why.sort_unstable();
    why.dedup();
    why
}

// === impl Judge ===

impl Judge<'_> {
    fn proxy(&mut self, proxy: &SeenProxy<'_>, sight: Sight) {
        let text = proxy.text();
        self.worst = self.worst.max(Some(sight.standing));
        self.standing(sight.standing, text);
        if sight.guessed {
            self.hit(Rule::NewerThanKnown, Weight::Full, text);
        }
        if sight.not_recommended {
            self.hit(Rule::EdgeNotRecommended, Weight::Full, text);
        }
        if sight
            .channel
            .is_some_and(|channel| channel != self.at.channel())
        {
            self.hit(Rule::MixedChannels, Weight::Full, text);
        }
    }

    fn standing(&mut self, standing: Standing, text: &str) {
        let weight = self.left_behind();
        match standing {
            Standing::There => {}
            Standing::Beside if self.at.ask() == Ask::Done => {
                self.hit(Rule::ProxyBehind, weight, text);
            }
            Standing::Beside => {}
            Standing::AheadByPatch if self.at.ask() == Ask::Done => {
                self.hit(Rule::ProxyAhead, weight, text);
            }
            // Patches of one minor version may differ in both directions.
            Standing::AheadByPatch => self.hit(Rule::ProxyAhead, Weight::Slight, text),
            Standing::Behind { .. } => self.hit(Rule::ProxyBehind, weight, text),
            Standing::Unknown => self.hit(Rule::ProxyUnknown, weight, text),
            Standing::Ahead { .. } => self.hit(Rule::ProxyAhead, weight, text),
            Standing::TooOld { .. } => self.too_old(weight, text),
        }
    }

    fn too_old(&mut self, weight: Weight, text: &str) {
        let job = self.seen.ends_by_itself();
        let pods = self.seen.pods;
        if job && pods.held_by_proxy < pods.total {
            self.hit(Rule::JobHoldsBack, weight, text);
        }
        if job && pods.held_by_proxy > 0 {
            self.hit(Rule::JobStuckOnProxy, weight, text);
        }
        if !job || self.at.ask() != Ask::Upgrade {
            self.hit(Rule::ProxyTooOld, weight, text);
        }
    }

    fn leaving(&mut self, proxy: &SeenProxy<'_>, sight: Sight) {
        let is_out = match sight.standing {
            Standing::There | Standing::AheadByPatch => false,
            Standing::Beside | Standing::Behind { .. } => self.at.ask() == Ask::Done,
            Standing::Unknown | Standing::Ahead { .. } | Standing::TooOld { .. } => true,
        };
        if is_out {
            self.hit(Rule::ProxyTerminating, Weight::Full, proxy.text());
        }
    }

    fn unlisted(&mut self) {
        if self.seen.has_unlisted() {
            self.worst = self.worst.max(Some(Standing::Unknown));
            self.hit(Rule::ProxyUnknown, self.left_behind(), "");
        }
    }

    fn anchors(&mut self) {
        if self.seen.pods.meshed == 0 {
            return;
        }
        let rule = match self.seen.trust_anchors {
            TrustAnchors::Current => return,
            TrustAnchors::Stale => Rule::TrustAnchorStale,
            TrustAnchors::Unknown => Rule::TrustAnchorUnknown,
        };
        self.hit(rule, self.left_behind(), "");
    }

    fn rest(&mut self) {
        let pods = self.seen.pods;
        if pods.meshed < pods.total {
            let ends_itself = !self.seen.keeps_its_pods();
            let left = ends_itself && self.at.ask() == Ask::Done;
            let weight = if left { Weight::Soft } else { Weight::Full };
            self.hit(Rule::UnmeshedButAnnotated, weight, "");
        }
        if pods.total < pods.wanted.unwrap_or(0) {
            let weight = if pods.total == 0 || pods.refused {
                Weight::Full
            } else {
                Weight::Soft
            };
            self.hit(Rule::PodsMissing, weight, "");
        }
        if pods.ready < pods.total {
            // With fewer ready pods than it should have, a workload still serves.
            let is_up = pods.ready > 0 || !self.seen.keeps_its_pods();
            let weight = if is_up { Weight::Soft } else { Weight::Full };
            self.hit(Rule::WorkloadUnhealthy, weight, "");
        }
        if self.seen.roll.reason == Some(Obstacle::WouldLoseProxy) {
            self.hit(Rule::WouldLoseProxy, Weight::Full, "");
        }
        let is_stuck = |hit: &Hit| hit.rule == Rule::JobStuckOnProxy;
        if pods.held_by_proxy > 0 && !self.hits.iter().any(is_stuck) {
            self.hit(Rule::JobStuckOnProxy, Weight::Soft, "");
        }
        if !self.seen.pins.is_empty() {
            self.hit(Rule::VersionPinned, Weight::Full, "");
        }
    }

    /// Limits the severity to a warning for a Job under `--jobs ignore`, and under the question
    /// `done` for pods that end by themselves or that nothing makes again.
    fn left_behind(&self) -> Weight {
        let soft = match self.at.ask() {
            Ask::Done => !self.seen.keeps_its_pods(),
            Ask::Upgrade => self.seen.ends_by_itself() && self.at.question.jobs == Jobs::Ignore,
            Ask::Drift | Ask::Roll => false,
        };
        if soft { Weight::Soft } else { Weight::Full }
    }

    /// Adds a hit, unless the rule does not belong to the question.
    fn hit(&mut self, rule: Rule, weight: Weight, version: &str) {
        let Some(severity) = severity(rule, self.at.ask(), Decided::Yes, weight) else {
            return;
        };
        let hit = Hit {
            rule,
            severity,
            version: version.to_owned(),
        };
        if !self.hits.contains(&hit) {
            self.hits.push(hit);
        }
    }
}

fn state(worst: Option<Standing>) -> (SkewState, Option<u32>) {
    match worst {
        None | Some(Standing::Unknown) => (SkewState::Unknown, None),
        Some(Standing::There | Standing::Beside) => (SkewState::Same, None),
        Some(Standing::AheadByPatch) => (SkewState::Ahead, Some(0)),
        Some(Standing::Behind { minors } | Standing::TooOld { minors }) => {
            (SkewState::Behind, Some(minors))
        }
        Some(Standing::Ahead { minors }) => (SkewState::Ahead, Some(minors)),
    }
}
