//! What is to be said of a workload, and how much it needs somebody.

use mesh_records::{Obstacle, PodCounts, RollBy, SkewAction, SkewState, TrustAnchors, Workload};

use super::look::Tone;

/// Returns true if its proxies are older than the target's.
pub(super) fn is_behind(workload: &Workload) -> bool {
    let skew = workload.skew.as_ref();
    skew.is_some_and(|skew| skew.state == SkewState::Behind)
}

/// Returns how much somebody should look at a workload, the worst note of which is `worst`.
pub(super) fn needs(workload: &Workload, worst: Tone) -> Tone {
    let lag = judged(workload).0.0;
    // One minor version behind is within the supported skew.
    let is_allowed = lag == Tone::Warn && is_behind(workload);
    let lag = if is_allowed { Tone::Plain } else { lag };
    worst.max(lag).max(stuck(workload))
}

/// Returns whether a restart that is needed cannot be done. What ends by itself needs nobody.
pub(super) fn stuck(workload: &Workload) -> Tone {
    let skew = workload.skew.as_ref();
    let is_stuck = skew.is_some_and(|skew| skew.action == SkewAction::Skip);
    match is_stuck && workload.roll.by != RollBy::Itself {
        true => Tone::Warn,
        false => Tone::Plain,
    }
}

/// Returns the facts that somebody may have to look at; the judge says what follows from them.
pub(super) fn notes(workload: &Workload) -> Vec<(Tone, String)> {
    let PodCounts {
        total,
        ready,
        meshed,
        wanted,
        held_by_proxy,
        refused,
        ..
    } = workload.pods;
    let itself = workload.roll.by == RollBy::Itself;
    let is_unknown = workload.proxies.iter().any(|it| it.version.is_none());
    let old_anchors = workload.trust_anchors == TrustAnchors::Stale;
    let lacking = wanted.is_some_and(|wanted| total < wanted);
    let fixed = [
        (itself, Tone::Dim, "ends by itself"),
        (
            workload.roll.reason == Some(Obstacle::BarePod),
            Tone::Dim,
            "a bare pod",
        ),
        (
            total > 0 && meshed == 0,
            Tone::Bad,
            "asks for a proxy, has none",
        ),
        (refused, Tone::Bad, "its pods are refused"),
        (ready < total && held_by_proxy == 0, Tone::Warn, "not ready"),
        (held_by_proxy > 0, Tone::Warn, "only its proxy runs"),
        (!workload.pins.is_empty(), Tone::Warn, "pinned"),
        (is_unknown, Tone::Warn, "version not known"),
        (workload.proxies.len() > 1, Tone::Warn, "several versions"),
        (old_anchors, Tone::Warn, "old trust anchors"),
    ];
    let fixed = fixed.into_iter().filter(|it| it.0);
    let mut notes: Vec<(Tone, String)> = fixed.map(|it| (it.1, it.2.to_owned())).collect();
    if 0 < meshed && meshed < total {
        notes.push((Tone::Bad, format!("{meshed} of {total} have a proxy")));
    }
    if lacking {
        notes.push((Tone::Bad, format!("{total} pods exist")));
    }
    notes
}

/// Returns the judgement in words: how far it lags, and whether it is to be restarted.
pub(super) fn judged(workload: &Workload) -> ((Tone, String), &'static str) {
    let Some(skew) = &workload.skew else {
        return ((Tone::Plain, String::new()), "");
    };
    let minors = skew.minors.unwrap_or(0);
    let lag = match (skew.state, minors) {
        (SkewState::Same, _) => (Tone::Plain, "none".to_owned()),
        (SkewState::Behind, 0) => (Tone::Plain, "a patch".to_owned()),
        (SkewState::Behind, 1) => (Tone::Warn, "1 minor".to_owned()),
        (SkewState::Behind, minors) => (Tone::Bad, format!("{minors} minors")),
        (SkewState::Ahead, _) => (Tone::Bad, "ahead".to_owned()),
        (SkewState::Unknown, _) => (Tone::Warn, "unknown".to_owned()),
    };
    let roll = match skew.action {
        SkewAction::Roll => "yes",
        // A restart helps once new pods get another proxy.
        SkewAction::Leave if skew.state == SkewState::Behind => "not yet",
        SkewAction::Leave => "no need",
        SkewAction::Skip => "cannot",
    };
    (lag, roll)
}
