//! Finds out what the API server makes of a new pod, with a dry run: which proxy the injector gives
//! it, or why it is refused.

mod pod;
mod refusal;

use std::collections::BTreeMap;

use mesh_records::WorkloadRef;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::act::rollable;
use crate::object::{Deployment, Object as _, Pod, label};
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::target::{Options, Target};
use crate::workload::proxy::{self, ProxyVersion};

pub use refusal::{Refusal, Refuser};

/// The result of the dry run of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The pod got a proxy.
    Injected(Injected),
    /// The pod got no proxy: the injector is down, excludes the namespace, or declines.
    NotInjected,
    /// The API server refused the pod.
    Refused(Refusal),
}

/// The proxy that a pod got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// The proxy's version.
    pub version: ProxyVersion,
    /// The proxy's image.
    pub image: String,
    /// Whether the proxy is a native sidecar.
    pub native: bool,
    /// SHA-256 of the trust bundle that the injector gave the pod.
    pub anchors: Option<String>,
    /// Whether the pod asks for a proxy version, after everything that changed it.
    pub is_pinned: bool,
    /// The pod's labels, also those that admission added.
    pub labels: BTreeMap<String, String>,
}

const MANAGER: &str = "mesh-tools";

impl Cluster {
    /// Creates a pod from the template of a workload that can be rolled with `dryRun=All`, and returns what admission made of it. The pod has no owner, so that no object
    /// gets an event. Returns `None` if the workload does not exist.
    ///
    /// # Errors
    /// The answer says nothing of the pod: there was none, or a right is missing.
    pub async fn probe(&self, key: &WorkloadRef) -> Result<Option<Probe>, Error> {
        let Some(resource) = rollable(&key.kind) else {
            let cause = format!("a {} has no pod template", key.kind);
            return Err(Error::malformed("reading a pod template", &cause));
        };
        let target = Target::one(resource, Some(&key.namespace), &key.name);
        let workload = match self.get_as::<Value>(&target).await {
            // An Argo Rollout may leave its template to a Deployment, which has no pods.
            Ok(workload) => match pod::kept_in(&workload) {
                None => Ok(workload),
                Some(name) => {
                    let target = Target::one(Deployment::RESOURCE, Some(&key.namespace), name);
                    self.get_as::<Value>(&target).await
                }
            },
            Err(error) => Err(error),
        };
        match workload {
            Ok(workload) => self.probed(&key.namespace, &pod::of(&workload)).await,
            Err(error) if error.why() == Why::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Like [`Cluster::probe`], for a plain pod that asks for a proxy. Returns `None` if the
    /// namespace does not exist.
    ///
    /// # Errors
    /// The answer says nothing of the pod: there was none, or a right is missing.
    pub async fn probe_plain(&self, namespace: &str) -> Result<Option<Probe>, Error> {
        self.probed(namespace, &pod::plain()).await
    }

    /// Creates a pod from the template of a workload with `dryRun=All`, and returns the pod that
    /// admission made of it, or why it is refused. The workload need not be there yet, such as a
    /// rendered Deployment. Returns `None` if the namespace does not exist.
    ///
    /// # Errors
    /// The answer says nothing of the pod: there was none, or a right is missing.
    pub async fn admitted<T: DeserializeOwned>(
        &self,
        namespace: &str,
        workload: &Value,
    ) -> Result<Option<Result<T, Refusal>>, Error> {
        self.admit(namespace, &pod::of(workload)).await
    }

    async fn probed(&self, namespace: &str, pod: &Value) -> Result<Option<Probe>, Error> {
        let admitted = self.admit::<Pod>(namespace, pod).await?;
        Ok(admitted.map(|pod| pod.map_or_else(Probe::Refused, |pod| Probe::of(&pod))))
    }

    async fn admit<T: DeserializeOwned>(
        &self,
        namespace: &str,
        pod: &Value,
    ) -> Result<Option<Result<T, Refusal>>, Error> {
        let options = Options {
            dry_run: true,
            field_manager: Some(MANAGER),
        };
        let pods = Target::within(Pod::RESOURCE, namespace);
        match self.create(&pods, pod, options).await {
            Ok(pod) => Ok(Some(Ok(pod))),
            // A webhook may deny a pod with any code, 404 too.
            Err(error) => match Refusal::of(&error) {
                Some(refusal) => Ok(Some(Err(refusal))),
                None if error.why() == Why::NotFound => Ok(None),
                None => Err(error),
            },
        }
    }
}

// === impl Probe ===

impl Probe {
    fn of(pod: &Pod) -> Self {
        let annotations = &pod.meta.annotations;
        match proxy::sidecar(&pod.spec) {
            None => Self::NotInjected,
            Some(sidecar) => Self::Injected(Injected {
                version: proxy::version(&sidecar.container.image, annotations),
                image: sidecar.container.image.clone(),
                native: sidecar.native,
                anchors: proxy::trust_anchors(&pod.meta).map(str::to_owned),
                is_pinned: annotations.contains_key(label::PIN_VERSION),
                labels: pod.meta.labels.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(extra: &str) -> Probe {
        let mut body = pod::plain();
        let extra: Value = serde_json::from_str(extra).unwrap();
        for (list, containers) in extra.as_object().unwrap() {
            let mut all = containers.as_array().unwrap().clone();
            all.extend(body["spec"][list].as_array().cloned().unwrap_or_default());
            body["spec"][list] = all.into();
        }
        Probe::of(&serde_json::from_value(body).unwrap())
    }

    #[test]
    fn a_proxy_is_found_in_containers_or_init_containers_else_not_injected() {
        let proxy = r#"{"name": "linkerd-proxy", "image": "m/p:stable-2.14.10"}"#;
        for (list, expected) in [("containers", false), ("initContainers", true)] {
            let Probe::Injected(injected) = seen(&format!("{{\"{list}\": [{proxy}]}}")) else {
                panic!("{list}");
            };
            assert_eq!(injected.version.version.as_deref(), Some("stable-2.14.10"));
            assert_eq!(injected.native, expected, "{list}");
        }
        assert_eq!(seen("{}"), Probe::NotInjected);
        let other =
            r#"{"initContainers": [{"name": "linkerd-init", "image": "m/p:stable-2.14.10"}]}"#;
        assert_eq!(seen(other), Probe::NotInjected);
    }
}
