//! Makes the plan: the steps to the target.

use mesh_records::{ControlPlane, Extension, Hop, HopKind, Plan, Rule};
use mesh_versions::{Fit, KubernetesVersion};

use crate::question::Standpoint;
use crate::tally::Tally;

/// Makes the plan from the running version to the target, one minor version at a time, each with
/// the steps that belong to it. `None` if there is nothing to do or no path.
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

/// Returns true if proxies are too old for the target and a roll to the running version would help.
fn must_roll_first(tally: &Tally) -> bool {
    let too_old = tally.groups().any(|(_, rule, _)| rule == Rule::ProxyTooOld);
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
