//! What helm merges with its new manifest: all that was set by hand and that no manifest says stays.

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;
use serde_json::{Value, json};

use crate::stage::{FROM, Stage, TO};

on_both_beds! {
    [Helm]
    what_cannot_stay_beside_the_new_manifest_is_found_before_helm_writes
    what_can_stay_beside_the_new_manifest_stands_in_nobodys_way
    way_back_over_what_cannot_stay_beside_it_is_refused
}

impl Stage {
    /// Changes a Deployment by hand; its lists are merged.
    fn edit(&self, deployment: &str, template: &Value) {
        let patch = json!({ "spec": { "template": { "spec": template } } }).to_string();
        let edit = ["-n", "linkerd", "patch", "deploy", deployment, "-p", &patch];
        self.bed.kubectl(edit).unwrap();
    }

    /// Gives the anchors of a component's proxy by hand, and not from where the chart takes them.
    fn anchors_by_hand(&self, deployment: &str) {
        let anchors = json!({ "name": "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "value": "mine",
            "valueFrom": null });
        let proxy = json!({ "name": "linkerd-proxy", "env": [anchors] });
        self.edit(deployment, &json!({ "containers": [proxy] }));
    }
}

const ANCHORS: &str = "env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is \
                       not empty";

fn what_cannot_stay_beside_the_new_manifest_is_found_before_helm_writes(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    // The target's containers have a probe that asks by HTTP.
    let template = stage.charts.control_plane.join("templates/_component.tpl");
    let lines = std::fs::read_to_string(&template).unwrap();
    let image = "        image: {{ .image }}\n";
    let probe = "        livenessProbe: {httpGet: {path: /ping, port: 9990}}\n";
    assert!(lines.contains(image));
    let lines = lines.replace(image, &format!("{image}{probe}"));
    std::fs::write(&template, lines).unwrap();
    let probe = json!({ "exec": { "command": ["true"] } });
    let container = json!({ "name": "identity", "livenessProbe": probe });
    stage.edit("linkerd-identity", &json!({ "containers": [container] }));
    stage.anchors_by_hand("linkerd-destination");

    let run = stage.run(&judged, &["--preflight"]);
    assert_eq!(run.code, Some(1), "{}", run.said());
    for part in [
        "the API server would refuse Deployment linkerd-",
        ANCHORS,
        "beside it stays .spec.template.spec.containers[linkerd-proxy]\
         .env[LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS].value, which kubectl-patch added",
        "livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    let backup = run.step("backup", "done").unwrap()["message"].to_string();
    assert!(backup.contains("there is no way back: "), "{backup}");
    stage.assert_unchanged(false);
}

fn what_can_stay_beside_the_new_manifest_stands_in_nobodys_way(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    stage.scale("linkerd-destination");
    let mine = json!({ "name": "MINE", "value": "x" });
    let container = json!({ "name": "identity", "env": [mine] });
    stage.edit("linkerd-identity", &json!({ "containers": [container] }));
    // The chart gives the bounds of a rolling update, and not its type, which helm takes away.
    let strategy = json!({ "spec": { "strategy": { "type": "Recreate", "rollingUpdate": null } } });
    let injector = "/apis/apps/v1/namespaces/linkerd/deployments/linkerd-proxy-injector";
    let edit = format!("{injector}?fieldManager=kubectl-edit");
    stage.bed.merge(&edit, &strategy).unwrap();

    let run = stage.run(&judged, &["--preflight"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    stage.assert_unchanged(false);
    let run = stage.run(&judged, &[]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(stage.configured(), TO);
}

fn way_back_over_what_cannot_stay_beside_it_is_refused(bed: Bed) {
    let stage = Stage::new(bed);
    let run = stage.run(&stage.judged(), &[]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    stage.anchors_by_hand("linkerd-destination");
    let back = stage.roll_back(&[]);
    assert_eq!(back.code, Some(2), "{}", back.said());
    assert!(back.stderr.contains(ANCHORS), "{}", back.stderr);
    assert_ne!(stage.configured(), FROM);
    assert!(back.step("control-plane", "started").is_none());
}
