//! Kubeconfigs of a bed with other credentials, such as those of a plugin.

use std::path::{Path, PathBuf};

use mesh_testbed::Bed;
use serde_json::{Value, json};

use crate::write_program;

/// Writes a kubeconfig of the bed to `path`, after `change` changed its cluster and its user.
///
/// # Panics
/// If a file cannot be read or written.
pub fn planted(bed: &Bed, path: &Path, change: impl FnOnce(&mut Value, &mut Value)) {
    let text = std::fs::read(bed.kubeconfig()).expect("the bed has one");
    let mut config: Value = serde_json::from_slice(&text).expect("it is JSON");
    let mut user = config["users"][0]["user"].take();
    change(&mut config["clusters"][0]["cluster"], &mut user);
    config["users"][0]["user"] = user;
    std::fs::write(path, config.to_string()).expect("it can be written");
}

/// Writes a kubeconfig whose credentials come from a plugin, a shell script. The file that
/// `$CREDENTIALS` names has what it prints if it works: credentials with this `status`. Its
/// argument and its variable `$SECRET` are `secret`.
///
/// # Panics
/// If a file cannot be written.
#[must_use]
pub fn with_plugin(
    bed: &Bed,
    folder: &Path,
    script: &str,
    status: &Value,
    secret: &str,
) -> PathBuf {
    let [program, credentials, kubeconfig] =
        ["plugin", "credentials", "with-plugin"].map(|name| folder.join(name));
    write_program(&program, &format!("#!/bin/sh\n{script}\n"));
    let version = "client.authentication.k8s.io/v1";
    let printed = json!({ "kind": "ExecCredential", "apiVersion": version, "status": status });
    std::fs::write(&credentials, printed.to_string()).expect("it can be written");
    planted(bed, &kubeconfig, |_, user| {
        *user = json!({ "exec": {
            "apiVersion": version,
            "command": program,
            "args": [secret],
            "env": [
                { "name": "SECRET", "value": secret },
                { "name": "CREDENTIALS", "value": credentials },
            ],
            "interactiveMode": "Never",
            "provideClusterInfo": true,
        }});
    });
    kubeconfig
}
