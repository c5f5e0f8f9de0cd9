//! Fields of the control plane that somebody set by hand: helm 4 may not change them, helm 3
//! overwrites them.

use mesh_testbed::{Bed, Match, When};
use mesh_tests::{Run, begin, on_both_beds};
use serde_json::{Value, json};

use crate::stage::{FROM, Stage, TO};

on_both_beds! {
    [Kubectl]
    what_somebody_else_set_is_shown_before_the_cli_overwrites_it
    what_cannot_stay_beside_the_new_objects_is_found_before_the_cli_writes_any
    what_was_set_by_hand_is_named_before_new_definitions_are_written
    what_is_set_by_hand_after_the_question_is_not_overwritten
    [Helm]
    what_was_set_by_hand_is_shown_before_helm_overwrites_or_keeps_it
    helm_4_finds_what_was_set_by_hand_before_anything_is_written
    force_conflicts_lets_helm_4_overwrite_what_was_set_by_hand
    force_conflicts_is_refused_where_helm_knows_no_conflicts
    way_back_that_the_server_would_refuse_is_not_offered
}

const DESTINATION: &str = "/apis/apps/v1/namespaces/linkerd/deployments/linkerd-destination";
const OVERWRITTEN: &str = "overwrite Deployment linkerd-destination: .spec.replicas, which kubectl \
                           set to 2: it becomes 1";

impl Stage {
    pub(crate) fn scale(&self, deployment: &str) {
        let scale = [
            "-n",
            "linkerd",
            "scale",
            "deploy",
            deployment,
            "--replicas=2",
        ];
        self.bed.kubectl(scale).unwrap();
        let status = ["-n", "linkerd", "rollout", "status", "deploy", deployment];
        self.bed.kubectl(status).unwrap();
    }

    fn replicas(&self, deployment: &str) -> Value {
        self.bed.get(deployment).unwrap()["spec"]["replicas"].clone()
    }

    /// A stage whose releases helm writes by itself, whichever major it is.
    fn by_three_way_merge(bed: Bed) -> Self {
        let version = bed.run_helm(["version", "--short"]).unwrap();
        match version.starts_with("v3.") {
            true => Self::new(bed),
            false => {
                let helm = bed.helm().to_path_buf();
                let flags = ["--server-side=false"];
                bed.install_linkerd_by(&helm, FROM, &flags).unwrap();
                Self::by_helm(bed)
            }
        }
    }
}

fn deeds(run: &Run) -> Vec<String> {
    let intent = run.of("intent")[0]["deeds"].as_array().unwrap();
    let words = |deed: &Value| {
        let word = |key: &str| deed[key].as_str().unwrap().to_owned();
        format!("{} {}", word("verb"), word("object"))
    };
    intent.iter().map(words).collect()
}

fn what_somebody_else_set_is_shown_before_the_cli_overwrites_it(bed: Bed) {
    let stage = Stage::by_cli(bed);
    stage.scale("linkerd-proxy-injector");
    let dry = stage.run(&stage.judged(), &["--dry-run=server"]);
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    let deeds = deeds(&dry);
    let deed = "overwrite Deployment linkerd-proxy-injector: .spec.replicas, which kubectl set to \
                2: it becomes 1";
    assert!(deeds.contains(&deed.to_owned()), "{deeds:#?}");
    stage.assert_unchanged(false);
}

fn what_cannot_stay_beside_the_new_objects_is_found_before_the_cli_writes_any(bed: Bed) {
    let stage = Stage::by_cli(bed);
    let judged = stage.judged();
    // The chart gives the bounds of a rolling update, and not its type.
    let strategy = json!({ "spec": { "strategy": { "type": "Recreate", "rollingUpdate": null } } });
    let edit = format!("{DESTINATION}?fieldManager=kubectl-edit");
    stage.bed.merge(&edit, &strategy).unwrap();
    for part in [
        "would refuse Deployment linkerd-destination: ",
        "beside it stays .spec.strategy.type, which kubectl-edit added",
    ] {
        stage.refuses(&judged, &[], part);
    }
    assert_eq!(stage.written(), Vec::<String>::new());
}

