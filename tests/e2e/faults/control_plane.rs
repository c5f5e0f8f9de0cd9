//! The control plane of a bed, and the command that upgrades it.

use std::fmt::Debug;
use std::path::Path;
use std::process::Command;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt as _};
use mesh_testbed::{Bed, Victim};
use mesh_tests::Toolbox;
use serde::de::DeserializeOwned;

use crate::fleet::NEW;
use crate::run::{Ran, run};

const COMPONENTS: usize = 3;

/// Returns a passing verdict from the real tools.
pub(crate) fn judged(bed: &Bed, tools: &Toolbox) -> String {
    let judged = judge(bed, tools);
    let said = judged.summary();
    assert_eq!(judged.code, Some(0), "{said}{}", judged.stdout);
    judged.run.stdout
}

/// Runs mesh-survey and mesh-skewcheck for the upgrade.
pub(crate) fn judge(bed: &Bed, tools: &Toolbox) -> Ran {
    let pipeline = format!("mesh-survey | mesh-skewcheck --to {NEW}");
    let mut judge = tools.shell(&pipeline);
    judge.env("KUBECONFIG", bed.kubeconfig());
    run(judge, "", &Victim::default())
}

/// Makes the tool's command for a control plane that helm or the CLI installed.
pub(crate) fn upgrade(bed: &Bed, tools: &Toolbox, kubeconfig: &Path) -> Command {
    if bed.as_lab().is_some() {
        return by_cli(bed, tools, kubeconfig);
    }
    let mut command = tool(tools, kubeconfig);
    let charts = bed.charts(NEW).unwrap();
    command.arg("--chart").arg(charts.control_plane);
    command.arg("--crds-chart").arg(charts.crds);
    command.arg("-f").arg(charts.values);
    command
}

/// Makes the tool's command for a control plane that the linkerd CLI installed.
pub(crate) fn by_cli(bed: &Bed, tools: &Toolbox, kubeconfig: &Path) -> Command {
    let mut command = tool(tools, kubeconfig);
    command.env("LINKERD", tools.linkerd(bed, NEW));
    command
}

fn tool(tools: &Toolbox, kubeconfig: &Path) -> Command {
    let mut command = tools.run("mesh-cp-upgrade");
    command.arg("--settle=0s");
    command.env("KUBECONFIG", kubeconfig);
    command
}

/// Returns true if the whole control plane is at the new release and settled.
pub(crate) fn is_at_target(bed: &Bed) -> bool {
    is_of_target::<ConfigMap>(bed)
        && is_of_target::<CronJob>(bed)
        && is_of_target::<CustomResourceDefinition>(bed)
        && is_of_target::<Deployment>(bed)
        && is_of_target::<MutatingWebhookConfiguration>(bed)
        && is_of_target::<Secret>(bed)
        && is_of_target::<Service>(bed)
        && runs_target(bed)
}

/// Returns true if the new release wrote all the control plane's objects of a kind. RBAC objects do
/// not state a version.
fn is_of_target<K>(bed: &Bed) -> bool
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let objects = Api::<K>::all(bed.client());
    let objects = bed.block_on(objects.list(&ListParams::default())).unwrap();
    let of_linkerd = |object: &K| {
        let writer = object.annotations().get("linkerd.io/created-by")?;
        writer.starts_with("linkerd/").then(|| writer.clone())
    };
    let mut writers = objects.iter().filter_map(of_linkerd).peekable();
    writers.peek().is_some() && writers.all(|writer| writer.ends_with(&format!(" {NEW}")))
}

fn runs_target(bed: &Bed) -> bool {
    let maps: Api<ConfigMap> = Api::namespaced(bed.client(), "linkerd");
    let config = bed.block_on(maps.get("linkerd-config")).unwrap();
    let values = config.data.unwrap_or_default().remove("values").unwrap();
    let line = format!("linkerdVersion: {NEW}");
    let deployments: Api<Deployment> = Api::namespaced(bed.client(), "linkerd");
    let components = bed.block_on(deployments.list(&Default::default())).unwrap();
    let components: Vec<Deployment> = components.items;
    values.lines().any(|it| it == line)
        && components.iter().filter(|it| has_version(it)).count() == COMPONENTS
        && components.iter().all(is_settled)
}

fn has_version(deployment: &Deployment) -> bool {
    let labels = deployment.metadata.labels.iter().flatten();
    labels
        .into_iter()
        .any(|(key, value)| key == "app.kubernetes.io/version" && value == NEW)
}

/// Returns true if the Deployment's rollout is finished.
pub(crate) fn is_settled(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation >= deployment.metadata.generation
            && [
                status.replicas,
                status.updated_replicas,
                status.available_replicas,
            ]
            .iter()
            .all(|count| *count == wanted)
    })
}

/// Waits until the components have settled.
pub(crate) fn await_components(bed: &Bed) {
    let deployments: Api<Deployment> = Api::namespaced(bed.client(), "linkerd");
    bed.until(deployments, "", "the components", |seen| {
        seen.len() == COMPONENTS && seen.values().all(is_settled)
    })
    .unwrap();
}
