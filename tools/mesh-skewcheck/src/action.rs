//! What a roll should do with a workload.

use mesh_records::{Obstacle, RollBy, SkewAction, TrustAnchors, Word, hold_back};
use mesh_versions::{Skew, Version};

use crate::question::Standpoint;
use crate::seen::Seen;

/// Whether a roll is needed, and whether it would help. It is about what the injector gives now,
/// not about a target to come.
pub(crate) fn action(seen: &Seen<'_>, at: &Standpoint<'_>) -> (SkewAction, Vec<Word>) {
    if seen.pods.total == 0 {
        return (SkewAction::Leave, Vec::new());
    }
    if seen.pods.meshed == 0 {
        return (SkewAction::Skip, vec![Word::UnmeshedButAnnotated]);
    }
    let Some(injects) = &at.injects else {
        return (SkewAction::Skip, vec![Word::InjectsUnknown]);
    };
    let mut why = needs(seen, injects, at);
    if why.is_empty() && has_unknown(seen) {
        return (SkewAction::Skip, vec![Word::ProxyUnknown]);
    }
    if why.is_empty() {
        return (SkewAction::Leave, why);
    }
    match hinders(seen, injects.as_str()) {
        None => (SkewAction::Roll, why),
        Some(obstacle) => {
            why.push(obstacle.into());
            (SkewAction::Skip, why)
        }
    }
}

fn needs(seen: &Seen<'_>, injects: &Version, at: &Standpoint<'_>) -> Vec<Word> {
    let mut why = Vec::new();
    for proxy in seen.proxies.iter().filter(|proxy| proxy.count > 0) {
        if !proxy.text().is_empty() && !proxy.is(injects.as_str()) {
            let difference = difference(proxy.text(), injects, at);
            if !why.contains(&difference) {
                why.push(difference);
            }
        }
    }
    if seen.pods.meshed < seen.pods.total {
        why.push(Word::UnmeshedButAnnotated);
    }
    if seen.trust_anchors == TrustAnchors::Stale {
        why.push(Word::TrustAnchorStale);
    }
    why
}

fn difference(text: &str, injects: &Version, at: &Standpoint<'_>) -> Word {
    match at.releases().skew(&Version::of_tag(text), injects).0 {
        Skew::Behind { minors: 0 | 1 } => Word::ProxyBehind,
        Skew::Behind { .. } => Word::ProxyTooOld,
        Skew::Ahead { .. } => Word::ProxyAhead,
        Skew::Same | Skew::Unknown => Word::VersionDiffers,
    }
}

fn has_unknown(seen: &Seen<'_>) -> bool {
    let unnamed = |proxy: &crate::seen::SeenProxy<'_>| proxy.count > 0 && proxy.text().is_empty();
    seen.proxies.iter().any(unnamed) || seen.has_unlisted()
}

/// What keeps a roll from giving every pod the proxy that the injector gives. Spelled as in the
/// `skipped` record of the roll to come.
fn hinders(seen: &Seen<'_>, injects: &str) -> Option<Obstacle> {
    if hold_back(&seen.pins, injects) {
        return Some(Obstacle::VersionPinned);
    }
    match (seen.roll.by, seen.roll.reason) {
        (RollBy::Restart | RollBy::Evict, _) => None,
        (RollBy::Itself | RollBy::None, Some(reason)) => Some(reason),
        (RollBy::Itself, None) => Some(Obstacle::Job),
        (RollBy::None, None) => Some(Obstacle::ForeignOwner),
    }
}
