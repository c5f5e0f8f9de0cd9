//! A kubelet for all fake nodes: it plays pods through the real API and runs nothing.

mod behaviour;
mod status;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use futures::StreamExt as _;
use jiff::{Timestamp, Zoned};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use tokio::{
    sync::{Semaphore, watch},
    task::AbortHandle,
};

pub use self::behaviour::{BEHAVIOUR, READY_DELAY, STOP_DELAY, WITH_PROXY};
use self::{
    behaviour::{Behaviour, Plan},
    status::{Identity, Stage},
};
use crate::{journal::Journal, wait::Soon};

/// As many writes as the API server takes at once without getting slower.
const CONCURRENT_WRITES: usize = 32;
/// The pauses between a crash and the next, shorter than a real kubelet's.
const CRASH_PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// The kubelet of a bed's nodes.
#[derive(Clone)]
pub struct Kubelet {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    journal: Journal,
    holds: watch::Sender<Vec<HoldRule>>,
    next_hold: AtomicU64,
    next_address: AtomicU32,
    writes: Semaphore,
}

#[derive(Clone, Debug)]
struct HoldRule {
    id: u64,
    namespace: String,
    labels: Vec<(String, String)>,
}

/// Keeps pods from becoming ready until it is dropped.
#[must_use = "dropping it lets the pods go on"]
pub struct Hold {
    id: u64,
    shared: Arc<Shared>,
}

// === impl Kubelet ===

impl Kubelet {
    pub(crate) fn new(client: Client, journal: Journal) -> Self {
        let shared = Shared {
            client,
            journal,
            holds: watch::Sender::default(),
            next_hold: AtomicU64::default(),
            next_address: AtomicU32::default(),
            writes: Semaphore::new(CONCURRENT_WRITES),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Keeps pods with all of `labels` (`app=web,tier=front`; none means every pod) in `namespace`
    /// (empty means every one) from becoming ready. Pods that are ready stay so.
    pub fn hold(&self, namespace: &str, labels: &str) -> Hold {
        let id = self.shared.next_hold.fetch_add(1, Ordering::Relaxed);
        let labels = labels.split(',').filter(|label| !label.is_empty());
        let labels = labels.map(|label| {
            let (key, value) = label.split_once('=').expect("a label to hold is KEY=VALUE");
            (key.to_owned(), value.to_owned())
        });
        let rule = HoldRule {
            id,
            namespace: namespace.to_owned(),
            labels: labels.collect(),
        };
        self.shared.holds.send_modify(|holds| holds.push(rule));
        Hold {
            id,
            shared: Arc::clone(&self.shared),
        }
    }

    /// Plays every pod that is bound to a node, until the watch cannot go on.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        let pods: Api<Pod> = Api::all(self.shared.client.clone());
        let config = watcher::Config::default().fields("spec.nodeName!=");
        let mut events = std::pin::pin!(watcher(pods, config).backoff(Soon));
        let mut playing: HashMap<String, Playing> = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(pod) | Event::InitApply(pod)) => self.see(&mut playing, pod),
                Ok(Event::Delete(pod)) => {
                    if let Some(gone) = pod.uid().and_then(|uid| playing.remove(&uid)) {
                        gone.task.abort();
                    }
                }
                Ok(Event::Init | Event::InitDone) => {}
                Err(error) => self.shared.journal.note("kubelet", &error),
            }
        }
        anyhow::bail!("the watch of pods ended")
    }

    fn see(&self, playing: &mut HashMap<String, Playing>, pod: Pod) {
        let Some(uid) = pod.uid() else { return };
        let stopping = pod.metadata.deletion_timestamp.is_some();
        match playing.get(&uid) {
            Some(known) if known.stopping || !stopping => return,
            Some(known) => known.task.abort(),
            None => {}
        }
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move { shared.play(&pod, stopping).await });
        playing.insert(
            uid,
            Playing {
                stopping,
                task: task.abort_handle(),
            },
        );
    }
}

impl std::fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubelet")
            .field("holds", &*self.shared.holds.borrow())
            .finish_non_exhaustive()
    }
}

struct Playing {
    stopping: bool,
    task: AbortHandle,
}

// === impl Shared ===

impl Shared {
    async fn play(&self, pod: &Pod, stopping: bool) {
        let played = if stopping {
            self.stop(pod).await
        } else {
            self.start(pod).await
        };
        match played {
            Err(error) if !overtaken(&error) => {
                let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
                self.journal.note("kubelet", format!("{name}: {error:#}"));
            }
            Ok(()) | Err(_) => {}
        }
    }

