//! Upgrades of a control plane that the linkerd CLI installed: the CLI renders and the tool
//! applies.

use std::collections::BTreeSet;

use mesh_testbed::{AuditEvent, Bed};
use mesh_tests::{on_both_beds, run, write_program};
use serde_json::{Value, json};

use crate::assert_no_secret;
use crate::stage::{AGENT, FROM, STEPS, Stage, TO};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/linkerd/deployments";

on_both_beds! {
    upgrade_by_the_cli_is_proven_and_a_second_run_changes_nothing
    writes_are_announced_and_come_after_the_preflight
    linkerd_flag_with_a_cli_that_does_not_fit_changes_nothing
    values_that_the_release_has_and_the_render_changes_are_in_the_question
    image_that_stays_as_it_is_shows_no_release
    [Kubectl]
    apply_removes_what_the_new_version_lacks_and_keeps_what_others_set
}

impl Stage {
    // Returns the tool's writes so far, without those of its lock.
    pub(crate) fn written(&self) -> Vec<String> {
        let events = self.bed.audit_of(AGENT).unwrap();
        let writes = events.iter().filter(|event| is_written(event));
        writes
            .map(|event| format!("{} {}", event.verb, event.uri))
            .collect()
    }

    // Returns each object of the control plane and the definitions, with its generation or
    // resourceVersion.
    fn versions(&self) -> BTreeSet<String> {
        let lists = [
            "/apis/apps/v1/deployments",
            "/api/v1/configmaps",
            "/api/v1/secrets",
            "/api/v1/services",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        ];
        let label = "labelSelector=linkerd.io%2Fcontrol-plane-ns%3Dlinkerd";
        let lists = lists.map(|list| self.bed.get(&format!("{list}?{label}")).unwrap());
        let objects = lists
            .iter()
            .flat_map(|list| list["items"].as_array().unwrap());
        let version = |object: &Value| {
            let Value::Object(meta) = &object["metadata"] else {
                panic!("{object}")
            };
            format!(
                "{} {:?} {}",
                meta["name"],
                meta.get("generation"),
                object["data"]
            )
        };
        objects.map(version).collect()
    }

    fn deployment(&self, component: &str) -> Value {
        let path = format!("{DEPLOYMENTS}/{component}");
        self.bed.get(&path).unwrap()
    }

    fn containers(&self, component: &str) -> String {
        let deployment = self.deployment(component);
        let containers = deployment["spec"]["template"]["spec"]["containers"].as_array();
        let names = containers
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap());
        names.collect::<Vec<_>>().join(" ")
    }
}

// Returns true for every write except those of the lock.
pub(crate) fn is_written(event: &AuditEvent) -> bool {
    event.writes() && event.resource != "leases"
}

