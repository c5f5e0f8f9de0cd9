//! How a survey ends: complete, refused, cut off, stopped, unheard.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod alone;
mod answers;
mod rights;
mod stops;

use std::path::Path;
use std::process::{Command, Output};

use mesh_tests::{Shared, Toolbox};
use serde_json::{Value, json};

static CLUSTER: Shared = Shared::filled(|bed| bed.install_linkerd("stable-2.13.7").unwrap());

/// A cluster that has never heard of Linkerd.
static BLANK: Shared = Shared::filled(|_| {});

fn survey(tools: &Toolbox, kubeconfig: &Path, args: &[&str]) -> Output {
    command(tools, kubeconfig, args).output().unwrap()
}

fn command(tools: &Toolbox, kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = tools.run("mesh-survey");
    command.args(args).env("KUBECONFIG", kubeconfig);
    command
}

fn records(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The first and last record of a survey that ended with this code, and what it told people.
#[track_caller]
fn brackets(output: &Output, code: i32) -> (Value, Value, String) {
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    let mut records = records(&output.stdout);
    let (end, stream) = (records.pop().unwrap(), records.swap_remove(0));
    assert_eq!(
        (&stream["type"], &end["type"]),
        (&json!("stream"), &json!("end"))
    );
    assert_eq!(end["exit"], code);
    (stream, end, errors)
}

fn ghost(number: u32) -> Value {
    json!({
        "metadata": {
            "name": format!("ghost-{number}"), "namespace": "default", "uid": format!("ghost-{number}"),
            "labels": {"linkerd.io/control-plane-ns": "linkerd"},
        },
        "spec": {"containers": [{"name": "linkerd-proxy", "image": "p:stable-2.13.7"}]},
        "status": {"phase": "Running"},
    })
}
