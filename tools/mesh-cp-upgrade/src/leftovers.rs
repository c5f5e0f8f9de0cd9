//! Lists what an upgrade leaves behind: objects of the release before that the new one does not have.
//! Nothing here deletes any.

use std::sync::Arc;

use mesh_actor::Outcome;
use mesh_cluster::control_plane::DEFINITIONS;
use mesh_cluster::label;
use mesh_cluster::object::Meta;
use mesh_records::{Paste, Release, StepName};

use crate::gate::Goal;
use crate::installer::Installer;
use crate::installer::cli::Cli;
use crate::installer::releases::HelmReleases;
use crate::plan::Plan;
use crate::present::{lacking, still};
use crate::render::Manifest;
use crate::session::Session;

const NEXT: &str = "next: upgrade the extensions, then restart the workloads with mesh-roll";

/// Says for each object that is left over how to remove it.
pub(crate) async fn list(
    session: &mut Session<'_>,
    goal: &Goal,
    installer: &Installer,
    plan: &Plan,
) -> Outcome<()> {
    let message = "looking for objects of earlier versions";
    session.begin(StepName::Afterwards, message)?;
    let found = match installer {
        Installer::Helm(releases) => of_helm(session, goal, releases, plan).await?,
        Installer::Cli(cli) => of_cli(session, goal, cli).await?,
    };
    let all = match found {
        Ok(all) => all,
        // The upgrade is done, and leftover objects do no harm, so this is not a failure.
        Err(error) => {
            let what = format!("cannot list objects of earlier versions: {error:#}; {NEXT}");
            return session.done(&what);
        }
    };
    let paste = session.run.paste();
    for manifest in &all {
        let remove = remove(&paste, manifest, &goal.namespace);
        session.says_waiting(format!("warning: left over: {manifest}; {remove}"), remove)?;
    }
    session.done(&match all.len() {
        0 => format!("no objects of earlier versions are left; {NEXT}"),
        1 => format!("1 object of an earlier version is left over; {NEXT}"),
        count => format!("{count} objects of earlier versions are left over; {NEXT}"),
    })
}

// helm deletes what the new chart lacks, but not what is annotated to be kept.
async fn of_helm(
    session: &mut Session<'_>,
    goal: &Goal,
    releases: &HelmReleases,
    plan: &Plan,
) -> Outcome<anyhow::Result<Vec<Manifest>>> {
    let cluster = Arc::clone(&session.cluster);
    let parts = [
        (&plan.crds, &releases.crds.release),
        (&plan.control_plane, &releases.control_plane.release),
    ];
    let reading = async {
        // An object may have moved to the other chart.
        let rendered = parts.map(|(part, _)| part.rendered.manifests.as_slice());
        let (rendered, mut all) = (rendered.concat(), Vec::new());
        for (part, release) in parts {
            // What no release has installed has nothing from before.
            let Some(installed) = &part.installed else {
                continue;
            };
            let gone = lacking(installed, &rendered, &goal.namespace);
            let gone = gone.into_iter().filter(|it| is_removable(it));
            let is_same = |meta: &Meta| is_of(release, meta);
            all.extend(still(&cluster, gone, &goal.namespace, is_same).await?);
        }
        Ok::<_, anyhow::Error>(all)
    };
    session.unless_stopped(reading).await
}

// The CLI also names the objects of other control planes, and without their labels.
async fn of_cli(
    session: &mut Session<'_>,
    goal: &Goal,
    cli: &Cli,
) -> Outcome<anyhow::Result<Vec<Manifest>>> {
    let cluster = Arc::clone(&session.cluster);
    let namespace = &goal.namespace;
    let reading = async {
        let orphans = cli.orphans().await?;
        let orphans = orphans.iter().filter(|it| is_removable(it));
        let is_same = |meta: &Meta| is_in(namespace, meta);
        let still = still(&cluster, orphans, namespace, is_same).await?;
        Ok::<_, anyhow::Error>(still)
    };
    session.unless_stopped(reading).await
}

// Whoever else made the object anew, such as cert-manager, did not annotate it so.
fn is_of(release: &Release, meta: &Meta) -> bool {
    let is = |key, value: &String| meta.annotations.get(key) == Some(value);
    meta.deletion_timestamp.is_none()
        && is(label::HELM_RELEASE, &release.name)
        && is(label::HELM_NAMESPACE, &release.namespace)
}