fn what_was_set_by_hand_is_named_before_new_definitions_are_written(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    stage.scale("linkerd-proxy-injector");
    let judged = stage.judged();
    let dry = stage.run(&judged, &["--dry-run=server", "--diff"]);
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    let shown = deeds(&dry);
    let deed = "overwrite or keep Deployment linkerd-proxy-injector: .spec.replicas, which kubectl \
                set to 2";
    assert!(shown.contains(&deed.to_owned()), "{shown:#?}");
    let later = "the differences of the control plane come after the CRDs are written";
    assert!(dry.stdout.contains(later), "{}", dry.stdout);

    let digest = dry.of("intent")[0]["digest"].as_str().unwrap();
    let run = stage.run(&judged, &[&format!("--yes={digest}")]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(stage.configured(), TO);
}

fn what_is_set_by_hand_after_the_question_is_not_overwritten(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    let judged = stage.judged();
    let proxy = stage.bed.proxy().unwrap();
    let (running, held) = stage.held(&proxy, &judged);
    stage.scale("linkerd-destination");
    held.release();
    let run = running.finish();
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    let reason = run.end()["reason"].as_str().unwrap();
    let field = "Deployment linkerd-destination: .spec.replicas, which kubectl set to 2";
    assert!(reason.contains(field), "{reason}");
    assert_eq!(stage.replicas(DESTINATION), 2);
    stage.assert_only_definitions();

    let again = stage.run(&judged, &[]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let shown = deeds(&again);
    assert!(shown.contains(&OVERWRITTEN.to_owned()), "{shown:#?}");
    assert_eq!(stage.replicas(DESTINATION), 1);
}

fn what_was_set_by_hand_is_shown_before_helm_overwrites_or_keeps_it(bed: Bed) {
    let stage = Stage::by_three_way_merge(bed);
    stage.scale("linkerd-destination");
    let mine = [
        "-n",
        "linkerd",
        "annotate",
        "deploy",
        "linkerd-destination",
        "example.test/mine=x",
    ];
    stage.bed.kubectl(mine).unwrap();
    let judged = stage.judged();
    let dry = stage.run(&judged, &["--dry-run=server"]);
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    let kept = "keep Deployment linkerd-destination: .metadata.annotations[example.test/mine], \
                which kubectl-annotate added";
    let shown = deeds(&dry);
    assert_eq!(shown[2..], [kept, OVERWRITTEN], "{shown:#?}");
    let checked = dry.step("preflight", "done").unwrap()["message"].to_string();
    assert!(
        checked.contains("2 fields of them were set by hand"),
        "{checked}"
    );

    let digest = dry.of("intent")[0]["digest"].as_str().unwrap();
    let run = stage.run(&judged, &[&format!("--yes={digest}")]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(deeds(&run), shown);
    assert_eq!(stage.replicas(DESTINATION), 1);
    let annotations = &stage.bed.get(DESTINATION).unwrap()["metadata"]["annotations"];
    assert_eq!(annotations["example.test/mine"], "x");
}

fn helm_4_finds_what_was_set_by_hand_before_anything_is_written(bed: Bed) {
    let stage = Stage::by_helm4(bed);
    stage.scale("linkerd-destination");
    let judged = stage.judged();
    let run = stage.run(&judged, &[]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    for part in [
        "helm may not change fields that somebody else has set: Deployment linkerd-destination: ",
        "\"kubectl\" with subresource \"scale\"",
        ".spec.replicas",
        "--force-conflicts",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert!(run.step("preflight", "failed").is_some());
    stage.assert_unchanged(true);
    // What is set there may also be put into the values, as the hint says.
    let same = stage.file("same.yaml", "controllerReplicas: 2\n");
    let same = ["-f", &same, "--allow-change", "ha", "--dry-run=server"];
    let run = stage.run(&judged, &same);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    stage.assert_unchanged(true);
}

fn force_conflicts_lets_helm_4_overwrite_what_was_set_by_hand(bed: Bed) {
    let stage = Stage::by_helm4(bed);
    stage.scale("linkerd-destination");
    let run = stage.run(&stage.judged(), &["--force-conflicts"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let deeds = deeds(&run);
    assert!(deeds.contains(&OVERWRITTEN.to_owned()), "{deeds:#?}");
    assert_eq!(stage.replicas(DESTINATION), 1);
    assert_eq!(stage.configured(), TO);
    let kept = run.step("backup", "done").unwrap()["message"].to_string();
    assert!(
        kept.contains("helm rollback linkerd-control-plane 1"),
        "{kept}"
    );
    assert!(kept.contains("--force-conflicts"), "{kept}");
}

fn force_conflicts_is_refused_where_helm_knows_no_conflicts(bed: Bed) {
    let stage = Stage::by_three_way_merge(bed);
    stage.refuses(
        &stage.judged(),
        &["--force-conflicts"],
        "leave out --force-conflicts",
    );
    stage.assert_unchanged(true);
}

fn way_back_that_the_server_would_refuse_is_not_offered(bed: Bed) {
    let stage = Stage::by_helm4(bed);
    let proxy = stage.bed.proxy().unwrap();
    let write = Match::writes()
        .agent("Helm/")
        .path("deployments/linkerd-identity");
    let held = proxy.on(write).hold(When::BeforeForward);
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", proxy.kubeconfig());
    let running = begin(command, &stage.judged());
    held.arrived();
    // Too late for every check: helm itself finds the conflict, in the middle of its writes.
    stage.scale("linkerd-proxy-injector");
    held.release();
    let run = running.finish();
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    for part in [
        "helm could not upgrade linkerd/linkerd-control-plane",
        "there is no way back with `helm rollback linkerd-control-plane 1",
        "now: somebody else has set fields: Deployment linkerd-proxy-injector: conflict with",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
}
