//! The steps before the first read of a workload: reads the records and checks the verdict.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mesh_actor::gate::fresh;
use mesh_actor::{Judged, Outcome, Run};
use mesh_records::{Explained, Tool, WorkloadRef};

use crate::args::{Args, FailOn};
use crate::gate::{GATE, Order, Survey};
use crate::rights;
use crate::roll::{Settings, Wishes};
use crate::select::Choice;

/// What a run may do, before it has read any workload.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) order: Order,
    /// The time after which the verdict is too old.
    pub(crate) until: Timestamp,
    /// The workloads that this user may not restart, with the RBAC rule that is missing.
    pub(crate) forbidden: BTreeMap<WorkloadRef, String>,
}

/// Reads the records, and checks the verdict and the user's rights against the cluster.
pub(crate) async fn prepare(args: &Args, run: &mut Run) -> Outcome<Prepared> {
    let reading = run.read(|input| {
        let mut survey = Survey::default();
        let judged = Judged::read(input, |surveyed| survey.keep(surveyed))?;
        Ok((judged, survey))
    });
    let (judged, survey) = reading.await?;
    let verdict = GATE.pass(judged, run.here(), |_| Ok(()))?;
    let until = fresh(&verdict, run.here())?;
    let order = survey.order(verdict)?;
    known(args, &order)?;
    run.may_lock(&order.expected.namespace).await?;
    let cluster = Arc::clone(&run.cluster);
    let choice = args.choice();
    let asking = rights::forbidden(&cluster, &order.tasks, &choice);
    let forbidden = run.unless_stopped(asking).await??;
    allowed(args, &order, &forbidden)?;
    Ok(Prepared {
        order,
        until,
        forbidden,
    })
}

// With --fail-on attention a workload that would be skipped for a missing right refuses the run.
fn allowed(
    args: &Args,
    order: &Order,
    forbidden: &BTreeMap<WorkloadRef, String>,
) -> Result<(), Explained> {
    let stale = order.tasks.iter().filter(|task| task.stale_at.is_some());
    let mut lacking = stale.filter_map(|task| forbidden.get_key_value(&task.key));
    match (args.fail_on, lacking.next()) {
        (Some(FailOn::Attention), Some((key, rule))) => Err(Explained::new(
            format!("this user may not restart {key}, and more may follow; nothing was changed"),
            format!("allow it with the RBAC rule {rule}, or leave out --fail-on attention"),
        )),
        (Some(FailOn::Attention) | None, _) => Ok(()),
    }
}

// A mistyped name must be an error; otherwise it would look as if nothing had to be rolled.
fn known(args: &Args, order: &Order) -> Result<(), Explained> {
    let Choice {
        namespaces,
        exclude,
        kinds: _,
    } = args.choice();
    let is_strange = |namespace: &&String| {
        order
            .tasks
            .iter()
            .all(|task| task.key.namespace != **namespace)
    };
    if order.tasks.is_empty() {
        let what = "the input has no workload of this control plane; there is nothing to do";
        mesh_cli::warn(Tool::MeshRoll.name(), &anyhow::anyhow!(what));
    }
    if let Some(namespace) = namespaces.iter().find(is_strange) {
        let what = format!("the input has no workload in the namespace `{namespace}`");
        let hint = "check the name: mesh-survey -o table lists the workloads";
        return Err(Explained::new(what, hint));
    }
    let outages = args.outages();
    let outages = outages.iter().map(|it| ("--allow-outage", it));
    for (flag, selector) in exclude.iter().map(|it| ("--exclude", it)).chain(outages) {
        if !order.tasks.iter().any(|task| selector.selects(&task.key)) {
            let what = format!("{flag} {selector} matches no workload in the input");
            mesh_cli::warn(Tool::MeshRoll.name(), &anyhow::anyhow!(what));
        }
    }
    Ok(())
}

/// Returns the settings of the run.
pub(crate) fn settings(args: &Args, run: &Run, prepared: &Prepared) -> Settings {
    let Prepared {
        order,
        until,
        forbidden,
    } = prepared;
    let deadline = args.deadline;
    let deadline = deadline.and_then(|after| run.now().checked_add(after).ok());
    Settings {
        cluster: run.cluster.label().to_owned(),
        cluster_uid: run.cluster_uid.clone(),
        wishes: Wishes {
            choice: args.choice(),
            allow_outage: args.outages(),
            forbidden: forbidden.clone(),
            allow_budget: args.budgets(),
        },
        expected: order.expected.clone(),
        max_in_flight: usize::from(args.max_in_flight),
        max_failures: args.max_failures,
        timeout: SignedDuration::try_from(args.timeout).unwrap_or(SignedDuration::MAX),
        settle: SignedDuration::try_from(args.settle).unwrap_or(SignedDuration::MAX),
        deadline,
        verdict_until: *until,
        dry_run: args.actor.consent.dry_run,
        fail_on_attention: args.fail_on == Some(FailOn::Attention),
    }
}
