//! Lists what an upgrade leaves behind: objects of the release before that the new one does not have.
//! Nothing here deletes any.

use std::sync::Arc;

use mesh_actor::Outcome;
use mesh_cluster::control_plane::DEFINITIONS;
use mesh_records::{Paste, StepName};

use crate::gate::Goal;
use crate::installer::Installer;
use crate::plan::Plan;
use crate::present::left;
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
        Installer::Helm(_) => of_helm(session, goal, plan).await?,
        Installer::Cli(cli) => session.unless_stopped(cli.orphans()).await?,
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
    plan: &Plan,
) -> Outcome<anyhow::Result<Vec<Manifest>>> {
    let cluster = Arc::clone(&session.cluster);
    let reading = async {
        let mut all = Vec::new();
        for part in [&plan.crds, &plan.control_plane] {
            let installed = part.installed.as_deref().unwrap_or_default();
            let rendered = &part.rendered.manifests;
            all.extend(left(&cluster, installed, rendered, &goal.namespace).await?);
        }
        Ok::<_, anyhow::Error>(all)
    };
    session.unless_stopped(reading).await
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
}
