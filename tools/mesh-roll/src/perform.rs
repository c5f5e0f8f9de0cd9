//! Performs the actions of the core. Each request returns the event that answers it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use mesh_actor::{Ending, Outcome, Taken};
use mesh_cli::Leave;
use mesh_cluster::act::{Eviction, Restart};
use mesh_cluster::object::label::CONFIG;
use mesh_cluster::object::{ConfigMap, Node, Pod};
use mesh_cluster::workload::rollout::PodSeen;
use mesh_cluster::{Cluster, Error, Lock, Page, Selection, Why};
use mesh_records::WorkloadRef;

use crate::roll::{Answer, Event, Evicted, Sample};
use crate::wave_gate::WaveGate;

/// The result of a request.
#[derive(Debug)]
pub(crate) enum Happened {
    Event(Event),
    /// The lock is taken; with the resourceVersion of the control plane's configuration.
    Locked(Lock, String),
    /// The nodes that are not ready, or the error of the request.
    Nodes(Result<BTreeSet<String>, Error>),
    /// The run cannot go on.
    Ended(Ending),
}

/// A request that is running.
pub(crate) type Work = LocalBoxFuture<'static, Happened>;

/// Waits for consent.
pub(crate) fn ask(asking: impl Future<Output = Outcome<Leave>> + 'static) -> Work {
    Box::pin(async move {
        match asking.await {
            Ok(_) => Happened::Event(Event::Agreed),
            Err(ending) => Happened::Ended(ending),
        }
    })
}

/// Takes the lock, then reads the configuration; from then on no other run changes it.
pub(crate) fn lock(
    taking: impl Future<Output = Outcome<Taken>> + 'static,
    cluster: Arc<Cluster>,
    namespace: String,
) -> Work {
    Box::pin(async move {
        let lock = match taking.await {
            Ok(Taken { lock, .. }) => lock,
            Err(ending) => return Happened::Ended(ending),
        };
        match cluster.get::<ConfigMap>(Some(&namespace), CONFIG).await {
            Ok(config) => Happened::Locked(lock, config.meta.resource_version),
            Err(error) => Happened::Ended(error.into()),
        }
    })
}

pub(crate) fn restart(cluster: Arc<Cluster>, restart: Restart) -> Work {
    Box::pin(async move {
        let answer = match cluster.restart(&restart).await {
            Ok(observed) => Answer::Done(Box::new(observed)),
            Err(error) => answer(&error),
        };
        Happened::Event(Event::Patched(restart.key, answer))
    })
}

// Without an answer from the server the write may have happened.
fn answer(error: &Error) -> Answer {
    match error.why() {
        _ if error.is_of_admission() => Answer::Refused(words(error)),
        _ if error.is_untaken() => Answer::Busy(words(error)),
        Why::Conflict => Answer::Changed,
        Why::NotFound => Answer::Missing(words(error)),
        Why::Forbidden if error.lacks_a_right() => Answer::Forbidden(words(error)),
        Why::Forbidden | Why::Unauthorized | Why::Refused | Why::Gone => {
            Answer::Refused(words(error))
        }
        Why::Unreachable | Why::TimedOut | Why::Busy | Why::Broken | Why::Malformed => {
            Answer::Lost(words(error))
        }
    }
}

pub(crate) fn evict(cluster: Arc<Cluster>, eviction: Eviction) -> Work {
    Box::pin(async move {
        let evicted = match cluster.evict(&eviction).await {
            Ok(()) => Evicted::Done,
            Err(error) => evicted(&error),
        };
        Happened::Event(Event::Evicted(eviction.key, evicted))
    })
}

fn evicted(error: &Error) -> Evicted {
    if let Some(said) = error.budget() {
        return Evicted::Disallowed(said.to_owned());
    }
    if error.has_two_budgets() {
        return Evicted::Never(error.reason());
    }
    match error.why() {
        _ if error.is_of_admission() => Evicted::Refused(words(error)),
        _ if error.is_untaken() => Evicted::Busy(words(error)),
        _ if error.is_of_a_terminating_namespace() => Evicted::Ends,
        Why::NotFound | Why::Conflict => Evicted::Other,
        Why::Forbidden if error.lacks_a_right() => Evicted::Forbidden(words(error)),
        Why::Forbidden | Why::Unauthorized | Why::Refused | Why::Gone => {
            Evicted::Refused(words(error))
        }
        Why::Unreachable | Why::TimedOut | Why::Busy | Why::Broken | Why::Malformed => {
            Evicted::Lost(words(error))
        }
    }
}

pub(crate) fn look(cluster: Arc<Cluster>, key: WorkloadRef) -> Work {
    Box::pin(async move {
        let observed = cluster.observe(&key).await;
        let observed = observed.map(|it| it.map(Box::new));
        Happened::Event(match observed {
            Err(error) if error.lacks_a_right() => Event::Blind(words(&error)),
            observed => Event::Looked(key, observed.map_err(|error| words(&error))),
        })
    })
}

