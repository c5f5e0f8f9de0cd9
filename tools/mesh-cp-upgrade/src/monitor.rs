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
use crate::relist::listed;
use crate::session::Session;
use crate::trust;

const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long it may take until what was written is read so.
const CONFIRMED: Duration = Duration::from_secs(10);
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

/// What the components look like at one moment.
#[derive(Debug)]
struct Glance {
    /// Whether all are as expected, and their webhooks can be called.
    settled: bool,
    /// When one of them counts as failed, if it stays as it is.
    fails_at: Option<Instant>,
}

/// Until when everything that is settled must stay so. The time limit is for that to begin.
#[derive(Debug)]
struct Calm {
    until: Option<Instant>,
    settle: Duration,
    deadline: Instant,
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
    let mut board = Board::new(components, services.clone());
    let mut sights = std::pin::pin!(sights(&cluster, namespace));
    let deadline = later(args.timeout);
    let mut calm = Calm::new(deadline, args.settle);
    let mut fails_at = None;
    let mut said = BTreeMap::new();
    loop {
        let next = session
            .unless_stopped(timeout_at(calm.wake(fails_at), sights.next()))
            .await?;
        match next {
            Ok(Some(Ok(Sight::NoEvents))) => session.run.blind("events"),
            Ok(Some(sight)) => board.see(sight?),
            Ok(None) => return Err(anyhow::anyhow!("a watch of the API server ended").into()),
            Err(_) if calm.is_too_late() => {
                let after = args.timeout;
                let why = unsettled(&board, session.now());
                let why = format!("the components are not ready after {after:?}: {why}");
                return Err(failed(&why));
            }
            Err(_) => {}
        }
        let Some(glance) = glance(session, namespace, &board, &mut said)? else {
            continue;
        };
        fails_at = glance.fails_at;
        if calm.begins(glance.settled) {
            let settle = args.settle;
            let said = format!("all {count} components are ready; watching them for {settle:?}");
            session.says_object(&said)?;
        }
        if calm.has_lasted() {
            // A watch that has gone silent shows nothing of what has failed since.
            let listed = session.unless_stopped(listed(&cluster, namespace)).await?;
            listed?.into_iter().for_each(|sight| board.see(sight));
            let last = self::glance(session, namespace, &board, &mut said)?;
            if last.is_some_and(|glance| glance.settled) {
                break;
            }
            calm.ends();
        }
    }
    confirm(session, namespace, target, &services).await?;
    session.done(&format!(
        "all {count} components run {target} and are ready"
    ))
}

// Says what has changed. Fails as soon as a component does, and returns `None` as long as not all was
// listed.
fn glance(
    session: &mut Session<'_>,
    namespace: &str,
    board: &Board,
    said: &mut BTreeMap<String, Component>,
) -> Outcome<Option<Glance>> {
    let now = session.now();
    let Some(components) = board.components(now) else {
        return Ok(None);
    };
    tell(session, namespace, &components, said)?;
    if let Some(why) = components.iter().find_map(failure) {
        return Err(failed(&why));
    }
    let at = components.iter().filter_map(Component::fails_at).min();
    let left = at.map(|at| Duration::try_from(at.duration_since(now)));
    let mut states = components.iter().map(|component| &component.state);
    let settled = states.all(|state| *state == State::Settled);
    Ok(Some(Glance {
        settled: settled && board.silent_services().is_empty(),
        fails_at: left.map(|left| later(left.unwrap_or(ASK_AGAIN))),
    }))
}

// Checks that the configuration in the cluster names the target, and that the API server trusts the
// webhooks. One answer that does not come says nothing of either.
async fn confirm(
    session: &mut Session<'_>,
    namespace: &str,
    target: &str,
    services: &BTreeSet<String>,
) -> Outcome<()> {
    let cluster = Arc::clone(&session.cluster);
    let deadline = later(CONFIRMED);
    loop {
        let asking = async {
            let both = (
                configured(&cluster, namespace),
                trust::broken(&cluster, namespace, services),
            );
            futures::join!(both.0, both.1)
        };
        let (version, broken) = session.unless_stopped(asking).await?;
        let broken = match broken {
            Err(error) if error.rule().is_some() => {
                session.run.blind("webhooks and their certificates");
                Ok(None)
            }
            broken => broken,
        };
        let wrong = match (version, broken) {
            (Ok(version), Ok(broken)) => Ok(wrong(version.as_deref(), target).or(broken)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        let is_over = Instant::now() >= deadline;
        match wrong {
            Ok(None) => return Ok(()),
            Ok(Some(why)) if is_over => return Err(failed(&why)),
            Err(error) if is_over || error.rule().is_some() => return Err(error.into()),
            Ok(Some(_)) | Err(_) => {}
        }
        session
            .unless_stopped(tokio::time::sleep(ASK_AGAIN))
            .await?;
    }
}

fn wrong(version: Option<&str>, target: &str) -> Option<String> {
    let is = version.unwrap_or("not readable");
    (version != Some(target)).then(|| format!("linkerd-config names {is}, not {target}"))
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

// === impl Calm ===

impl Calm {
    fn new(deadline: Instant, settle: Duration) -> Self {
        Self {
            until: None,
            settle,
            deadline,
        }
    }

    // Returns true if from now on everything is settled.
    fn begins(&mut self, settled: bool) -> bool {
        let begins = settled && self.until.is_none() && !self.settle.is_zero();
        self.until = settled.then(|| self.until.unwrap_or_else(|| later(self.settle)));
        begins
    }

    // From now on, not everything is settled any more.
    fn ends(&mut self) {
        self.until = None;
    }

    fn has_lasted(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn is_too_late(&self) -> bool {
        self.until.is_none() && Instant::now() >= self.deadline
    }

    fn wake(&self, fails_at: Option<Instant>) -> Instant {
        let until = self.until.unwrap_or(self.deadline);
        fails_at.map_or(until, |at| at.min(until))
    }
}
