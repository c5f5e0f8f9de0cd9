//! Plays a pod's life, from its first status to its end.

use std::{sync::atomic::Ordering, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};

use super::{
    Shared,
    behaviour::{Behaviour, Plan},
    rule::node_of,
    status::{self, Identity, Stage, now},
};

/// The pauses between two crashes, shorter than a real kubelet's.
const CRASH_PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// For how long a pod that is ready and then crashes is ready.
const READY_FOR: Duration = Duration::from_secs(2);

// === impl Shared ===

impl Shared {
    pub(super) async fn play(&self, pod: &Pod, stopping: bool) {
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
        // After a reconnect the bed sees pods that it has already played.
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
        if let Some(processes) = &self.processes {
            processes.ready(write.pod).await?;
        }
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
                crash(write).await
            }
            Behaviour::ReadyThenCrash => {
                write.stage(Stage::Running { ready: true }).await?;
                tokio::time::sleep(READY_FOR).await;
                crash(write).await
            }
        }
    }

    async fn stop(&self, pod: &Pod) -> anyhow::Result<()> {
        let delay = Plan::of(pod)
            .map(|plan| plan.stopped_after)
            .unwrap_or_default();
        tokio::time::sleep(delay).await;
        self.reachable(pod).await?;
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
    crate::nodes::address(node_of(pod).expect("only pods on a node are played"))
}

async fn crash(write: &Writer<'_>) -> anyhow::Result<()> {
    for (restarts, pause) in (1..).zip(CRASH_PAUSES) {
        tokio::time::sleep(pause).await;
        write.stage(Stage::Crashed { restarts }).await?;
    }
    Ok(())
}

struct Writer<'a> {
    shared: &'a Shared,
    pod: &'a Pod,
    identity: Identity<'a>,
}

impl Writer<'_> {
    async fn stage(&self, stage: Stage) -> anyhow::Result<()> {
        let permit = self.shared.writes.acquire().await?;
        let patch = Patch::Merge(status::patch(self.pod, self.identity, &stage, now()));
        let pods = self.shared.pods_beside(self.pod);
        pods.patch_status(&self.pod.name_any(), &PatchParams::default(), &patch)
            .await?;
        drop(permit);
        Ok(())
    }
}

/// Returns true if the pod is gone or was replaced by one with the same name, so nothing is left to
/// play.
fn overtaken(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if matches!(status.code, 404 | 409))
}