/// Lists the pods of a workload, and asks what the injector gives a new one.
pub(crate) fn prepare(cluster: Arc<Cluster>, key: WorkloadRef, selector: String) -> Work {
    Box::pin(async move {
        let listing = pods_by(&cluster, &key, &selector);
        let (pods, probe) = futures::join!(listing, cluster.probe(&key));
        let event = match (pods, probe) {
            // A right is gone, so a later attempt would not help.
            (Err(error), _) if error.lacks_a_right() => Event::Blind(words(&error)),
            (_, Err(error)) if error.lacks_a_right() => Event::Forbidden(key, words(&error)),
            (pods, probe) => Event::Prepared(
                key,
                pods.map_err(|error| words(&error)),
                probe.map_err(|error| words(&error)),
            ),
        };
        Happened::Event(event)
    })
}

/// Lists the pods of a workload; `answer` makes the event from the result.
pub(crate) fn list(
    cluster: Arc<Cluster>,
    key: WorkloadRef,
    selector: String,
    answer: fn(WorkloadRef, Result<Vec<PodSeen>, String>) -> Event,
) -> Work {
    Box::pin(async move {
        Happened::Event(match pods_by(&cluster, &key, &selector).await {
            // A right is gone, so a later attempt would not help.
            Err(error) if error.lacks_a_right() => Event::Blind(words(&error)),
            pods => answer(key, pods.map_err(|error| words(&error))),
        })
    })
}

async fn pods_by(
    cluster: &Cluster,
    key: &WorkloadRef,
    selector: &str,
) -> Result<Vec<PodSeen>, Error> {
    let selection = Selection {
        namespace: Some(&key.namespace),
        labels: Some(selector),
    };
    let pods = cluster.pages::<Pod>(selection).all().await?;
    let pods = pods.iter().map(PodSeen::of);
    let pods = pods.map(|pod| pod.filed(|set| set == key));
    Ok(pods.filter(|pod| pod.owner.as_ref() == Some(key)).collect())
}

/// Lists the pods of the proven workloads, in pages because they may be those of a whole cluster.
pub(crate) fn list_proven(cluster: Arc<Cluster>, keys: Vec<WorkloadRef>) -> Work {
    Box::pin(async move {
        Happened::Event(match pods_of(&cluster, &keys).await {
            // A right is gone, so a later attempt would not help.
            Err(error) if error.lacks_a_right() => Event::Blind(words(&error)),
            pods => Event::ListedProven(pods.map_err(|error| words(&error))),
        })
    })
}

async fn pods_of(cluster: &Cluster, keys: &[WorkloadRef]) -> Result<Vec<PodSeen>, Error> {
    let namespaces: BTreeSet<&str> = keys.iter().map(|key| key.namespace.as_str()).collect();
    let only = namespaces.first().filter(|_| namespaces.len() == 1);
    let selection = Selection {
        namespace: only.copied(),
        labels: None,
    };
    let keys: BTreeSet<&WorkloadRef> = keys.iter().collect();
    let mut pages = cluster.pages::<Pod>(selection);
    let mut pods = Vec::new();
    while let Some(page) = pages.next_page().await? {
        match page {
            Page::Items(items) => {
                let seen = items.iter().map(PodSeen::of);
                let seen = seen.map(|pod| pod.filed(|set| keys.contains(set)));
                pods.extend(
                    seen.filter(|pod| pod.owner.as_ref().is_some_and(|it| keys.contains(it))),
                );
            }
            Page::Restarted => pods.clear(),
        }
    }
    Ok(pods)
}

pub(crate) fn probe(cluster: Arc<Cluster>, key: WorkloadRef) -> Work {
    Box::pin(async move {
        let probe = cluster.probe(&key).await;
        let probe = probe.map_err(|error| words(&error));
        Happened::Event(Event::Probed(key, probe))
    })
}

pub(crate) fn compare(cluster: Arc<Cluster>, key: WorkloadRef, sample: Sample) -> Work {
    Box::pin(async move {
        let probe = match &sample {
            Sample::Plain(namespace) => cluster.probe_plain(namespace).await,
            Sample::Of(other) => cluster.probe(other).await,
        };
        let probe = probe.map_err(|error| words(&error));
        Happened::Event(Event::Compared(key, sample, probe))
    })
}

pub(crate) fn nodes(cluster: Arc<Cluster>) -> Work {
    Box::pin(async move {
        let pages = cluster.pages_as::<Node>(Node::RESOURCE, Selection::default());
        let nodes = pages.all().await.map(|nodes| {
            let nodes = nodes.into_iter().filter(|node| !node.is_ready());
            nodes.map(|node| node.meta.name).collect()
        });
        Happened::Nodes(nodes)
    })
}

/// Asks the gate between two waves.
pub(crate) fn gate(gate: WaveGate, records: Vec<u8>, limit: Duration) -> Work {
    Box::pin(async move { Happened::Event(Event::Gated(gate.ask(records, limit).await)) })
}

/// Returns an error on one line, with the RBAC rule that is missing.
pub(crate) fn words(error: &Error) -> String {
    let rule = error
        .rule()
        .map(|rule| format!(" (needs the RBAC rule {rule})"));
    format!("{error}: {}{}", error.reason(), rule.unwrap_or_default())
}
