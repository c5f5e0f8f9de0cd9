//! What a roll should do with a workload.

use mesh_records::{Obstacle, SkewAction, TrustAnchors, Word, hold_back};

use crate::proxy::Sights;
use crate::question::Standpoint;
use crate::seen::Seen;

/// Whether a roll is needed, and whether it would help, with what no finding says of that. It is
/// about what the injector gives now, not about a target to come.
pub(crate) fn action(
    seen: &Seen<'_>,
    sights: &mut Sights,
    at: &Standpoint<'_>,
) -> (SkewAction, Vec<Word>) {
    if seen.pods.total == 0 {
        return (SkewAction::Leave, Vec::new());
    }
    if seen.pods.meshed == 0 {
        return (SkewAction::Skip, vec![Word::UnmeshedButAnnotated]);
    }
    let Some(injects) = &at.injects else {
        return (SkewAction::Skip, vec![Word::InjectsUnknown]);
    };
    let mut proxies = seen.proxies.iter().filter(|proxy| proxy.count > 0);
    let differs = proxies.any(|proxy| !proxy.text().is_empty() && !sights.is_injected(proxy, at));
    let is_needed =
        differs || seen.pods.meshed < seen.pods.total || seen.trust_anchors == TrustAnchors::Stale;
    match is_needed {
        false if has_unknown(seen) => return (SkewAction::Skip, vec![Word::ProxyUnknown]),
        false => return (SkewAction::Leave, Vec::new()),
        true => {}
    }
    let mut why: Vec<Word> = differs
        .then_some(Word::VersionDiffers)
        .into_iter()
        .collect();
    match hinders(seen, injects.as_str()) {
        None => (SkewAction::Roll, why),
        Some(obstacle) => {
            why.push(obstacle.into());
            (SkewAction::Skip, why)
        }
    }
}

/// Returns why a roll would not give every pod of the workload the injector's proxy, for hints.
pub(crate) fn obstacle(seen: &Seen<'_>, at: &Standpoint<'_>) -> Option<Obstacle> {
    match &at.injects {
        Some(injects) => hinders(seen, injects.as_str()),
        None => seen.roll.hindrance(),
    }
}

fn has_unknown(seen: &Seen<'_>) -> bool {
    let unnamed = |proxy: &crate::seen::SeenProxy<'_>| proxy.count > 0 && proxy.text().is_empty();
    seen.proxies.iter().any(unnamed) || seen.has_unlisted()
}

/// Returns why a roll would not give every pod the injector's proxy. The value is the same as in
/// mesh-roll's `skipped` record.
fn hinders(seen: &Seen<'_>, injects: &str) -> Option<Obstacle> {
    if hold_back(&seen.pins, injects) {
        return Some(Obstacle::VersionPinned);
    }
    seen.roll.hindrance()
}
