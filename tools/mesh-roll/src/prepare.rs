//! The steps before the first read of a workload: reads the records and checks the verdict.

use jiff::{SignedDuration, Timestamp};
use mesh_actor::gate::fresh;
use mesh_actor::{Judged, Outcome, Run};
use mesh_records::{Explained, Tool};

use crate::args::{Args, FailOn};
use crate::gate::{GATE, Order, Survey};
use crate::roll::{Settings, Wishes};
use crate::select::Choice;

/// Reads the records and checks the verdict against the cluster. Returns also the time after which
/// the verdict is too old.
pub(crate) async fn prepare(args: &Args, run: &mut Run) -> Outcome<(Order, Timestamp)> {
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
    Ok((order, until))
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
pub(crate) fn settings(args: &Args, run: &Run, order: &Order, until: Timestamp) -> Settings {
    let deadline = args.deadline;
    let deadline = deadline.and_then(|after| run.now().checked_add(after).ok());
    Settings {
        cluster: run.cluster.label().to_owned(),
        cluster_uid: run.cluster_uid.clone(),
        wishes: Wishes {
            choice: args.choice(),
            allow_outage: args.outages(),
        },
        expected: order.expected.clone(),
        max_in_flight: usize::from(args.max_in_flight),
        max_failures: args.max_failures,
        timeout: SignedDuration::try_from(args.timeout).unwrap_or(SignedDuration::MAX),
        deadline,
        verdict_until: until,
        dry_run: args.actor.consent.dry_run,
        fail_on_attention: args.fail_on == Some(FailOn::Attention),
    }
}
