//! Where the linkerd CLI installed the control plane, the CLI renders and the tool applies.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mesh_testbed::{AuditEvent, Bed, Match, Victim, When};
use serde_json::Value;

use crate::assert_no_secret;
use crate::stage::{FROM, Run, Stage, TO, records, run};

const AGENT: &str = "mesh-cp-upgrade/";

struct ByCli {
    stage: Stage,
    linkerd: PathBuf,
}

impl ByCli {
    fn new() -> Option<Self> {
        let bed = Bed::for_test()?;
        bed.install_linkerd_by_cli(FROM).unwrap();
        let linkerd = bed.linkerd_cli(TO).unwrap();
        let stage = Stage::on(bed);
        Some(Self { stage, linkerd })
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = self.stage.env(self.stage.tools.run("mesh-cp-upgrade"));
        command
            .env("LINKERD", &self.linkerd)
            .args(more)
            .arg("--yes");
        command
    }

    fn run(&self, judged: &str, more: &[&str]) -> Run {
        run(self.command(more), judged)
    }

    fn kubectl(&self, args: &[&str]) -> String {
        self.stage.bed.kubectl(args).unwrap()
    }

    // What the tool has written so far, but for its lock.
    fn written(&self) -> Vec<String> {
        let events = self.stage.bed.audit_of(AGENT).unwrap();
        let writes = events.iter().filter(|event| is_written(event));
        writes
            .map(|event| format!("{} {}", event.verb, event.uri))
            .collect()
    }

    // Each object of the control plane and the definitions, with its generation or version.
    fn versions(&self) -> BTreeSet<String> {
        let kinds = "deployments,configmaps,secrets,services,crds,mutatingwebhookconfigurations";
        let row = "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation} \
                   {.data}{\"\\n\"}{end}";
        let rows = self.kubectl(&[
            "get",
            kinds,
            "-A",
            "-l",
            "linkerd.io/control-plane-ns=linkerd",
            "-o",
            row,
        ]);
        rows.lines().map(str::to_owned).collect()
    }

    fn containers(&self, component: &str) -> String {
        let path = "jsonpath={.spec.template.spec.containers[*].name}";
        self.kubectl(&["get", "deployment", "-n", "linkerd", component, "-o", path])
    }
}

// Every write but those of the lock.
fn is_written(event: &AuditEvent) -> bool {
    event.writes() && event.resource != "leases"
}

fn of<'a>(run: &'a Run, step: &str) -> Vec<&'a str> {
    let steps = run.records.iter().filter(|record| record["step"] == step);
    steps
        .map(|record| record["state"].as_str().unwrap())
        .collect()
}

