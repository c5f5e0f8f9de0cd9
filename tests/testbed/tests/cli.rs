//! Tests the stand-in for the `linkerd` CLI on the lab.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Output};

use mesh_testbed::Bed;

const OLD: &str = "stable-2.13.7";
const NEW: &str = "stable-2.14.10";

fn linkerd(bed: &Bed, version: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linkerd"));
    command.env("KUBECONFIG", bed.kubeconfig());
    command.env("STANDIN_LINKERD_VERSION", version);
    command.args(args).output().unwrap()
}

#[track_caller]
fn rendered(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty());
    assert!(said.contains(why), "{said}");
}

#[test]
fn it_says_its_version() {
    let bed = Bed::lab().unwrap();
    let said = rendered(linkerd(&bed, NEW, &["version", "--client", "--short"]));
    assert_eq!(said, format!("{NEW}\n"));
}

#[test]
fn an_upgrade_starts_from_what_the_installation_stored() {
    let bed = Bed::lab().unwrap();
    bed.install_linkerd_with(OLD, &["--set", "controllerReplicas=2"])
        .unwrap();
    bed.apply(&rendered(linkerd(&bed, NEW, &["upgrade", "--crds"])))
        .unwrap();
    bed.apply(&rendered(linkerd(&bed, NEW, &["upgrade"])))
        .unwrap();
    bed.await_linkerd(NEW).unwrap();
    let deployment = rendered(linkerd(&bed, NEW, &["upgrade"]));
    assert!(deployment.contains("replicas: 2"), "{deployment}");
    let flagged = rendered(linkerd(
        &bed,
        NEW,
        &["upgrade", "--set", "controllerReplicas=3"],
    ));
    assert!(
        flagged.contains("replicas: 3"),
        "a flag outweighs what is stored"
    );
}

#[test]
fn an_upgrade_needs_an_installation_by_the_cli() {
    let bed = Bed::lab().unwrap();
    refused(
        &linkerd(&bed, NEW, &["upgrade"]),
        "Linkerd CRDs must be installed first",
    );
    bed.apply(&rendered(linkerd(&bed, NEW, &["install", "--crds"])))
        .unwrap();
    refused(
        &linkerd(&bed, NEW, &["upgrade"]),
        "Could not find the linkerd-config-overrides secret",
    );
    refused(
        &linkerd(&bed, NEW, &["install"]),
        "Please provide the identity trust anchors",
    );
}

#[test]
fn upgrade_and_install_are_refused_while_a_definition_lacks_a_version() {
    let bed = Bed::lab().unwrap();
    bed.install_linkerd(OLD).unwrap();
    for command in ["upgrade", "install"] {
        let why = format!("Run linkerd {command} with the --crds flag");
        refused(&linkerd(&bed, NEW, &[command]), &why);
    }
    bed.apply_definitions(NEW).unwrap();
    rendered(linkerd(&bed, NEW, &["upgrade"]));
}

#[test]
fn what_is_left_over_is_listed() {
    let bed = Bed::lab().unwrap();
    bed.install_linkerd(OLD).unwrap();
    assert_eq!(
        rendered(linkerd(
            &bed,
            OLD,
            &["prune", "--linkerd-namespace", "linkerd"]
        )),
        ""
    );
    let labels = serde_json::json!({ "linkerd.io/control-plane-ns": "linkerd" });
    let metadata = serde_json::json!({ "name": "old", "namespace": "linkerd", "labels": labels });
    let map = serde_json::json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata });
    bed.apply(&map.to_string()).unwrap();
    let left = rendered(linkerd(&bed, OLD, &["prune"]));
    assert!(
        left.contains("kind: ConfigMap") && left.contains("name: old"),
        "{left}"
    );
    assert_eq!(left.matches("---").count(), 1, "{left}");
}
