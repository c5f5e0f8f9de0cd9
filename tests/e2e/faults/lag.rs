//! A watch of pods that lags behind the watches of their owners.

use std::fmt::Debug;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use mesh_testbed::{AuditEvent, Bed, Match, Victim, When};
use mesh_tests::{on_both_beds, toolbox};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::control_plane::is_settled;
use crate::fleet::{NEW, OLD, PEOPLE, WORKLOADS, is_ready, people, proxy};
use crate::run::run;

on_both_beds! {
    watch_that_lags_restarts_nothing_that_is_up_to_date
}

/// The list of pods is older than somebody else's restart, and the lists of their owners are newer;
/// the events in between are lost.
fn watch_that_lags_restarts_nothing_that_is_up_to_date(bed: Bed) {
    let bed = &bed;
    bed.install_linkerd(OLD).unwrap();
    people(bed, &[PEOPLE]);
    bed.upgrade_linkerd(NEW).unwrap();
    let (tools, faults) = (toolbox!(), bed.proxy().unwrap());
    let mut judge = tools.shell("mesh-survey | mesh-skewcheck --ask roll");
    judge.env("KUBECONFIG", bed.kubeconfig());
    let judged = run(judge, "", &Victim::default());
    assert_eq!(judged.code, Some(0), "{}", judged.summary());

    let silent = faults.on(Match::watches("/pods")).hold(When::BeforeForward);
    let pods = faults.on(all("pods").nth(1)).hold(When::AfterForward);
    let owners = ["deployments", "statefulsets", "daemonsets"];
    let owners = owners.map(|kind| faults.on(all(kind)).hold(When::BeforeForward));
    let mut roll = tools.run("mesh-roll");
    roll.args(["--yes", "--settle", "0s", "-n", PEOPLE]);
    roll.env("KUBECONFIG", faults.kubeconfig());
    let ran = std::thread::scope(|scope| {
        let ran = scope.spawn(|| run(roll, &judged.stdout, &Victim::default()));
        pods.arrived();
        restart_all(bed);
        pods.release();
        drop(owners);
        ran.join().unwrap()
    });
    assert_eq!(ran.code, Some(0), "{}", ran.summary());
    assert!(silent.has_arrived(), "the watch of pods is to say nothing");
    let ours =
        |event: &AuditEvent| event.verb == "patch" && !event.dry_run && event.group == "apps";
    let written: Vec<String> = faults
        .served()
        .into_iter()
        .filter(ours)
        .map(|it| it.uri)
        .collect();
    assert_eq!(written, Vec::<String>::new(), "{}", ran.stdout);
    assert_eq!(ran.of("rolled").len(), WORKLOADS.len(), "{}", ran.stdout);
}

/// Matches the list of all objects of a kind.
fn all(kind: &str) -> Match {
    Match::method(http::Method::GET).path(&format!("/{kind}?"))
}

/// Restarts all workloads like `kubectl rollout restart`, and waits for the rollouts.
fn restart_all(bed: &Bed) {
    restart::<Deployment>(bed, "Deployment");
    restart::<StatefulSet>(bed, "StatefulSet");
    restart::<DaemonSet>(bed, "DaemonSet");
    let wanted: usize = WORKLOADS.iter().map(|(_, _, pods)| pods).sum();
    let pods = Api::<Pod>::namespaced(bed.client(), PEOPLE);
    bed.until(pods, "", "new pods", |seen| {
        let is_new = |pod: &Pod| is_ready(pod) && proxy(pod) == Some(NEW);
        seen.len() == wanted && seen.values().all(is_new)
    })
    .unwrap();
    let deployments = Api::namespaced(bed.client(), PEOPLE);
    bed.until(deployments, "", "the Deployments", |seen| {
        seen.values().all(is_settled)
    })
    .unwrap();
}

fn restart<K>(bed: &Bed, kind: &str)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let at = json!({ "kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z" });
    let patch =
        Patch::Merge(json!({ "spec": { "template": { "metadata": { "annotations": at } } } }));
    let how = PatchParams::default();
    let api = Api::<K>::namespaced(bed.client(), PEOPLE);
    for (name, ..) in WORKLOADS.iter().filter(|(_, of, _)| *of == kind) {
        bed.block_on(api.patch(name, &how, &patch)).unwrap();
    }
}