#[test]
fn the_whole_upgrade_through_the_cli_ends_proven_and_running_it_again_changes_nothing() {
    let Some(by_cli) = ByCli::new() else { return };
    let stage = &by_cli.stage;
    let pipeline = format!("mesh-survey | mesh-skewcheck --to {TO} | mesh-cp-upgrade --yes");
    let label = "{linkerd.io/control-plane-ns: linkerd}";
    let meta = format!("{{name: of-old, namespace: linkerd, labels: {label}}}");
    let of_old = format!("{{apiVersion: v1, kind: ConfigMap, metadata: {meta}}}");
    stage.bed.apply(&of_old).unwrap();
    let mut shell = stage.env(stage.tools.shell(&pipeline));
    let output = shell.env("LINKERD", &by_cli.linkerd).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_no_secret(stage, &output.stdout, &stderr);
    let first = Run {
        code: 0,
        records: records(&output.stdout),
        stderr,
    };
    let steps = [
        "gate",
        "lock",
        "render",
        "identity",
        "preflight",
        "backup",
        "crds",
        "control_plane",
        "watch",
        "prove",
        "afterwards",
    ];
    for step in steps {
        assert_eq!(of(&first, step), ["started", "done"], "{step}");
    }
    assert_eq!(stage.configured(), TO);
    assert_eq!(stage.holder(), None, "the lock is let go");
    let command = first.step("control_plane", "started").unwrap()["command"].to_string();
    assert!(command.starts_with("[\"linkerd\",\"upgrade\""), "{command}");

    let afterwards = first.step("afterwards", "done").unwrap()["message"].to_string();
    assert!(afterwards.contains("ConfigMap of-old;"), "{afterwards}");
    by_cli.kubectl(&["get", "configmap", "-n", "linkerd", "of-old"]);

    let before = (by_cli.versions(), by_cli.written().len());
    let again = by_cli.run(&stage.judged(), &[]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    for step in ["identity", "preflight", "crds", "control_plane"] {
        assert_eq!(of(&again, step), ["skipped"], "{step}");
    }
    assert_eq!((by_cli.versions(), by_cli.written().len()), before);
}

#[test]
fn every_write_is_announced_and_none_comes_before_the_rehearsal_is_over() {
    let Some(by_cli) = ByCli::new() else { return };
    let run = by_cli.run(&by_cli.stage.judged(), &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let events = by_cli.stage.bed.audit_of(AGENT).unwrap();
    // The proof is a dry run too, of a pod, and comes last.
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

#[test]
fn what_the_new_version_no_longer_has_is_gone_and_what_others_set_stays() {
    for how in [&["--server-side", "--force-conflicts"][..], &[]] {
        let Some(by_cli) = ByCli::new() else { return };
        let (stage, name) = (&by_cli.stage, "linkerd-destination");
        let get = ["get", "deployment", "-n", "linkerd", name, "-o", "json"];
        let mut old: Value = serde_json::from_str(&by_cli.kubectl(&get)).unwrap();
        let metadata = old["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| {
            ["name", "namespace", "labels", "annotations"].contains(&key.as_str())
        });
        old.as_object_mut().unwrap().remove("status");
        let spec = &mut old["spec"]["template"]["spec"];
        let containers = spec["containers"].as_array_mut().unwrap();
        containers[1]["env"] = serde_json::json!([{ "name": "DROPPED", "value": "1" }]);
        containers.push(serde_json::json!({ "name": "dropped", "image": "example.test/x:1" }));
        // As an installation of a version with more in it leaves it behind, in either way.
        let delete = ["delete", "deployment", "-n", "linkerd", name];
        by_cli.kubectl(&delete);
        let args = [&["apply"], how, &["-f", "-"]].concat();
        stage
            .bed
            .kubectl_with_input(&args, &old.to_string())
            .unwrap();
        stage.bed.await_linkerd(FROM).unwrap();
        by_cli.kubectl(&[
            "annotate",
            "deployment",
            "-n",
            "linkerd",
            name,
            "example.test/by=me",
        ]);
        let patch = r#"{"spec":{"minReadySeconds":1}}"#;
        by_cli.kubectl(&["patch", "deployment", "-n", "linkerd", name, "-p", patch]);
        stage.bed.await_linkerd(FROM).unwrap();
        assert!(by_cli.containers(name).contains("dropped"));

        let run = by_cli.run(&stage.judged(), &[]);
        assert_eq!(run.code, 0, "{how:?}: {}", run.stderr);
        let new = by_cli.kubectl(&get);
        let live: Value = serde_json::from_str(&new).unwrap();
        assert!(!by_cli.containers(name).contains("dropped"), "{how:?}");
        let spec = &live["spec"];
        assert!(!spec.to_string().contains("DROPPED"), "{how:?}: {spec}");
        assert_eq!(spec["minReadySeconds"], 1, "{how:?}");
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

#[test]
fn a_cli_that_does_not_fit_changes_nothing() {
    let Some(by_cli) = ByCli::new() else { return };
    let stage = &by_cli.stage;
    let judged = stage.judged();
    let other = Bed::start().unwrap();
    let foreign = other.charts(TO).unwrap().values;
    let older = stage.bed.linkerd_cli("stable-2.14.9").unwrap();
    let broken = stage.tools.folder().join("broken");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = version ] && exec echo {TO}\necho 'half: [' ; echo no luck >&2; exit 1\n"
    );
    std::fs::write(&broken, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&broken, mode).unwrap();
    let cut = stage.tools.folder().join("cut");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = version ] && exec echo {TO}\n{} \"$@\" | head -c 9000\n",
        by_cli.linkerd.display()
    );
    std::fs::write(&cut, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&cut, mode).unwrap();
    let show = |path: &std::path::Path| path.display().to_string();
    let charts = stage.charts_by_flag();
    let charts: Vec<&str> = charts.iter().map(String::as_str).collect();
    let table: Vec<(&str, Vec<String>, &str)> = vec![
        (
            "another version",
            vec!["--linkerd".into(), show(&older)],
            "stable-2.14.9",
        ),
        (
            "no CLI",
            vec!["--linkerd".into(), "/no/such/linkerd".into()],
            "/no/such/linkerd",
        ),
        (
            "another program",
            vec!["--linkerd".into(), "/bin/true".into()],
            "/bin/true",
        ),
        (
            "a CLI that fails",
            vec!["--linkerd".into(), show(&broken)],
            "no luck",
        ),
        (
            "a manifest that is cut",
            vec!["--linkerd".into(), show(&cut)],
            "",
        ),
        (
            "values of another cluster",
            vec!["-f".into(), show(&foreign)],
            "trust anchors",
        ),
        (
            "charts",
            charts.iter().map(ToString::to_string).collect(),
            "takes no chart",
        ),
    ];
    for (name, more, part) in table {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let run = by_cli.run(&judged, &more);
        assert_eq!(run.code, 2, "{name}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{name}: {}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{name}: {}", run.stderr);
    }
    // As on an installation by helm.
    let overrides = [
        "delete",
        "secret",
        "-n",
        "linkerd",
        "linkerd-config-overrides",
    ];
    by_cli.kubectl(&overrides);
    let run = by_cli.run(&judged, &[]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(
        run.stderr.contains("linkerd-config-overrides"),
        "{}",
        run.stderr
    );
    assert_eq!(by_cli.written(), Vec::<String>::new());
    assert_eq!(stage.configured(), FROM);
    assert_eq!(stage.holder(), None);
}

#[test]
fn killed_at_any_write_the_same_pipeline_carries_on_and_ends_done() {
    let places = [
        (
            Match::writes()
                .agent(AGENT)
                .path("customresourcedefinitions"),
            When::AfterForward,
        ),
        (
            Match::writes()
                .agent(AGENT)
                .path("mutatingwebhookconfigurations"),
            When::BeforeForward,
        ),
        (
            Match::writes()
                .agent(AGENT)
                .path("deployments/linkerd-identity"),
            When::AfterForward,
        ),
        (
            Match::writes()
                .agent(AGENT)
                .path("configmaps/linkerd-config"),
            When::AfterForward,
        ),
    ];
    let Some(by_cli) = ByCli::new() else { return };
    let stage = &by_cli.stage;
    let judged = stage.judged();
    for (place, when) in places {
        let proxy = stage.bed.proxy().unwrap();
        let victim = Victim::default();
        proxy.on(place.clone().nth(1)).kill(&victim, when);
        let mut command = by_cli.command(&["--if-locked", "wait=1m"]);
        command.env("KUBECONFIG", proxy.kubeconfig());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        victim.set(child.id());
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, judged.as_bytes()).unwrap();
        drop(stdin);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "{place:?}: it was killed");
        stage.forget_lock();
    }
    let run = by_cli.run(&judged, &["--if-locked", "wait=1m"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.step("prove", "done").is_some());
    assert_eq!(stage.configured(), TO);
    let path = "jsonpath={.items[*].spec.template.spec.containers[*].image}";
    let component = "linkerd.io/control-plane-component";
    let images = by_cli.kubectl(&[
        "get",
        "deployments",
        "-n",
        "linkerd",
        "-l",
        component,
        "-o",
        path,
    ]);
    assert!(!images.contains(FROM), "{images}");
}
