//! Asks for the rights that no dry run can show.

use std::collections::BTreeMap;

use mesh_actor::Ending;
use mesh_cluster::object::Resource;
use mesh_cluster::{Cluster, Error, Right, Target, label};
use mesh_records::{Explained, Release};

use crate::plan::{Part, Write};
use crate::present::targets;

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
        resource: known.resource.into(),
        namespace: known.is_namespaced.then(|| namespace.to_owned()),
        name: Some(known.name.replace('*', namespace)),
    };
    let lacking = cluster.lacking(KNOWN.map(right).to_vec()).await?;
    let missing = missing(&lacking, "the upgrade of the control plane");
    missing.map_or(Ok(()), |missing| Err(missing.into()))
}

/// Says what helm does for a part and this user may not do, as far as no dry run shows it: keeping the
/// new revision, and deleting the objects that the chart lacks.
pub(crate) async fn lacking_of_helm(
    cluster: &Cluster,
    part: &Part,
) -> Result<Option<Explained>, Error> {
    let Write::Helm(helming) = &part.write else {
        return Ok(None);
    };
    let Release { namespace, .. } = helming.release();
    let kept = helming.helm.driver.kind();
    let kept = kept.map(|kind| Target::within(kind, namespace));
    let kept = kept
        .iter()
        .flat_map(|releases| ["create", "update"].map(|verb| Right::on(releases, verb)));
    let deleted = targets(cluster, &part.removed, namespace).await?;
    let deleted = deleted
        .iter()
        .filter_map(|(_, target)| Some(Right::on(target.as_ref()?, "delete")));
    let lacking = cluster.lacking(kept.chain(deleted).collect()).await?;
    Ok(missing(&lacking, &format!("helm, for {},", part.name)))
}

// Says what this user may not do, and which rules would allow it.
fn missing(lacking: &[Right], needing: &str) -> Option<Explained> {
    if lacking.is_empty() {
        return None;
    }
    let mut deeds: BTreeMap<(Option<&str>, &str), Vec<&str>> = BTreeMap::new();
    for right in lacking {
        let deed = (right.namespace.as_deref(), right.verb);
        let kinds = deeds.entry(deed).or_default();
        kinds.push(&right.resource.plural);
        kinds.dedup();
    }
    let deeds = deeds.iter().map(|((namespace, verb), kinds)| {
        let place = namespace.map(|it| format!(" in {it}")).unwrap_or_default();
        format!("{verb} {}{place}", kinds.join(", "))
    });
    let deeds: Vec<String> = deeds.collect();
    let mut rules: Vec<String> = lacking.iter().map(Right::rule).collect();
    rules.dedup();
    Some(Explained::new(
        format!(
            "this user may not {}; {needing} needs that",
            deeds.join(" and ")
        ),
        allow(rules.iter().map(String::as_str)),
    ))
}

/// Returns the hint to allow what these RBAC rules say.
pub(crate) fn allow<'a>(rules: impl Iterator<Item = &'a str>) -> String {
    let rules: Vec<&str> = rules.collect();
    let word = match rules.len() {
        1 => "rule",
        _ => "rules",
    };
    format!(
        "allow it, for example with the RBAC {word} {}",
        rules.join("; ")
    )
}