fn is_in(namespace: &str, meta: &Meta) -> bool {
    let of = meta.labels.get(label::CONTROL_PLANE_NS);
    meta.deletion_timestamp.is_none() && of.is_some_and(|of| of == namespace)
}

// The mesh, and others, need these whoever writes them.
fn is_removable(manifest: &Manifest) -> bool {
    let name = manifest.name.as_str();
    let is_definition = manifest.kind == DEFINITIONS.kind;
    let is_of_gateways = manifest
        .api_version
        .starts_with("gateway.networking.k8s.io/")
        || (is_definition && name.ends_with(".gateway.networking.k8s.io"));
    let is_of_identity = match manifest.kind.as_str() {
        "Secret" => name == label::ISSUER,
        "ConfigMap" => name == label::TRUST_ROOTS,
        _ => false,
    };
    !is_of_gateways && !is_of_identity
}

fn remove(paste: &Paste, manifest: &Manifest, namespace: &str) -> String {
    let Manifest {
        api_version,
        kind,
        name,
        ..
    } = manifest;
    let kind = match api_version.rsplit_once('/') {
        Some((group, _)) => format!("{kind}.{group}").to_lowercase(),
        None => kind.to_lowercase(),
    };
    let namespace = manifest.namespace.as_deref().unwrap_or(namespace);
    // kubectl ignores the namespace of a kind that has none.
    let command = paste.kubectl(&["-n", namespace, "delete", &kind, name]);
    match manifest.kind == DEFINITIONS.kind {
        true => format!("if nothing else needs it, remove it and all its objects with `{command}`"),
        false => format!("remove it with `{command}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::manifests;

    #[test]
    fn the_command_that_removes_an_object_names_its_group_and_its_namespace() {
        let yaml = "
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: routes.a.test}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: kube-system}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: linkerd-controller}}
";
        let all = manifests(yaml).unwrap();
        let said = all
            .iter()
            .map(|it| remove(&Paste::default(), it, "linkerd"));
        let said: Vec<String> = said.collect();
        let expected = [
            "if nothing else needs it, remove it and all its objects with `kubectl -n linkerd delete \
             customresourcedefinition.apiextensions.k8s.io routes.a.test`",
            "remove it with `kubectl -n kube-system delete configmap c`",
            "remove it with `kubectl -n linkerd delete deployment.apps linkerd-controller`",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn what_the_mesh_or_somebody_else_needs_is_not_left_over() {
        let table = [
            ("v1", "Secret", label::ISSUER, false),
            ("v1", "ConfigMap", label::TRUST_ROOTS, false),
            ("v1", "ConfigMap", label::ISSUER, true),
            ("gateway.networking.k8s.io/v1", "HTTPRoute", "r", false),
            (
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                "httproutes.gateway.networking.k8s.io",
                false,
            ),
            (
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                "httproutes.policy.linkerd.io",
                true,
            ),
        ];
        for (version, kind, name, expected) in table {
            let yaml =
                format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: {name}}}}}");
            let all = manifests(&yaml).unwrap();
            assert_eq!(is_removable(&all[0]), expected, "{kind} {name}");
        }
    }

    #[test]
    fn an_object_is_left_over_only_where_it_is_still_this_control_planes() {
        let release = Release {
            name: "cp".to_owned(),
            namespace: "linkerd".to_owned(),
        };
        let meta = |release: &str, label: &str| Meta {
            annotations: [
                (label::HELM_RELEASE, release),
                (label::HELM_NAMESPACE, "linkerd"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
            labels: [(label::CONTROL_PLANE_NS.to_owned(), label.to_owned())].into(),
            ..Meta::default()
        };
        let going = Meta {
            deletion_timestamp: Some(jiff::Timestamp::UNIX_EPOCH),
            ..meta("cp", "linkerd")
        };
        let table = [
            (meta("cp", "linkerd"), true, true),
            (meta("other", "linkerd2"), false, false),
            (going, false, false),
            (Meta::default(), false, false),
        ];
        for (number, (meta, by_helm, by_cli)) in table.iter().enumerate() {
            assert_eq!(is_of(&release, meta), *by_helm, "row {number}");
            assert_eq!(is_in("linkerd", meta), *by_cli, "row {number}");
        }
    }
}
