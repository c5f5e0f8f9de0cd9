//! `--backup`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::stage::{FROM, Stage, TO};

on_both_beds! {
    backup_has_what_is_needed_to_go_back_and_no_private_key
    backup_before_new_definitions_has_the_control_plane_too
    backup_that_cannot_be_saved_ends_the_run_before_any_write
}

fn saved(folder: &Path) -> PathBuf {
    let mut all = fs::read_dir(folder).unwrap();
    let only = all.next().unwrap().unwrap().path();
    assert!(all.next().is_none());
    only
}

fn texts(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

// Returns the specs of the Deployments in a saved file, by name.
fn specs(file: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(file).unwrap();
    let documents = serde_norway::Deserializer::from_str(&text);
    let objects = documents.map(|one| Value::deserialize(one).unwrap());
    let deployments = objects.filter(|it| it["kind"] == "Deployment");
    deployments.map(|it| named_spec(&it)).collect()
}

fn named_spec(deployment: &Value) -> (String, Value) {
    let name = deployment["metadata"]["name"].as_str().unwrap();
    (name.to_owned(), deployment["spec"].clone())
}

impl Stage {
    fn specs(&self) -> BTreeMap<String, Value> {
        let path = "/apis/apps/v1/namespaces/linkerd/deployments";
        let list = self.bed.get(path).unwrap();
        let items = list["items"].as_array().unwrap();
        items.iter().map(named_spec).collect()
    }

    // Writes the annotation of kubectl, with the whole Secret in it, and returns the key in base64.
    fn applied_issuer(&self) -> String {
        let path = "/api/v1/namespaces/linkerd/secrets/linkerd-identity-issuer";
        let issuer = self.bed.get(path).unwrap();
        let key = issuer["data"]["key.pem"].as_str().unwrap().to_owned();
        let applied = json!({ "kind": "Secret", "data": issuer["data"] }).to_string();
        let last = "kubectl.kubernetes.io/last-applied-configuration";
        let annotations = json!({ "metadata": { "annotations": { last: applied } } });
        self.bed.merge(path, &annotations).unwrap();
        key
    }
}

fn backup_has_what_is_needed_to_go_back_and_no_private_key(bed: Bed) {
    let stage = Stage::new(bed);
    let secret = stage.applied_issuer();
    let live = stage.specs();
    let (plain, full) = (
        stage.tools.folder().join("plain"),
        stage.tools.folder().join("full"),
    );
    let dry = ["--backup", plain.to_str().unwrap(), "--dry-run=server"];
    let dry = stage.run(&stage.judged(), &dry);
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    assert!(!plain.exists(), "a dry run saves nothing");
    let run = stage.run(&stage.judged(), &["--backup", plain.to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);

    let folder = saved(&plain);
    let name = folder.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("linkerd-stable-2.13.7-"), "{name}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("about.yaml")), 0o600);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert!(read("definitions.yaml").contains("servers.policy.linkerd.io"));
    assert!(read("objects.yaml").contains(&format!("linkerd/proxy:{FROM}")));
    assert!(read("linkerd-config.yaml").contains(&format!("linkerdVersion: {FROM}")));
    assert_eq!(specs(&folder.join("objects.yaml")), live);
    let about = read("about.yaml");
    assert!(about.contains(&format!("to: {TO}")), "{about}");
    let issuer = "Secret linkerd-identity-issuer in secrets.yaml";
    assert!(about.contains(issuer), "{about}");
    if stage.is_by_helm() {
        assert!(
            about.contains("helm rollback linkerd-control-plane 1"),
            "{about}"
        );
        assert!(read("linkerd-control-plane-revision.yaml").contains("revision: 1"));
        assert!(read("linkerd-control-plane-values.yaml").contains("identityTrustAnchorsPEM"));
        let manifest = read("linkerd-control-plane-manifest.yaml");
        assert!(manifest.contains(&format!("linkerd/proxy:{FROM}")));
    }
    let all = texts(&folder);
    assert!(!all.contains("PRIVATE KEY") && !all.contains(&secret));

    let other = stage.file("other.yaml", "proxy: {logLevel: debug}\n");
    let full_name = full.to_str().unwrap();
    let flags = ["-f", &other, "--backup", full_name, "--backup-secrets"];
    let without = ["--without-gate", "--reason", "a test", "--to", TO];
    let run = stage.run("", &[&flags[..], &without].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(texts(&saved(&full)).contains(&secret));
}

fn backup_before_new_definitions_has_the_control_plane_too(bed: Bed) {
    let stage = Stage::by_cli_without_definitions(bed);
    let secret = stage.applied_issuer();
    let live = stage.specs();
    let folder = stage.tools.folder().join("saved");
    let run = stage.run(&stage.judged(), &["--backup", folder.to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let folder = saved(&folder);
    assert_eq!(specs(&folder.join("objects.yaml")), live);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    for (file, part) in [
        ("objects.yaml", "kind: Namespace"),
        ("objects.yaml", "name: linkerd-linkerd-identity"),
        (
            "objects.yaml",
            "name: linkerd-proxy-injector-webhook-config",
        ),
        ("secrets.yaml", "name: linkerd-identity-issuer"),
        ("values.yaml", "identityTrustAnchorsPEM"),
        ("about.yaml", "back: linkerd upgrade"),
        ("about.yaml", "the linkerd CLI of the old version"),
    ] {
        assert!(read(file).contains(part), "{part}: {}", read(file));
    }
    assert!(!read("about.yaml").contains("no_way_back"));
    let all = texts(&folder);
    assert!(!all.contains("PRIVATE KEY") && !all.contains(&secret));
}

fn backup_that_cannot_be_saved_ends_the_run_before_any_write(bed: Bed) {
    let stage = Stage::new(bed);
    let taken = stage.file("taken", "");
    let run = stage.run(&stage.judged(), &["--backup", &taken]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("cannot save a backup in"),
        "{}",
        run.stderr
    );
    stage.assert_unchanged(true);
}
