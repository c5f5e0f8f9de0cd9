//! Watches the components until they have settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use mesh_actor::Outcome;
use mesh_cluster::clock::later;
use mesh_cluster::object::{Deployment, EndpointSlice, Event, Pod, ReplicaSet};
use mesh_cluster::{Cluster, Error, Selection};
use mesh_records::StepName;
use tokio::time::{Duration, Instant, timeout_at};

use crate::args::Args;
use crate::board::{Board, Component, Sight, State};
use crate::expected::Expected;
use crate::gate::Goal;
use crate::live::configured;
use crate::plan::{Plan, failed};
use crate::session::Session;

const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The events that matter, such as `FailedMount` and `Unhealthy`.
const WARNINGS: &str = "type=Warning";

/// What is watched until it has settled.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) target: &'a str,
    pub(crate) components: Vec<Expected>,
    /// The Services behind the webhooks.
    pub(crate) services: BTreeSet<String>,
}

/// Watches until every component of the plan runs the rendered template with all pods ready.
pub(crate) async fn settle(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    plan: &Plan,
) -> Outcome<()> {
    let count = plan.components.len();
    session.begin(
        StepName::Watch,
        &format!("waiting for {count} components to settle"),
    )?;
    let watched = Watched {
        namespace: &goal.namespace,
        target: &goal.target,
        components: plan.components.clone(),
        services: plan.control_plane.rendered.webhook_services(),
    };
    settled(session, args, watched).await
}

/// Watches until every component is as expected with all pods ready.
pub(crate) async fn settled(
    session: &mut Session<'_>,
    args: &Args,
    watched: Watched<'_>,
) -> Outcome<()> {
    let Watched {
        namespace,
        target,
        components,
        services,
    } = watched;
    let count = components.len();
    let cluster = Arc::clone(&session.cluster);
    let mut board = Board::new(components, services);
    let mut sights = std::pin::pin!(sights(&cluster, namespace));
    let deadline = later(args.timeout);
    let mut wake = deadline;
    let mut said = BTreeMap::new();
    loop {
        let next = session
            .unless_stopped(timeout_at(wake.min(deadline), sights.next()))
            .await?;
        match next {
            Ok(Some(Ok(Sight::NoEvents))) => session.run.blind("events"),
            Ok(Some(sight)) => board.see(sight?),
            Ok(None) => return Err(anyhow::anyhow!("a watch of the API server ended").into()),
            Err(_) if Instant::now() >= deadline => {
                let unsettled = unsettled(&board, session.now());
                let why = format!(
                    "the components are not ready after {:?}: {unsettled}",
                    args.timeout
                );
                return Err(failed(&why));
            }
            Err(_) => {}
        }
        let now = session.now();
        let Some(components) = board.components(now) else {
            continue;
        };
        tell(session, namespace, &components, &mut said)?;
        if let Some(why) = components.iter().find_map(failure) {
            return Err(failed(&why));
        }
        let fails_at = components.iter().filter_map(Component::fails_at).min();
        let left = fails_at.map(|at| Duration::try_from(at.duration_since(now)));
        wake = left.map_or(deadline, |left| later(left.unwrap_or(ASK_AGAIN)));
        let settled = components
            .iter()
            .all(|component| component.state == State::Settled);
        if settled && board.silent_services().is_empty() {
            break;
        }
    }
    confirm(session, namespace, target).await?;
    session.done(&format!(
        "all {count} components run {target} and are ready"
    ))
}

/// Checks that the configuration in the cluster names the target.
async fn confirm(session: &mut Session<'_>, namespace: &str, target: &str) -> Outcome<()> {
    let cluster = Arc::clone(&session.cluster);
    let version = session
        .unless_stopped(configured(&cluster, namespace))
        .await??;
    if version.as_deref() != Some(target) {
        let is = version.as_deref().unwrap_or("not readable");
        let why = format!("linkerd-config names {is}, not {target}");
        return Err(failed(&why));
    }
    Ok(())
}

fn sights<'a>(
    cluster: &'a Cluster,
    namespace: &'a str,
) -> impl futures::Stream<Item = Result<Sight, Error>> + 'a {
    let selection = Selection {
        namespace: Some(namespace),
        labels: None,
    };
    let deployments = cluster.watch::<Deployment>(selection).into_stream();
    let sets = cluster.watch::<ReplicaSet>(selection).into_stream();
    let pods = cluster.watch::<Pod>(selection).into_stream();
    let slices = cluster.watch::<EndpointSlice>(selection).into_stream();
    let events = cluster.watch::<Event>(selection).with_fields(WARNINGS);
    // Events only explain, so nothing fails without them.
    let events = events.into_stream().map_ok(Sight::Event);
    let events = events.or_else(async |_| Ok(Sight::NoEvents));
    let all = [
        events.boxed_local(),
        deployments
            .map_ok(|change| Sight::Deployment(Box::new(change)))
            .boxed_local(),
        sets.map_ok(Sight::ReplicaSet).boxed_local(),
        pods.map_ok(Sight::Pod).boxed_local(),
        slices.map_ok(Sight::Slice).boxed_local(),
    ];
    futures::stream::select_all(all)
}

// Writes a record for each component that has changed.
fn tell(
    session: &mut Session<'_>,
    namespace: &str,
    components: &[Component],
    said: &mut BTreeMap<String, Component>,
) -> Outcome<()> {
    for component in components {
        if said.get(&component.name) == Some(component) {
            continue;
        }
        let reason = component.reason();
        session.progress(namespace, &component.name, component.pods, reason)?;
        said.insert(component.name.clone(), component.clone());
    }
    Ok(())
}

fn failure(component: &Component) -> Option<String> {
    match &component.state {
        State::Failed(problem) => Some(format!("{}: {problem}", component.name)),
        State::Settled | State::Moving(_) | State::HeldUp(_) => None,
    }
}

fn unsettled(board: &Board, now: Timestamp) -> String {
    let components = board.components(now).unwrap_or_default();
    let waiting = components.iter().filter_map(|component| {
        let reason = component.reason()?;
        Some(format!("{}: {reason}", component.name))
    });
    let silent = board.silent_services().into_iter();
    let silent = silent.map(|service| format!("the Service {service} has no ready endpoint"));
    let all: Vec<String> = waiting.chain(silent).collect();
    if all.is_empty() {
        "the API server did not list the objects of the control plane in time".to_owned()
    } else {
        all.join("; ")
    }
}
