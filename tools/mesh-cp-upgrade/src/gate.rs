//! The gate of an upgrade: checks also that the verdict is about the target of `--to`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use mesh_actor::gate::{Passed, Surveyed};
use mesh_actor::{Gate, Judged, Outcome};
use mesh_records::{
    Ask, Explained, From as Seen, RecordType, RollBy, StepName, StreamError, Verdict, Workload,
    WorkloadRef,
};
use mesh_versions::{Releases, Target, Version};

use crate::args::Args;
use crate::session::Session;

/// The target of the upgrade, and its start.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) namespace: String,
    pub(crate) target: String,
    /// The state that the verdict saw; `None` without a verdict.
    pub(crate) from: Option<Seen>,
    pub(crate) verdict: Option<Verdict>,
    /// What the verdict warns of.
    pub(crate) warnings: Vec<String>,
    /// Workloads of the mesh, one a namespace, whose templates show what new pods get.
    pub(crate) places: Vec<WorkloadRef>,
}

/// One meshed workload of each namespace, by cluster and control plane.
#[derive(Debug, Default)]
struct Meshed {
    workloads: BTreeMap<(Option<String>, String, String), WorkloadRef>,
}

/// In how many namespaces the injector is asked.
pub(crate) const MOST_PLACES: usize = 10;

const AGAIN: &str = "pass the same --to to mesh-skewcheck and mesh-cp-upgrade";

/// Reads the verdict and checks that it allows this upgrade.
pub(crate) async fn pass_gate(session: &mut Session<'_>, args: &Args) -> Outcome<Goal> {
    if let (true, Some(reason), Some(to)) = (args.without_gate, &args.reason, &args.to) {
        session.skip(
            StepName::Gate,
            &format!("upgrading to {to} without a verdict"),
            reason,
        )?;
        return Ok(Goal {
            namespace: args
                .linkerd_namespace
                .clone()
                .unwrap_or_else(|| "linkerd".to_owned()),
            target: to.to_string(),
            from: None,
            verdict: None,
            warnings: Vec::new(),
            places: Vec::new(),
        });
    }
    session.begin(StepName::Gate, "reading the verdict")?;
    let reading = session.run.read(|input| {
        let mut meshed = Meshed::default();
        let judged = Judged::read(input, |surveyed| meshed.keep(surveyed))?;
        Ok((judged, meshed))
    });
    let (judged, meshed) = reading.await?;
    let gate = Gate {
        ask: Ask::Upgrade,
        control_plane: args.linkerd_namespace.as_deref(),
        takes_partial: false,
    };
    let passed = gate.pass(judged, session.run.here(), |verdict| {
        same_target(verdict, args.to.as_ref())
    })?;
    let Passed { verdict, warnings } = passed;
    let target = verdict
        .target
        .clone()
        .context("the verdict passes, but it names no target")?;
    session.run.set_question(format!("--to {target}"));
    session.done(&format!(
        "the verdict allows the upgrade from {} to {target}",
        verdict.from.version
    ))?;
    Ok(Goal {
        namespace: verdict.control_plane.clone(),
        target,
        from: Some(verdict.from.clone()),
        places: meshed.of(&verdict),
        verdict: Some(verdict),
        warnings,
    })
}

// === impl Meshed ===

impl Meshed {
    // Keeps the first workload of a namespace that a restart would bring new proxies.
    fn keep(&mut self, surveyed: Surveyed<'_>) -> Result<(), StreamError> {
        if surveyed.kind != RecordType::Workload {
            return Ok(());
        }
        let workload: Workload = surveyed.line.parse()?;
        let Workload {
            identity,
            control_plane,
            pods,
            pins,
            roll,
            ..
        } = workload;
        let is_plain = pods.meshed > 0 && pins.is_empty();
        if is_plain && roll.by == RollBy::Restart && roll.reason.is_none() {
            let cluster = surveyed.cluster_uid.map(str::to_owned);
            let place = (cluster, control_plane, identity.namespace.clone());
            self.workloads.entry(place).or_insert(identity);
        }
        Ok(())
    }

    fn of(self, verdict: &Verdict) -> Vec<WorkloadRef> {
        let mine = self
            .workloads
            .into_iter()
            .filter(|((cluster, plane, _), _)| {
                *cluster == verdict.cluster_uid && *plane == verdict.control_plane
            });
        mine.map(|(_, key)| key).take(MOST_PLACES).collect()
    }
}

// Checks that the verdict has a target, the same as `--to` if that is given.
fn same_target(verdict: &Verdict, to: Option<&Target>) -> Result<(), Explained> {
    let Some(target) = verdict.target.as_deref() else {
        return Err(Explained::new("the verdict names no target", AGAIN));
    };
    let (same, to) = match to {
        None => return Ok(()),
        Some(to @ Target::Release(version)) => (version.as_str() == target, to),
        Some(to @ Target::Line(minor)) => {
            let of = Releases::embedded().minor_of(&Version::of_tag(target));
            (of.is_some_and(|of| of.minor == *minor), to)
        }
        Some(to @ Target::Latest) => {
            let version = Version::of_tag(target);
            let releases = Releases::embedded();
            let latest = version.channel().and_then(|of| releases.resolve(to, of));
            (latest.is_some_and(|it| it.same_release(&version)), to)
        }
    };
    if same {
        return Ok(());
    }
    let what = format!("the verdict is about {target}, but --to says {to}");
    Err(Explained::new(what, AGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERDICT: &str = r#"{"cluster":"eu","control_plane":"linkerd","ask":"upgrade","pass":true,"from":{"version":"stable-2.13.7"},"target":"stable-2.14.10","scope":"full","source":"server","blocking":[],"releases_sha256":"0","counts":{}}"#;

    #[test]
    fn the_target_is_the_one_that_was_named() {
        let verdict: Verdict = serde_json::from_str(VERDICT).unwrap();
        let table = [
            (None, ""),
            (Some("stable-2.14.10"), ""),
            (Some("2.14"), ""),
            (Some("stable-2.14.9"), "--to says"),
            (Some("2.15"), "--to says"),
            (Some("latest"), "--to says"),
        ];
        for (to, part) in table {
            let target: Option<Target> = to.map(|to| to.parse().unwrap());
            let answer = same_target(&verdict, target.as_ref());
            let text = answer.err().map(|error| error.to_string());
            assert_eq!(text.is_none(), part.is_empty(), "{to:?}: {text:?}");
            assert!(text.unwrap_or_default().contains(part), "{to:?}");
        }
        let none = Verdict {
            target: None,
            ..verdict
        };
        let error = same_target(&none, None).unwrap_err().to_string();
        assert!(error.contains("no target"), "{error}");
    }
}
