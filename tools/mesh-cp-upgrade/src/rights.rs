//! Asks for the rights to write a control plane that cannot be rendered yet.

use mesh_actor::{Ending, refused};
use mesh_cluster::object::Resource;
use mesh_cluster::{Cluster, Right, label};

/// An object that every release from stable-2.11 on renders, with whatever values; a `*` in its name
/// stands for the control plane's namespace.
struct Known {
    resource: Resource,
    is_namespaced: bool,
    name: &'static str,
}

const KNOWN: [Known; 10] = [
    known("", "namespaces", "Namespace", false, "*"),
    known(
        "",
        "serviceaccounts",
        "ServiceAccount",
        true,
        "linkerd-identity",
    ),
    known("", "services", "Service", true, "linkerd-identity"),
    known("", "secrets", "Secret", true, "linkerd-config-overrides"),
    known("", "configmaps", "ConfigMap", true, label::CONFIG),
    known(
        "apps",
        "deployments",
        "Deployment",
        true,
        "linkerd-identity",
    ),
    known(
        RBAC,
        "clusterroles",
        "ClusterRole",
        false,
        "linkerd-*-identity",
    ),
    known(
        RBAC,
        "clusterrolebindings",
        "ClusterRoleBinding",
        false,
        "linkerd-*-identity",
    ),
    known(
        ADMISSION,
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        false,
        mesh_versions::INJECTOR_WEBHOOK,
    ),
    known(
        ADMISSION,
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        false,
        "linkerd-sp-validator-webhook-config",
    ),
];

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

const fn known(
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    is_namespaced: bool,
    name: &'static str,
) -> Known {
    Known {
        resource: Resource {
            group,
            version: "v1",
            plural,
            kind,
        },
        is_namespaced,
        name,
    }
}

/// Fails if this user may not write what every control plane consists of. No dry run can show that
/// before the control plane is rendered.
pub(crate) async fn may_write_control_plane(
    cluster: &Cluster,
    namespace: &str,
) -> Result<(), Ending> {
    let right = |known: Known| Right {
        verb: "patch",
        resource: known.resource,
        namespace: known.is_namespaced.then(|| namespace.to_owned()),
        name: Some(known.name.replace('*', namespace)),
    };
    let lacking = cluster.lacking(KNOWN.map(right).to_vec()).await?;
    let Some(first) = lacking.first() else {
        return Ok(());
    };
    let kinds: Vec<&str> = lacking.iter().map(|right| right.resource.plural).collect();
    Err(refused(
        format!(
            "this user may not patch {} in {namespace}; the upgrade of the control plane needs that",
            kinds.join(", ")
        ),
        format!("allow it, for example with the RBAC rule {}", first.rule()),
    ))
}
