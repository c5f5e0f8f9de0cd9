//! Objects that the chart lacks, and objects that the cluster lacks.

use std::fs;

use mesh_testbed::Bed;
use mesh_tests::{Run, on_both_beds};

use crate::stage::{Stage, TO};

on_both_beds! {
    [Helm]
    object_that_the_chart_lacks_is_shown_before_helm_deletes_it
    definition_that_the_chart_lacks_is_deleted_if_allowed_and_its_objects_are_in_the_backup
    object_that_helm_keeps_is_left_over_and_named
    chart_without_a_component_of_every_release_is_refused
    object_that_somebody_deleted_is_shown_and_restored
}

const EXTRA: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/extra";
const DELETED: [(&str, &str); 4] = [
    (
        "ClusterRole linkerd-linkerd-destination",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/linkerd-linkerd-destination",
    ),
    (
        "CustomResourceDefinition serverauthorizations.policy.linkerd.io",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/serverauthorizations.policy.linkerd.io",
    ),
    (
        "Service linkerd-identity in linkerd",
        "/api/v1/namespaces/linkerd/services/linkerd-identity",
    ),
    (
        "ServiceAccount linkerd-identity in linkerd",
        "/api/v1/namespaces/linkerd/serviceaccounts/linkerd-identity",
    ),
];

const WIDGETS_PATH: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.shop.test";
const WIDGETS: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.shop.test}
spec:
  group: shop.test
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
";

fn deeds(run: &Run) -> Vec<String> {
    let deeds = run.of("intent")[0]["deeds"].as_array().unwrap().iter();
    let words = |it: &str, of: &serde_json::Value| of[it].as_str().unwrap().to_owned();
    deeds
        .map(|it| format!("{} {}", words("verb", it), words("object", it)))
        .collect()
}

fn object_that_the_chart_lacks_is_shown_before_helm_deletes_it(bed: Bed) {
    let stage = Stage::new(bed);
    let extra = stage.charts.control_plane.join("templates/extra.yaml");
    let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: extra}, rules: []}";
    fs::write(&extra, role).unwrap();
    let first = stage.run(&stage.judged(), &[]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(stage.bed.get(EXTRA).is_ok());
    fs::remove_file(&extra).unwrap();
    let run = stage.run(&stage.judged(), &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let deeds = deeds(&run);
    assert!(
        deeds.contains(&"remove ClusterRole extra".to_owned()),
        "{deeds:?}"
    );
    assert!(stage.bed.get(EXTRA).is_err());
}

fn definition_that_the_chart_lacks_is_deleted_if_allowed_and_its_objects_are_in_the_backup(
    bed: Bed,
) {
    let stage = Stage::new(bed);
    let extra = stage.charts.crds.join("templates/extra.yaml");
    fs::write(&extra, WIDGETS).unwrap();
    let first = stage.run(&stage.judged(), &[]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let established = "/status/conditions/1/status";
    stage
        .bed
        .await_field(WIDGETS_PATH, established, &"True".into())
        .unwrap();
    let widget = "{apiVersion: shop.test/v1, kind: Widget, metadata: {name: one, namespace: default}, spec: {size: 7}}";
    stage.bed.apply(widget).unwrap();
    fs::remove_file(&extra).unwrap();
    let judged = stage.judged();
    let what = "deleted with all their objects (widgets.shop.test)";
    stage.refuses(&judged, &[], what);
    let folder = stage.tools.folder().join("saved");
    let backup = [
        "--backup",
        folder.to_str().unwrap(),
        "--allow-change",
        "crds",
    ];
    let run = stage.run(&judged, &backup);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    // The API server deletes the objects first.
    let gone = stage.bed.get(WIDGETS_PATH);
    assert!(gone.is_err() || gone.unwrap()["metadata"]["deletionTimestamp"].is_string());
    let saved = fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let read = |name: &str| fs::read_to_string(saved.join(name)).unwrap();
    assert!(read("definitions.yaml").contains("widgets.shop.test"));
    let widgets = read("widgets.shop.test.yaml");
    for part in ["kind: Widget", "name: one", "size: 7"] {
        assert!(widgets.contains(part), "{part}: {widgets}");
    }
}

fn object_that_helm_keeps_is_left_over_and_named(bed: Bed) {
    let stage = Stage::new(bed);
    let extra = stage.charts.control_plane.join("templates/extra.yaml");
    let keep = "annotations: {helm.sh/resource-policy: keep}";
    let role = format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: extra, {keep}}}, rules: []}}"
    );
    fs::write(&extra, role).unwrap();
    let first = stage.run(&stage.judged(), &[]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    fs::remove_file(&extra).unwrap();
    let run = stage.run(&stage.judged(), &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let left = "warning: left over: ClusterRole extra; remove it with `kubectl ";
    let progress = run.of("progress").into_iter();
    let mut said = progress.map(|it| it["message"].as_str().unwrap());
    assert!(said.any(|it| it.starts_with(left)), "{}", run.said());
    assert!(!deeds(&run).contains(&"remove ClusterRole extra".to_owned()));
    assert!(stage.bed.get(EXTRA).is_ok());
}

fn chart_without_a_component_of_every_release_is_refused(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let template = stage.charts.control_plane.join("templates/identity.yaml");
    fs::remove_file(template).unwrap();
    stage.refuses(&judged, &[], "renders no Deployment linkerd-identity");
    stage.assert_unchanged(true);
}

fn object_that_somebody_deleted_is_shown_and_restored(bed: Bed) {
    let stage = Stage::new(bed);
    let first = stage.run(&stage.judged(), &[]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let judged = stage.judged();
    for (_, path) in DELETED {
        stage.bed.delete(path).unwrap();
    }
    let run = stage.run(&judged, &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let deeds = deeds(&run);
    for (object, path) in DELETED {
        let deed = format!("restore {object}");
        assert!(deeds.contains(&deed), "{deed}: {deeds:?}");
        assert!(stage.bed.get(path).is_ok(), "{object}");
    }
    let again = stage.run(&stage.judged(), &[]);
    assert_eq!(
        again.states("control-plane"),
        ["skipped"],
        "{}",
        again.said()
    );
    assert_eq!(stage.configured(), TO);
}
