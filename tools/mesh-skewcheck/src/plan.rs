//! The path to the target, step by step.

use mesh_records::{ControlPlane, Extension, Hop, HopKind, Plan, Rule};
use mesh_versions::{Fit, KubernetesVersion};

use crate::question::Standpoint;
use crate::tally::Tally;

/// The path from what runs to the target: one 2.x at a time, each with what goes along with it.
/// None where there is nothing to do, or no way.
pub(crate) fn plan(
    plane: &ControlPlane,
    extensions: &[Extension],
    tally: &Tally,
    at: &Standpoint<'_>,
) -> Option<Plan> {
    let path = at.releases().path(&at.running, at.target.as_ref()?)?;
    let first = path.first()?;
    let mut hops = Vec::new();
    if must_roll_first(tally) {
        let from = first.from.to_string();
        let release = at.injects.as_ref().unwrap_or(&at.running).to_string();
        hops.push(Hop {
            from: from.clone(),
            to: from,
            release,
            kind: HopKind::Roll,
            notes: vec![],
        });
    }
    for hop in &path {
        let (from, to) = (hop.from.to_string(), hop.to.to_string());
        let release = hop
            .release
            .as_ref()
            .map_or_else(|| to.clone(), ToString::to_string);
        let mut step = |kind, release: &str| {
            hops.push(Hop {
                from: from.clone(),
                to: to.clone(),
                release: release.to_owned(),
                kind,
                notes: Vec::new(),
            });
        };
        if let Some(needed) = kubernetes(plane, hop.to, at) {
            step(HopKind::Kubernetes, &needed);
        }
        step(HopKind::Crds, &release);
        step(HopKind::ControlPlane, &release);
        if !extensions.is_empty() {
            step(HopKind::Extensions, &release);
        }
        step(HopKind::Roll, &release);
    }
    let (cluster, control_plane) = (plane.cluster.clone(), plane.namespace.clone());
    Some(Plan {
        cluster,
        control_plane,
        hops,
    })
}

/// Too old for the target, and a roll to what runs would bring them nearer.
fn must_roll_first(tally: &Tally) -> bool {
    let too_old = tally
        .groups()
        .any(|(_, rule, _, _)| rule == Rule::ProxyTooOld);
    too_old && tally.counts().roll > 0
}

fn kubernetes(
    plane: &ControlPlane,
    minor: mesh_versions::Minor,
    at: &Standpoint<'_>,
) -> Option<String> {
    let server = KubernetesVersion::of(plane.kubernetes.as_deref()?)?;
    let support = at.releases().line(minor)?.kubernetes();
    (support.fit(&server) == Fit::TooOld).then(|| support.min.to_string())
}