fn upgrade_by_the_cli_is_proven_and_a_second_run_changes_nothing(bed: Bed) {
    let stage = Stage::by_cli(bed);
    let pipeline = format!("mesh-survey | mesh-skewcheck --to {TO} | mesh-cp-upgrade --yes");
    let label = "{linkerd.io/control-plane-ns: linkerd}";
    let meta = format!("{{name: of-old, namespace: linkerd, labels: {label}}}");
    let of_old = format!("{{apiVersion: v1, kind: ConfigMap, metadata: {meta}}}");
    stage.bed.apply(&of_old).unwrap();
    let first = run(stage.env(stage.tools.shell(&pipeline)), "");
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_no_secret(&stage, &first);
    for step in STEPS.into_iter().chain(["afterwards"]) {
        assert_eq!(first.states(step), ["started", "done"], "{step}");
    }
    assert_eq!(stage.configured(), TO);
    assert_eq!(stage.holder(), None, "the lock is let go");
    let command = first.step("control-plane", "started").unwrap()["command"].to_string();
    assert!(command.starts_with("[\"linkerd\",\"upgrade\""), "{command}");

    let left = "warning: left over: ConfigMap of-old; remove it with `kubectl ";
    let is_said = |it: &&Value| it["message"].as_str().unwrap().starts_with(left);
    let said = first.of("progress").into_iter().find(is_said).unwrap();
    let way_out = said["message"].as_str().unwrap();
    assert!(
        way_out.ends_with("-n linkerd delete configmap of-old`"),
        "{way_out}"
    );
    let of_old = "/api/v1/namespaces/linkerd/configmaps/of-old";
    stage.bed.get(of_old).unwrap();

    let before = (stage.versions(), stage.written().len());
    let again = stage.run(&stage.judged(), &[]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(again.end()["reason"], "it is already at the target");
    for step in ["identity", "preflight", "crds", "control-plane"] {
        assert_eq!(again.states(step), ["skipped"], "{step}");
    }
    assert_eq!((stage.versions(), stage.written().len()), before);
}

fn writes_are_announced_and_come_after_the_preflight(bed: Bed) {
    let stage = Stage::by_cli(bed);
    let run = stage.run(&stage.judged(), &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let events = stage.bed.audit_of(AGENT).unwrap();
    // The last dry run is the proof's, of a pod; it does not count.
    let rehearsals = events
        .iter()
        .rposition(|event| event.dry_run && event.resource != "pods");
    let first = events.iter().position(is_written).unwrap();
    assert!(rehearsals.unwrap() < first);
    let announced = run.records.iter().filter(|record| {
        let message = record["message"].as_str().unwrap_or_default();
        message.starts_with("writing ")
    });
    let objects: BTreeSet<&str> = events
        .iter()
        .filter(|event| is_written(event))
        .map(|event| event.uri.split('?').next().unwrap())
        .collect();
    assert_eq!(announced.count(), objects.len());
}

fn apply_removes_what_the_new_version_lacks_and_keeps_what_others_set(bed: Bed) {
    let ways = [&["--server-side", "--force-conflicts"][..], &[]];
    let beds = [bed.another().unwrap(), bed];
    for (bed, how) in beds.into_iter().zip(ways) {
        let stage = Stage::by_cli(bed);
        let name = "linkerd-destination";
        let mut old = stage.deployment(name);
        let metadata = old["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| {
            ["name", "namespace", "labels", "annotations"].contains(&key.as_str())
        });
        old.as_object_mut().unwrap().remove("status");
        let spec = &mut old["spec"]["template"]["spec"];
        let containers = spec["containers"].as_array_mut().unwrap();
        containers[1]["env"] = json!([{ "name": "DROPPED", "value": "1" }]);
        containers.push(json!({ "name": "dropped", "image": "example.test/x:1" }));
        // Makes the state that an older version with one more container leaves behind, by
        // server-side or client-side apply.
        stage
            .bed
            .kubectl(["delete", "deployment", "-n", "linkerd", name])
            .unwrap();
        let args = [&["apply"], how, &["-f", "-"]].concat();
        stage
            .bed
            .kubectl_with_input(&args, &old.to_string())
            .unwrap();
        stage.bed.await_linkerd(FROM).unwrap();
        let mark = json!({ "example.test/by": "me" });
        let patch = json!({ "metadata": { "annotations": mark }, "spec": { "progressDeadlineSeconds": 601 } });
        let path = format!("{DEPLOYMENTS}/{name}");
        stage.bed.merge(&path, &patch).unwrap();
        stage.bed.await_linkerd(FROM).unwrap();
        assert!(stage.containers(name).contains("dropped"));

        let run = stage.run(&stage.judged(), &[]);
        assert_eq!(run.code, Some(0), "{how:?}: {}", run.stderr);
        let live = stage.deployment(name);
        assert!(!stage.containers(name).contains("dropped"), "{how:?}");
        let spec = &live["spec"];
        assert!(!spec.to_string().contains("DROPPED"), "{how:?}: {spec}");
        assert_eq!(spec["progressDeadlineSeconds"], 601, "{how:?}");
        assert_eq!(live["metadata"]["annotations"]["example.test/by"], "me");
        let remembered =
            &live["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
        assert_eq!(remembered.is_string(), how.is_empty(), "{how:?}");
        if let Some(remembered) = remembered.as_str() {
            assert!(
                remembered.contains(TO) && !remembered.contains(FROM),
                "{remembered}"
            );
        }
    }
}

/// A CLI of the target version that does this when it is to render.
fn cli(stage: &Stage, name: &str, renders: &str) -> String {
    let path = stage.tools.folder().join(name);
    let version = format!("[ \"$1\" = version ] && exec echo {TO}");
    write_program(&path, &format!("#!/bin/sh\n{version}\n{renders}\n"));
    path.to_str().unwrap().to_owned()
}

fn linkerd_flag_with_a_cli_that_does_not_fit_changes_nothing(bed: Bed) {
    let stage = Stage::by_cli(bed);
    let judged = stage.judged();
    let other = stage.bed.another().unwrap();
    let foreign = other.charts(TO).unwrap().values;
    let older = stage.tools.linkerd(&stage.bed, "stable-2.14.9");
    let broken = cli(
        &stage,
        "broken",
        "echo 'half: [' ; echo no luck >&2; exit 1",
    );
    let renders = stage.tools.linkerd(&stage.bed, TO);
    let cut = format!("{} \"$@\" | head -c 9000", renders.display());
    let cut = cli(&stage, "cut", &cut);
    for (linkerd, part) in [
        (older.to_str().unwrap(), "stable-2.14.9"),
        ("/no/such/linkerd", "/no/such/linkerd"),
        // No CLI at all.
        ("/bin/true", "/bin/true"),
        (&broken, "no luck"),
        (&cut, ""),
    ] {
        stage.refuses(&judged, &["--linkerd", linkerd], part);
    }
    let foreign = foreign.to_str().unwrap();
    stage.refuses(&judged, &["-f", foreign], "trust anchors");
    let charts = stage.charts_by_flag();
    let charts: Vec<&str> = charts.iter().map(String::as_str).collect();
    stage.refuses(&judged, &charts, "takes no chart");
    stage.refuses(
        &judged,
        &["--force-conflicts"],
        "leave out --force-conflicts",
    );
    // An installation by helm has no such Secret.
    let overrides = "/api/v1/namespaces/linkerd/secrets/linkerd-config-overrides";
    stage.bed.delete(overrides).unwrap();
    let run = stage.run(&judged, &[]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("linkerd-config-overrides"),
        "{}",
        run.stderr
    );
    assert_eq!(stage.written(), Vec::<String>::new());
    assert_eq!(stage.configured(), FROM);
    assert_eq!(stage.holder(), None);
}

fn values_that_the_release_has_and_the_render_changes_are_in_the_question(bed: Bed) {
    let stage = Stage::by_cli(bed);
    let judged = stage.judged();
    let dry = ["--dry-run=server", "--set", "heartbeatSchedule=1 2 * * *"];
    let run = stage.run(&judged, &dry);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let deeds = run.of("intent")[0]["deeds"].as_array().unwrap();
    let values: Vec<&Value> = deeds
        .iter()
        .filter(|deed| deed["verb"].as_str().unwrap().ends_with("the value"))
        .map(|deed| &deed["object"])
        .collect();
    let [Value::String(value)] = values[..] else {
        panic!("{values:?}");
    };
    assert!(value.starts_with("heartbeatSchedule from "), "{value}");
    assert!(value.ends_with(" to 1 2 * * *"), "{value}");
}

fn image_that_stays_as_it_is_shows_no_release(bed: Bed) {
    let image = |tag: &str| format!("controllerImageVersion={tag}");
    let stage = Stage::by_cli_with(bed, &["--set", &image("corp-1")]);
    let judged = stage.judged();
    let same = image("corp-1");
    let what = "cannot tell whether an image is of the target, because it is the same as today";
    stage.refuses(&judged, &["--set", &same], what);
    let cure = "hint: name the target's images in the values";
    stage.refuses(&judged, &["--set", &same], cure);
    assert_eq!(stage.written(), [""; 0]);
    let allowed = [
        "--dry-run=server",
        "--allow-change",
        "images",
        "--set",
        &same,
    ];
    let allowed = stage.run(&judged, &allowed);
    assert_eq!(allowed.code, Some(0), "{}", allowed.said());
    let other = stage.run(&judged, &["--set", &image("corp-2")]);
    assert_eq!(other.code, Some(0), "{}", other.said());
}
