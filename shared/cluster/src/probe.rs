//! What the injector gives a new pod now, found out with a pod that is never created.

use serde_json::{Value, json};

use crate::object::label;
use crate::object::{Object as _, Pod};
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::target::{Options, Target};
use crate::workload::proxy::{self, ProxyVersion};

/// What became of a pod that asked for a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It got one.
    Injected {
        /// The proxy's version.
        version: ProxyVersion,
        /// The proxy's image.
        image: String,
        /// As a native sidecar.
        native: bool,
    },
    /// It got none: the injector is away, does not see the namespace, or declines.
    NotInjected,
    /// The API server would not take it; this is what it said.
    Refused(String),
}

/// The image exists nowhere: should such a pod ever run, it could do nothing.
const IMAGE: &str = "probe.mesh-tools.invalid/none";
const MANAGER: &str = "mesh-tools";

impl Cluster {
    /// Asks the API server for a pod in `namespace` with `dryRun=All` and looks at what the
    /// admission webhooks made of it. The injector's webhook takes part in dry runs; the pod has no
    /// owner, so that nobody gets an event.
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

// A webhook that fails closed and cannot be reached answers with 500, a quota or a policy with 403:
// neither is a fault of the connection, nor lacks it a right.
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

// It asks for as little as a quota or a security policy may want, so that neither refuses it for
// a reason of its own.
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
    fn a_proxy_is_found_in_either_list_and_its_absence_is_an_answer_of_its_own() {
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
