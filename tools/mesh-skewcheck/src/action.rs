//! What a roll should do with a workload.

use mesh_records::{Obstacle, RollBy, SkewAction, TrustAnchors, hold_back};
use mesh_versions::{Skew, Version};

use crate::question::Standpoint;
use crate::rule::Rule;
use crate::seen::Seen;
use crate::workload::has_unlisted;

/// Another image than new pods get, though neither older nor newer as far as is known.
const DIFFERS: &str = "version-differs";
/// What new ones would have is not known.
const INJECTS_UNKNOWN: &str = "injects-unknown";

/// Whether a roll is needed, and whether it would help. It is about what the injector gives now,
/// not about a target to come.
pub(crate) fn action(seen: &Seen<'_>, at: &Standpoint<'_>) -> (SkewAction, Vec<&'static str>) {
    if seen.pods.total == 0 {
        return (SkewAction::Leave, Vec::new());
    }
    if seen.pods.meshed == 0 {
        return (SkewAction::Skip, vec![Obstacle::Unmeshed.as_str()]);
    }
    let Some(injects) = &at.injects else {
        return (SkewAction::Skip, vec![INJECTS_UNKNOWN]);
    };
    let mut why = needs(seen, injects, at);
    if why.is_empty() && has_unknown(seen) {
        return (SkewAction::Skip, vec![Rule::ProxyUnknown.id()]);
    }
    if why.is_empty() {
        return (SkewAction::Leave, why);
    }
    match hinders(seen, injects.as_str()) {
        None => (SkewAction::Roll, why),
        Some(obstacle) => {
            why.push(obstacle.as_str());
            (SkewAction::Skip, why)
        }
    }
}

fn needs(seen: &Seen<'_>, injects: &Version, at: &Standpoint<'_>) -> Vec<&'static str> {
    let mut why = Vec::new();
    for proxy in seen.proxies.iter().filter(|proxy| proxy.pods > 0) {
        if !proxy.text().is_empty() && !proxy.is(injects.as_str()) {
            let difference = difference(proxy.text(), injects, at);
            if !why.contains(&difference) {
                why.push(difference);
            }
        }
    }
    if seen.pods.meshed < seen.pods.total {
        why.push(Rule::UnmeshedButAnnotated.id());
    }
    if seen.trust_anchors == TrustAnchors::Stale {
        why.push(Rule::TrustAnchorStale.id());
    }
    why
}

fn difference(text: &str, injects: &Version, at: &Standpoint<'_>) -> &'static str {
    match at.releases().skew(&Version::of_tag(text), injects).0 {
        Skew::Behind { minors: 0 | 1 } => Rule::ProxyBehind.id(),
        Skew::Behind { .. } => Rule::ProxyTooOld.id(),
        Skew::Ahead { .. } => Rule::ProxyAhead.id(),
        Skew::Same | Skew::Unknown => DIFFERS,
    }
}

fn has_unknown(seen: &Seen<'_>) -> bool {
    let unnamed = |proxy: &crate::seen::SeenProxy<'_>| proxy.pods > 0 && proxy.text().is_empty();
    seen.proxies.iter().any(unnamed) || has_unlisted(seen)
}

/// What keeps a roll from giving every pod the proxy that the injector gives. Spelled as in the
/// `skipped` record of the roll to come.
fn hinders(seen: &Seen<'_>, injects: &str) -> Option<Obstacle> {
    if hold_back(&seen.pins, injects) {
        return Some(Obstacle::Pinned);
    }
    match (seen.roll.by, seen.roll.reason) {
        (RollBy::Restart | RollBy::Evict, _) => None,
        (RollBy::Itself | RollBy::None, Some(reason)) => Some(reason),
        (RollBy::Itself, None) => Some(Obstacle::Job),
        (RollBy::None, None) => Some(Obstacle::ForeignOwner),
    }
}
