//! Compares workloads and proxies with what the server has.

use std::collections::{BTreeMap, HashMap};

use mesh_testbed::Bed;
use mesh_tests::{of_type, on_both_beds, toolbox};
use serde_json::Value;

use crate::{Counts, counts, records, survey, text, workload};

on_both_beds! {
    sharing crate::cluster::CLUSTER;
    every_kind_is_found_and_counted_as_its_owners_say
    unmeshed_pods_that_should_be_meshed_are_seen_wholly_and_in_part
    roll_strategy_and_downtime_of_a_workload_are_said
    proxy_record_has_version_source_and_node
    [Kinds]
    foreign_kinds_are_found_and_rolled_by_their_own_ways
}

/// Returns the owners of running pods with their counts, found by following owner references.
fn truth(bed: &Bed) -> BTreeMap<String, Counts> {
    let list = |path: &str| bed.get(path).unwrap()["items"].as_array().unwrap().clone();
    let pods = list("/api/v1/pods");
    let between = ["/apis/apps/v1/replicasets", "/apis/batch/v1/jobs"]
        .map(list)
        .concat();
    let owners: HashMap<&str, &Value> = between
        .iter()
        .map(|item| (text(&item["metadata"]["uid"]), item))
        .collect();
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for pod in &pods {
        if text(&pod["metadata"]["namespace"]) == "linkerd" {
            continue;
        }
        let (mut kind, mut top) = ("Pod".to_owned(), pod["metadata"].clone());
        while let Some(owner) = top["ownerReferences"]
            .as_array()
            .and_then(|all| all.first())
        {
            kind = text(&owner["kind"]).to_owned();
            let known = owners.get(text(&owner["uid"]));
            top = known.map_or_else(|| owner.clone(), |object| object["metadata"].clone());
        }
        let name = format!(
            "{}/{kind}/{}",
            text(&pod["metadata"]["namespace"]),
            text(&top["name"])
        );
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        let ready = conditions
            .iter()
            .any(|it| it["type"] == "Ready" && it["status"] == "True");
        let containers = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
        let mut containers = containers.into_iter().flatten().flatten();
        let meshed = containers.any(|container| container["name"] == "linkerd-proxy");
        let count = counts.entry(name).or_default();
        *count = (
            count.0 + 1,
            count.1 + u64::from(ready),
            count.2 + u64::from(meshed),
        );
    }
    counts
}

fn every_kind_is_found_and_counted_as_its_owners_say(bed: &Bed) {
    let records = records(survey(&toolbox!(), bed, &[]));
    let mut expected = truth(bed);
    // These are not in the mesh: a pod with `hostNetwork`, a pod that declines, a namespace without
    // injection.
    for stranger in [
        "shop/Pod/on-the-node",
        "shop/Deployment/declines",
        "plain/Deployment/outside",
    ] {
        expected.remove(stranger).unwrap();
    }
    assert_eq!(counts(&records), expected);
    let kinds: Vec<&str> = of_type(&records, "workload")
        .into_iter()
        .map(|it| text(&it["kind"]))
        .collect();
    for kind in [
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "Job",
        "CronJob",
        "Pod",
    ] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let nightly = bed
        .get("/apis/batch/v1/namespaces/shop/cronjobs/nightly")
        .unwrap();
    assert_eq!(
        workload(&records, "shop/CronJob/nightly")["uid"],
        nightly["metadata"]["uid"]
    );
}

fn unmeshed_pods_that_should_be_meshed_are_seen_wholly_and_in_part(bed: &Bed) {
    let tools = toolbox!();
    let everything = records(survey(&tools, bed, &[]));
    let seen = counts(&everything);
    assert_eq!(seen["shop/Deployment/web"], (5, 5, 3));
    assert_eq!(seen["late/Deployment/forgotten"], (2, 2, 0));
    assert_eq!(
        workload(&everything, "late/Deployment/forgotten")["proxies"],
        serde_json::json!([])
    );
    let labelled = records(survey(&tools, bed, &["--meshed-only"]));
    assert_eq!(
        counts(&labelled)["shop/Deployment/web"],
        (3, 3, 3),
        "what the label hides"
    );
    assert_eq!(
        labelled[0]["scope"]["selector"],
        "linkerd.io/control-plane-ns"
    );
}

fn roll_strategy_and_downtime_of_a_workload_are_said(bed: &Bed) {
    let records = records(survey(&toolbox!(), bed, &[]));
    let table = [
        ("shop/Deployment/web", "restart", None, "reduced"),
        ("shop/Deployment/single", "restart", None, "outage"),
        ("shop/StatefulSet/db", "evict", Some("on-delete"), "reduced"),
        ("shop/DaemonSet/agent", "restart", None, "reduced"),
        ("shop/ReplicaSet/bare-set", "evict", None, "reduced"),
        ("shop/Job/once", "itself", Some("job"), "none"),
        ("shop/CronJob/nightly", "itself", Some("cron-job"), "none"),
        ("shop/Pod/alone", "none", Some("bare-pod"), "outage"),
    ];
    for (name, by, reason, grade) in table {
        let workload = workload(&records, name);
        let found = (
            text(&workload["roll"]["by"]),
            workload["roll"]["reason"].as_str(),
            text(&workload["downtime"]["grade"]),
        );
        assert_eq!(found, (by, reason, grade), "{name}");
    }
}

fn proxy_record_has_version_source_and_node(bed: &Bed) {
    let records = records(survey(&toolbox!(), bed, &["--pods"]));
    let proxies = |name| workload(&records, name)["proxies"].clone();
    let plain = serde_json::json!([{"version": "stable-2.13.7", "line": "2.13", "source": "image", "native": false, "count": 2}]);
    assert_eq!(proxies("shop/StatefulSet/db"), plain);
    let native = serde_json::json!([{"version": "edge-25.4.4", "line": "2.18", "source": "image", "native": true, "count": 1}]);
    assert_eq!(proxies("plain/Pod/native"), native);
    let listed = of_type(&records, "proxy");
    let meshed: u64 = counts(&records).values().map(|(_, _, meshed)| meshed).sum();
    assert_eq!(listed.len() as u64, meshed);
    assert!(
        listed.iter().all(|proxy| proxy["ready"] == true),
        "{listed:?}"
    );
}

fn foreign_kinds_are_found_and_rolled_by_their_own_ways(bed: &Bed) {
    let records = records(survey(&toolbox!(), bed, &[]));
    for (name, by) in [
        ("shop/ReplicationController/old", "evict"),
        ("shop/Rollout/canary", "restart-at"),
    ] {
        assert_eq!(counts(&records)[name], (1, 1, 1), "{name}");
        let workload = workload(&records, name);
        let found = (
            text(&workload["roll"]["by"]),
            text(&workload["downtime"]["grade"]),
        );
        assert_eq!(found, (by, "outage"), "{name}");
    }
}