    async fn start(&self, pod: &Pod) -> anyhow::Result<()> {
        // A bed that reconnects sees pods again that it has played already.
        if pod
            .status
            .as_ref()
            .is_some_and(|status| status.start_time.is_some())
        {
            return Ok(());
        }
        let number = self.next_address.fetch_add(1, Ordering::Relaxed) + 256;
        let [_, a, b, c] = number.to_be_bytes();
        let pod_ip = format!("10.{}.{b}.{c}", a.wrapping_add(1));
        let host_ip = host_ip(pod);
        let write = Writer {
            shared: self,
            pod,
            identity: Identity {
                pod_ip: &pod_ip,
                host_ip: &host_ip,
                started: now(),
            },
        };
        write.stage(Stage::Creating).await?;
        match Plan::of(pod) {
            Ok(plan) => self.follow(&write, plan).await,
            Err(message) => {
                write
                    .stage(Stage::Waiting {
                        reason: "CreateContainerConfigError",
                        message,
                    })
                    .await
            }
        }
    }

    async fn follow(&self, write: &Writer<'_>, plan: Plan) -> anyhow::Result<()> {
        tokio::time::sleep(plan.ready_after).await;
        self.released(write.pod).await?;
        match plan.behaviour {
            Behaviour::Ok | Behaviour::Slow => write.stage(Stage::Running { ready: true }).await,
            Behaviour::NeverReady => write.stage(Stage::Running { ready: false }).await,
            Behaviour::JobDone => {
                write.stage(Stage::Running { ready: true }).await?;
                tokio::time::sleep(plan.ready_after).await;
                write.stage(Stage::Succeeded).await
            }
            Behaviour::ImagePull => {
                let message = "failed to pull and unpack image: not found".to_owned();
                write
                    .stage(Stage::Waiting {
                        reason: "ErrImagePull",
                        message,
                    })
                    .await?;
                tokio::time::sleep(plan.ready_after).await;
                let message = "Back-off pulling image".to_owned();
                write
                    .stage(Stage::Waiting {
                        reason: "ImagePullBackOff",
                        message,
                    })
                    .await
            }
            Behaviour::CrashLoop => {
                write.stage(Stage::Running { ready: false }).await?;
                for (restarts, pause) in (1..).zip(CRASH_PAUSES) {
                    tokio::time::sleep(pause).await;
                    write.stage(Stage::Crashed { restarts }).await?;
                }
                Ok(())
            }
        }
    }

    async fn released(&self, pod: &Pod) -> anyhow::Result<()> {
        let mut holds = self.holds.subscribe();
        let free = |holds: &Vec<HoldRule>| !holds.iter().any(|hold| hold.covers(pod));
        holds
            .wait_for(free)
            .await
            .context("the bed is closing")
            .map(drop)
    }

    async fn stop(&self, pod: &Pod) -> anyhow::Result<()> {
        let delay = Plan::of(pod)
            .map(|plan| plan.stopped_after)
            .unwrap_or_default();
        tokio::time::sleep(delay).await;
        let permit = self.writes.acquire().await?;
        let preconditions = Preconditions {
            uid: pod.uid(),
            resource_version: None,
        };
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        self.pods_beside(pod)
            .delete(&pod.name_any(), &params)
            .await?;
        drop(permit);
        Ok(())
    }

    fn pods_beside(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default())
    }
}

fn host_ip(pod: &Pod) -> String {
    let node = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default();
    crate::nodes::address(node)
}

struct Writer<'a> {
    shared: &'a Shared,
    pod: &'a Pod,
    identity: Identity<'a>,
}

impl Writer<'_> {
    async fn stage(&self, stage: Stage) -> anyhow::Result<()> {
        let permit = self.shared.writes.acquire().await?;
        let patch = Patch::Strategic(status::patch(self.pod, self.identity, &stage, now()));
        let pods = self.shared.pods_beside(self.pod);
        pods.patch_status(&self.pod.name_any(), &PatchParams::default(), &patch)
            .await?;
        drop(permit);
        Ok(())
    }
}

fn now() -> Timestamp {
    let now = Zoned::now().timestamp();
    // Kubernetes keeps whole seconds.
    Timestamp::from_second(now.as_second()).expect("a present time is in range")
}

/// The pod went, or a namesake took its place: nothing is left to play.
fn overtaken(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if matches!(status.code, 404 | 409))
}

// === impl Hold ===

impl Hold {
    /// Lets the pods go on.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared
            .holds
            .send_modify(|holds| holds.retain(|hold| hold.id != self.id));
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl HoldRule {
    fn covers(&self, pod: &Pod) -> bool {
        let place = self.namespace.is_empty()
            || pod.namespace().as_deref() == Some(self.namespace.as_str());
        place
            && self
                .labels
                .iter()
                .all(|(key, value)| pod.labels().get(key) == Some(value))
    }
}
