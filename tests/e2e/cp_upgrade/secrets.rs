//! No private key leaves the values file, the cluster's Secrets and the private copies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mesh_testbed::Bed;
use mesh_tests::{Run, on_both_beds, run, write_program};
use serde_json::{Value, json};

use crate::stage::{Stage, TO};

on_both_beds! {
    no_private_key_is_in_a_record_a_log_an_argument_list_or_a_backup
    key_that_only_the_issuers_secret_has_is_said_nowhere
    [Helm]
    key_that_only_the_issuers_secret_has_is_said_nowhere_with_helm_4
    key_that_only_the_issuers_secret_has_is_said_nowhere_by_the_cli
}

const MARKER: &str = "hush4711hush4711";
const ISSUER: &str = "/api/v1/namespaces/linkerd/secrets/linkerd-identity-issuer";

// The marker, and what of it is the same wherever it stands in a text in base64.
fn needles() -> Vec<String> {
    let shifted = (0..3_usize).map(|shift| {
        let text = [&b"   "[..shift], MARKER.as_bytes()].concat();
        let encoded = STANDARD.encode(text);
        let whole = encoded.trim_end_matches('=');
        whole[if shift == 0 { 0 } else { 4 }..whole.len() - 2].to_owned()
    });
    shifted.chain([MARKER.to_owned()]).collect()
}

fn has_marker(text: &str) -> bool {
    needles().iter().any(|needle| text.contains(needle))
}

fn everything(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all += &everything(&path),
            false => all += &fs::read_to_string(path).unwrap(),
        }
    }
    all
}

/// A stage on which all that the tool and its children say is searched for the marker.
struct Pried {
    stage: Stage,
    /// The arguments and the environments of all processes.
    log: PathBuf,
    record: PathBuf,
    /// The flags that name helm or the CLI.
    program: [String; 2],
}

impl Pried {
    fn new(stage: Stage) -> Self {
        let [log, record, path] =
            ["log", "record", "prying"].map(|it| stage.tools.folder().join(it));
        let (flag, real) = match stage.is_by_helm() {
            true => (
                "--helm",
                fs::canonicalize(stage.tools.tool("helm")).unwrap(),
            ),
            false => ("--linkerd", stage.tools.linkerd(&stage.bed, TO)),
        };
        let script = format!(
            "#!/bin/sh\n{{ cat /proc/*/cmdline /proc/self/environ 2>&1; echo; }} | tr '\\0' ' ' >>{}\n\
             exec {} \"$@\"\n",
            log.display(),
            real.display()
        );
        write_program(&path, &script);
        let program = [flag.to_owned(), path.display().to_string()];
        Self {
            stage,
            log,
            record,
            program,
        }
    }

    /// Runs the tool, and checks its records, its log and the argument lists.
    #[track_caller]
    fn quiet(&self, mut command: Command, input: &str) -> Run {
        command
            .args(&self.program)
            .arg("--record")
            .arg(&self.record);
        let run = run(command, input);
        let kept = fs::read_to_string(&self.record).unwrap();
        let seen = fs::read_to_string(&self.log).unwrap();
        assert!(seen.contains("mesh-cp-upgrade"), "{seen}");
        for text in [&run.stdout, &run.stderr, &kept, &seen] {
            assert!(!has_marker(text), "{text}");
        }
        run
    }

    #[track_caller]
    fn upgrade(&self, judged: &str, more: &[&str]) -> Run {
        let run = self.quiet(self.stage.command(more), judged);
        assert_eq!(run.code, Some(0), "{}", run.said());
        run
    }

    /// Writes a key with the marker into the issuer's Secret, and into the annotation that kubectl
    /// leaves, which repeats the whole Secret.
    fn plant(&self) {
        let key = STANDARD.encode(format!("{MARKER}\n"));
        let applied = json!({ "kind": "Secret", "data": { "key.pem": key } }).to_string();
        let last = "kubectl.kubernetes.io/last-applied-configuration";
        let annotations = json!({ "annotations": { last: applied } });
        let planted = json!({ "metadata": annotations, "data": { "key.pem": key } });
        self.stage.bed.merge(ISSUER, &planted).unwrap();
    }

