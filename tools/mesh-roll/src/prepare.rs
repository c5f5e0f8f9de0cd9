//! Before the first look at a workload: the records, the cluster, the gate.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use mesh_cli::{host, records_from_stdin, run_id};
use mesh_cluster::{Claim, Cluster};
use mesh_records::{Explained, Tool};

use crate::args::{Args, FailOn, PIPELINE};
use crate::gate::{self, Here, Judged, Order, Shut};
use crate::roll::{Settings, Wishes};
use crate::select::Choice;
use crate::voice::{AGENT, Ending, Voice};

/// What a run needs before its loop.
pub(crate) struct Session {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) cluster_uid: String,
    pub(crate) order: Order,
    pub(crate) claim: Claim,
    pub(crate) now: Timestamp,
}

/// Reads the records, opens the cluster and the bracket, and holds the verdict against them.
pub(crate) async fn prepare(
    args: &Args,
    voice: &mut Voice,
) -> anyhow::Result<Result<Session, Ending>> {
    let judged = read().await?;
    let cluster = Arc::new(args.cluster.open(AGENT).await?);
    let uid = cluster.uid().await?;
    let user = cluster.whoami().await?;
    let run = run_id();
    voice.open(&cluster, &uid, &user, &run)?;
    let now = cluster
        .now()
        .context("the API server's answers bear no date")?;
    let here = Here {
        cluster: cluster.label(),
        cluster_uid: &uid,
        now,
        max_age: args.max_age,
    };
    let order = match judged.order(here) {
        Ok(order) => order,
        Err(Shut::No(why)) => return Ok(Err(Ending::no(why))),
        Err(Shut::Unsound(why)) => return Err(why.into()),
    };
    known(args, &order)?;
    let claim = Claim {
        by: format!("{}@{}", user.username, host()),
        run,
        target: "roll".to_owned(),
    };
    Ok(Ok(Session {
        cluster,
        cluster_uid: uid,
        order,
        claim,
        now,
    }))
}

// A name that is mistyped must not look like a mesh that needs nothing.
fn known(args: &Args, order: &Order) -> anyhow::Result<()> {
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
        let what = "no workload of this control plane is in the stream; there is nothing to do";
        mesh_cli::warn(Tool::MeshRoll.name(), &anyhow::anyhow!(what));
    }
    if let Some(namespace) = namespaces.iter().find(is_strange) {
        let what = format!("no workload in the stream is in the namespace `{namespace}`");
        let hint = "is it mistyped? the survey shows what there is: mesh-survey -o table";
        return Err(Explained::new(what, hint).into());
    }
    let outages = args.outages();
    let outages = outages.iter().map(|it| ("--allow-outage", it));
    for (flag, selector) in exclude.iter().map(|it| ("--exclude", it)).chain(outages) {
        if !order.tasks.iter().any(|task| selector.selects(&task.key)) {
            let what = format!("{flag} {selector}: no workload in the stream is meant");
            mesh_cli::warn(Tool::MeshRoll.name(), &anyhow::anyhow!(what));
        }
    }
    Ok(())
}

// Standard input may be slow: whatever is before the pipe may take its time.
async fn read() -> anyhow::Result<Judged> {
    let read = tokio::task::spawn_blocking(|| {
        let input = records_from_stdin(PIPELINE)?;
        gate::read(input).context("standard input")
    });
    read.await.context("cannot read standard input")?
}

/// What was asked for.
pub(crate) fn settings(args: &Args, session: &Session) -> Settings {
    let Session {
        cluster,
        cluster_uid,
        order,
        claim: _,
        now,
    } = session;
    let deadline = args.deadline.and_then(|after| now.checked_add(after).ok());
    Settings {
        cluster: cluster.label().to_owned(),
        cluster_uid: cluster_uid.clone(),
        wishes: Wishes {
            choice: args.choice(),
            allow_outage: args.outages(),
        },
        expected: order.expected.clone(),
        max_in_flight: usize::from(args.max_in_flight),
        max_failures: args.max_failures,
        timeout: SignedDuration::try_from(args.timeout).unwrap_or(SignedDuration::MAX),
        deadline,
        verdict_until: order.until,
        dry_run: args.consent.dry_run,
        fail_on_attention: args.fail_on == Some(FailOn::Attention),
        stop_ok: args.stop_ok,
    }
}
