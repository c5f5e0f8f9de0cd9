//! Tests the dry-run pods of a survey.

use mesh_testbed::Bed;
use mesh_tests::{Run, on_both_beds, toolbox};
use serde_json::{Value, json};

use crate::rights::kubeconfig_without;
use crate::{brackets, survey};

on_both_beds! {
    sharing crate::PROBED;
    [Rbac]
    probe_needs_the_right_to_create_pods_and_creates_none
}

fn probe_needs_the_right_to_create_pods_and_creates_none(bed: &Bed) {
    let tools = toolbox!();
    let pods = || bed.kubectl(["get", "pods", "-A", "-o", "name"]).unwrap();
    let before = pods();
    let run = survey(&tools, bed.kubeconfig(), &["--probe"]);
    brackets(&run, 0);
    let find = |run: &Run| {
        let mut records = run.records.iter();
        records
            .find(|it| it["type"] == "control_plane")
            .unwrap()
            .clone()
    };
    let plane = find(&run);
    assert_eq!(plane["webhooks"][0]["answers"], true, "{plane}");
    let probed = plane["facts"]["probed"].as_object().unwrap();
    let version = json!({"version": "stable-2.13.7"});
    assert!(probed.values().any(|it| *it == version), "{probed:?}");
    assert_eq!(plane["facts"]["probed_namespaces"], probed.len());
    assert_eq!(pods(), before);
    let kubeconfig = kubeconfig_without(bed, "no-probe", &[]);
    let run = survey(&tools, &kubeconfig, &["--probe"]);
    let (_, end, _) = brackets(&run, 0);
    assert_eq!(end["blind"], json!(["create pods"]));
    let plane = find(&run);
    assert_eq!(plane["webhooks"][0]["answers"], Value::Null);
    assert_eq!(plane["facts"]["probed"], Value::Null);
}
