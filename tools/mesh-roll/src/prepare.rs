//! The steps before the first read of a workload: reads the records and checks the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mesh_actor::gate::{Passed, fresh};
use mesh_actor::{Judged, Outcome, Run, stopped};
use mesh_cluster::act::rollable;
use mesh_records::{
    Explained, Paste, Progress, ProgressPods, Record, Tool, WorkloadKind, WorkloadRef,
    whole_seconds,
};

use crate::args::{Args, FailOn};
use crate::gate::{Order, Survey, gate};
use crate::rights;
use crate::roll::{KINDS, Settings, Task, Wishes};
use crate::window::Opening;

/// What a run may do, before it has read any workload.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) order: Order,
    /// What the verdict warns of.
    pub(crate) warnings: Vec<String>,
    /// The time after which the verdict is too old.
    pub(crate) until: Timestamp,
    /// The workloads that this user may not restart, with the RBAC rule that is missing.
    pub(crate) forbidden: BTreeMap<WorkloadRef, String>,
    /// The kinds of workloads to watch.
    pub(crate) kinds: BTreeSet<WorkloadKind>,
}

/// Reads the records, and checks the verdict and the user's rights against the cluster.
pub(crate) async fn prepare(args: &Args, run: &mut Run) -> Outcome<Prepared> {
    let reading = run.read(|input| {
        let mut survey = Survey::default();
        let judged = Judged::read(input, |surveyed| survey.keep(surveyed))?;
        Ok((judged, survey))
    });
    let (judged, survey) = reading.await?;
    let gate = gate(args.linkerd_namespace.as_deref());
    let Passed { verdict, warnings } = gate.pass(judged, run.here(), |_| Ok(()))?;
    let until = fresh(&verdict, run.here())?;
    if let Some(Opening::Closed(when)) = args.opening(run.now()) {
        return Err(stopped(format!("outside of --window: {when}")));
    }
    let order = survey.order(verdict, run.again())?;
    known(args, &run.paste(), &order)?;
    run.may_lock(&order.expected.namespace).await?;
    if run.is_dry()
        && let Some(held) = run.lock_held(&order.expected.namespace).await?
    {
        warn_of(run, &held)?;
    }
    let cluster = Arc::clone(&run.cluster);
    let choice = args.choice();
    let tasks = order.tasks.iter().filter(|task| choice.takes(&task.key));
    let tasks: Vec<&Task> = tasks.collect();
    let asking = rights::forbidden(&cluster, &tasks, args.strategy());
    let forbidden = run.unless_stopped(asking).await??;
    let kinds = kinds(&tasks, &forbidden);
    Ok(Prepared {
        order,
        warnings,
        until,
        forbidden,
        kinds,
    })
}

// A dry run takes no lock, and whoever holds it may be through before the run that writes.
fn warn_of(run: &mut Run, held: &Explained) -> Outcome<()> {
    let warning = Progress {
        cluster: run.cluster.label().to_owned(),
        run: None,
        time: whole_seconds(run.now()),
        message: format!("warning: {held}"),
        of: None,
        pods: ProgressPods::default(),
        reason: Some(held.hint().to_owned()),
    };
    Ok(run.emit(&Record::Progress(Box::new(warning)))?)
}

// The others are watched only where they have work that this user may do: a cluster has many old
// ReplicaSets.
fn kinds(tasks: &[&Task], forbidden: &BTreeMap<WorkloadRef, String>) -> BTreeSet<WorkloadKind> {
    let rolled = tasks.iter().map(|task| &task.key);
    let rolled =
        rolled.filter(|key| rollable(&key.kind).is_some() && !forbidden.contains_key(*key));
    KINDS
        .into_iter()
        .chain(rolled.map(|key| key.kind.clone()))
        .collect()
}

// A selection that leaves nothing would look as if nothing had to be restarted, so a flag that
// selects no workload, and flags and filters that leave none of the work, are errors.
fn known(args: &Args, paste: &Paste, order: &Order) -> Result<(), Explained> {
    let keys: Vec<&WorkloadRef> = order.tasks.iter().map(|task| &task.key).collect();
    if let Some(flag) = args.idle(&keys) {
        let what = format!("{flag} matches no workload in the input; nothing was changed");
        let list = paste.mesh("mesh-survey", &["-o", "table"]);
        let hint = format!("check the name; the workloads are listed by: {list}");
        return Err(Explained::new(what, hint));
    }
    let choice = args.choice();
    let stale = order.tasks.iter().filter(|task| task.stale_at.is_some());
    let chosen = stale.filter(|task| choice.takes(&task.key)).count();
    if chosen == 0 && order.counted > 0 {
        let counted = order.counted;
        return Err(Explained::new(
            format!(
                "the verdict counts {counted} workloads to restart, but the flags or a filter left none of them; nothing was changed"
            ),
            "leave out the flag or the filter; for one namespace only, survey it alone (-n NAMESPACE)",
        ));
    }
    if order.tasks.is_empty() {
        let what = "the input has no workload of this control plane; there is nothing to do";
        mesh_cli::warn(Tool::MeshRoll.name(), &anyhow::anyhow!(what));
    }
    Ok(())
}

/// Returns the settings of the run.
pub(crate) fn settings(args: &Args, run: &Run, prepared: &Prepared) -> Settings {
    let Prepared {
        order,
        warnings,
        until,
        forbidden,
        kinds,
    } = prepared;
    let deadline = args.ends_at(run.now());
    let fail_on_attention = args.fail_on == Some(FailOn::Attention);
    Settings {
        cluster: run.cluster.label().to_owned(),
        cluster_uid: run.cluster_uid.clone(),
        paste: run.paste(),
        wishes: Wishes {
            choice: args.choice(),
            allow_outage: args.outages(),
            forbidden: forbidden.clone(),
            allow_budget: args.budgets(),
            strategy: args.strategy(),
            max_unavailable: args.max_unavailable_pods,
        },
        canary: args.canary.clone(),
        group_by: args.group_by.clone(),
        gate: args.gate.clone(),
        kinds: kinds.clone(),
        expected: order.expected.clone(),
        warnings: warnings.clone(),
        max_in_flight: usize::from(args.max_in_flight),
        max_failures: args.max_failures,
        timeout: SignedDuration::try_from(args.timeout).unwrap_or(SignedDuration::MAX),
        settle: SignedDuration::try_from(args.settle).unwrap_or(SignedDuration::MAX),
        deadline,
        verdict_until: *until,
        dry_run: args.actor.consent.dry_run,
        fail_on_attention,
        // A plan alone says it of each workload.
        refuses_forbidden: fail_on_attention && !args.plan_only,
        diff: args.diff,
    }
}
