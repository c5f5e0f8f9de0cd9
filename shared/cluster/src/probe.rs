//! Finds out which proxy the injector gives a new pod, with a dry run of a pod.

use serde_json::{Value, json};

use crate::object::label;
use crate::object::{Object as _, Pod};
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::target::{Options, Target};
use crate::workload::proxy::{self, ProxyVersion};

/// The result of the dry run of a pod that asks for a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The pod got a proxy.
    Injected {
        /// The proxy's version.
        version: ProxyVersion,
        /// The proxy's image.
        image: String,
        /// Whether the proxy is a native sidecar.
        native: bool,
    },
    /// The pod got no proxy: the injector is down, excludes the namespace, or declines.
    NotInjected,
    /// The API server refused the pod; the field is its message.
    Refused(String),
}

/// The image does not exist: if such a pod were ever created, it could not run.
const IMAGE: &str = "probe.mesh-tools.invalid/none";
const MANAGER: &str = "mesh-tools";

impl Cluster {
    /// Creates a pod in `namespace` with `dryRun=All` and reads what the admission webhooks made of
    /// it. The injector's webhook runs in dry runs too. The pod has no owner, so that no object
    /// gets an event.
    pub async fn probe(&self, namespace: &str) -> Result<Probe, Error> {
        let options = Options {
            dry_run: true,
            field_manager: Some(MANAGER),
        };
        let pods = Target::within(Pod::RESOURCE, namespace);
        match self.create::<Pod>(&pods, &pod(namespace), options).await {
            Ok(pod) => Ok(Probe::of(&pod)),
            Err(error) if is_refusal(&error) => Ok(Probe::Refused(error.reason())),
            Err(error) => Err(error),
        }
    }
}

// A webhook with `failurePolicy: Fail` that cannot be reached gives 500; a quota or policy gives
// 403. Neither means that the connection is bad or that a right is missing.
fn is_refusal(error: &Error) -> bool {
    match error.why() {
        Why::Refused | Why::Conflict | Why::Broken => true,
        Why::Forbidden => !lacks_a_right(&error.reason()),
        Why::Unreachable
        | Why::TimedOut
        | Why::Unauthorized
        | Why::NotFound
        | Why::Gone
        | Why::Busy
        | Why::Malformed => false,
    }
}

fn lacks_a_right(reason: &str) -> bool {
    reason.contains("cannot create resource")
}

// The pod asks for few resources and sets strict security options, so that no quota or security
// policy refuses it.
fn pod(namespace: &str) -> Value {
    let resources = json!({ "cpu": "1m", "memory": "8Mi" });
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "mesh-probe-",
            "namespace": namespace,
            "annotations": { label::INJECT: "enabled" },
        },
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65534,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "probe",
                "image": IMAGE,
                "resources": { "requests": resources, "limits": resources },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    })
}

// === impl Probe ===

impl Probe {
    fn of(pod: &Pod) -> Self {
        match proxy::sidecar(&pod.spec) {
            None => Self::NotInjected,
            Some(sidecar) => Self::Injected {
                version: proxy::version(&sidecar.container.image, &pod.meta.annotations),
                image: sidecar.container.image.clone(),
                native: sidecar.native,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(extra: &str) -> Probe {
        let mut body = pod("shop");
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
            let Probe::Injected {
                version, native, ..
            } = seen(&format!("{{\"{list}\": [{proxy}]}}"))
            else {
                panic!("{list}");
            };
            assert_eq!(version.version.as_deref(), Some("stable-2.14.10"));
            assert_eq!(native, expected, "{list}");
        }
        assert_eq!(seen("{}"), Probe::NotInjected);
        let other =
            r#"{"initContainers": [{"name": "linkerd-init", "image": "m/p:stable-2.14.10"}]}"#;
        assert_eq!(seen(other), Probe::NotInjected);
    }

    #[test]
    fn the_pod_asks_for_a_proxy_and_has_no_owner() {
        let body = pod("shop");
        assert_eq!(
            body["metadata"]["annotations"]["linkerd.io/inject"],
            "enabled"
        );
        assert_eq!(body["metadata"].get("ownerReferences"), None);
    }
}
