//! Tests how a survey ends: complete, refused, cut off, stopped, or without a reader.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod alone;
mod answers;
mod cases;
mod lines;
mod many;
mod probe;
mod rights;
mod stops;
mod truth;

use std::path::Path;
use std::process::Command;

use mesh_tests::{Run, Shared, Toolbox, run};
use serde_json::{Value, json};

static CLUSTER: Shared = Shared::filled(|bed| bed.install_linkerd("stable-2.13.7").unwrap());

/// The same for surveys with `--probe`: the audit log of the other has no write.
static PROBED: Shared = Shared::filled(|bed| {
    bed.install_linkerd("stable-2.13.7").unwrap();
    bed.shop().unwrap();
});

/// A cluster without Linkerd.
static BLANK: Shared = Shared::filled(|_| {});

fn survey(tools: &Toolbox, kubeconfig: &Path, args: &[&str]) -> Run {
    run(command(tools, kubeconfig, args), "")
}

fn command(tools: &Toolbox, kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = tools.run("mesh-survey");
    command.args(args).env("KUBECONFIG", kubeconfig);
    command
}

/// Returns the first and last record of a survey that must end with this code, and its standard
/// error.
#[track_caller]
fn brackets(survey: &Run, code: i32) -> (Value, Value, String) {
    assert_eq!(survey.code, Some(code), "{}", survey.stderr);
    let (stream, end) = (survey.records[0].clone(), survey.end().clone());
    assert_eq!(stream["type"], "stream");
    (stream, end, survey.stderr.clone())
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