    fn has_planted(&self) -> bool {
        has_marker(&self.stage.bed.get(ISSUER).unwrap()["data"]["key.pem"].to_string())
    }
}

impl Stage {
    /// The values of the stage with the marker in front of the issuer's key, where PEM allows any text.
    fn marked_values(&self) -> String {
        let values = fs::read_to_string(&self.charts.values).unwrap();
        let mut values: Value = serde_norway::from_str(&values).unwrap();
        let key = &mut values["identity"]["issuer"]["tls"]["keyPEM"];
        *key = format!("{MARKER}\n{}", key.as_str().unwrap()).into();
        self.file("marked.yaml", &values.to_string())
    }
}

fn no_private_key_is_in_a_record_a_log_an_argument_list_or_a_backup(bed: Bed) {
    let pried = Pried::new(Stage::new(bed));
    let stage = &pried.stage;
    let values = stage.marked_values();
    let [plain, full] = ["plain", "full"].map(|it| stage.tools.folder().join(it));
    let upgrade = |judged: &str, more: &[&str]| {
        pried.upgrade(judged, &[&["-f", &values, "--diff"], more].concat());
    };
    upgrade(&stage.judged(), &[]);
    assert!(pried.has_planted(), "it is in the cluster");

    let debug = stage.file("debug.yaml", "proxy: {logLevel: debug}\n");
    let info = stage.file("info.yaml", "proxy: {logLevel: info}\n");
    let without = ["--without-gate", "--reason", "a test", "--to", TO];
    let backup = ["-f", &debug, "--backup", plain.to_str().unwrap()];
    upgrade("", &[&backup[..], &without].concat());
    assert!(!has_marker(&everything(&plain)));
    let with_secrets = [
        "-f",
        &info,
        "--backup-secrets",
        "--backup",
        full.to_str().unwrap(),
    ];
    upgrade("", &[&with_secrets[..], &without].concat());
    assert!(has_marker(&everything(&full)));
}

// `force` lets helm 4 overwrite the planted key.
fn says_no_key_of_the_secret(stage: Stage, force: &[&str]) {
    let pried = Pried::new(stage);
    let stage = &pried.stage;
    let judged = stage.judged();
    pried.plant();
    for how in ["--preflight", "--dry-run=client", "--dry-run=server"] {
        let run = pried.quiet(stage.command(&[how, "--diff"]), &judged);
        let conflicts = !force.is_empty() && how != "--dry-run=client";
        assert_eq!(run.code == Some(0), !conflicts, "{how}: {}", run.said());
    }
    assert!(pried.has_planted());
    let backup = stage.tools.folder().join("backup");
    let saved = ["--diff", "--backup", backup.to_str().unwrap()];
    let run = pried.upgrade(&judged, &[&saved, force].concat());
    assert!(run.step("prove", "done").is_some(), "{}", run.said());
    let saved = everything(&backup);
    assert!(saved.contains("name: linkerd-identity-issuer"), "{saved}");
    assert!(!has_marker(&saved), "{saved}");
    assert!(!pried.has_planted(), "the key of the values is there again");

    pried.plant();
    let mut watching = stage.tool();
    watching.args(["--watch-only", "--to", TO]);
    let watched = pried.quiet(watching, "");
    assert_eq!(watched.code, Some(0), "{}", watched.said());
    if stage.is_by_helm() {
        let mut back = stage.tool();
        back.args(["--rollback", "--yes"]).args(force);
        let back = pried.quiet(back, "");
        assert_eq!(back.code, Some(0), "{}", back.said());
    }
}

fn key_that_only_the_issuers_secret_has_is_said_nowhere(bed: Bed) {
    says_no_key_of_the_secret(Stage::new(bed), &[]);
}

fn key_that_only_the_issuers_secret_has_is_said_nowhere_with_helm_4(bed: Bed) {
    says_no_key_of_the_secret(Stage::by_helm4(bed), &["--force-conflicts"]);
}

fn key_that_only_the_issuers_secret_has_is_said_nowhere_by_the_cli(bed: Bed) {
    says_no_key_of_the_secret(Stage::by_cli(bed), &[]);
}
