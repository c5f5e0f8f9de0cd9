//! No private key leaves the values file, the cluster's Secrets and the private copies.

use std::fs;
use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mesh_testbed::Bed;
use mesh_tests::{on_both_beds, run, write_program};
use serde_json::Value;

use crate::stage::{Stage, TO};

on_both_beds! {
    no_private_key_is_in_a_record_a_log_an_argument_list_or_a_backup
}

const MARKER: &str = "hush4711hush4711";

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

impl Stage {
    /// The values of the stage with the marker in front of the issuer's key, where PEM allows any text.
    fn marked_values(&self) -> String {
        let values = fs::read_to_string(&self.charts.values).unwrap();
        let mut values: Value = serde_norway::from_str(&values).unwrap();
        let key = &mut values["identity"]["issuer"]["tls"]["keyPEM"];
        *key = format!("{MARKER}\n{}", key.as_str().unwrap()).into();
        self.file("marked.yaml", &values.to_string())
    }

    /// A program that logs the arguments of every process of this machine, and then is helm or the CLI.
    fn prying(&self, log: &Path) -> (&'static str, String) {
        let (flag, program) = match self.is_by_helm() {
            true => ("--helm", self.bed.helm().to_owned()),
            false => ("--linkerd", self.tools.linkerd(&self.bed, TO)),
        };
        let path = self.tools.folder().join("prying");
        let script = format!(
            "#!/bin/sh\n{{ cat /proc/*/cmdline /proc/self/environ 2>&1; echo; }} | tr '\\0' ' ' >>{}\n\
             exec {} \"$@\"\n",
            log.display(),
            program.display()
        );
        write_program(&path, &script);
        (flag, path.display().to_string())
    }
}

fn no_private_key_is_in_a_record_a_log_an_argument_list_or_a_backup(bed: Bed) {
    let stage = Stage::new(bed);
    let values = stage.marked_values();
    let [log, record, plain, full] =
        ["log", "record", "plain", "full"].map(|it| stage.tools.folder().join(it));
    let (flag, program) = stage.prying(&log);
    let upgrade = |judged: &str, more: &[&str]| {
        let mut command = stage.command(&[flag, &program, "-f", &values, "--diff", "--yes"]);
        command.arg("--record").arg(&record).args(more);
        let run = run(command, judged);
        assert_eq!(run.code, Some(0), "{}", run.said());
        let kept = fs::read_to_string(&record).unwrap();
        let seen = fs::read_to_string(&log).unwrap();
        assert!(seen.contains("mesh-cp-upgrade"), "{seen}");
        for text in [&run.stdout, &run.stderr, &kept, &seen] {
            assert!(!has_marker(text), "{text}");
        }
    };
    upgrade(&stage.judged(), &[]);
    let issuer = "/api/v1/namespaces/linkerd/secrets/linkerd-identity-issuer";
    let key = stage.bed.get(issuer).unwrap()["data"]["key.pem"].to_string();
    assert!(has_marker(&key), "it is in the cluster");

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
