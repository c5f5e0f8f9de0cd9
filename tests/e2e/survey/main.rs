//! Compares a survey with what the server has.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod cluster;
mod whole;
mod workloads;

use std::collections::BTreeMap;

use mesh_testbed::Bed;
use mesh_tests::{Run, Toolbox, of_type, run};
use serde_json::Value;

/// Total, ready and meshed pods of a workload.
type Counts = (u64, u64, u64);

fn survey(tools: &Toolbox, bed: &Bed, args: &[&str]) -> Run {
    let mut command = tools.run("mesh-survey");
    command.args(args).env("KUBECONFIG", bed.kubeconfig());
    run(command, "")
}

/// The records of a survey that looked at everything.
#[track_caller]
fn records(survey: Run) -> Vec<Value> {
    assert_eq!(survey.code, Some(0), "{}", survey.stderr);
    survey.records
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn identity(record: &Value) -> String {
    let Value::Object(_) = record else {
        panic!("{record}")
    };
    format!(
        "{}/{}/{}",
        text(&record["namespace"]),
        text(&record["kind"]),
        text(&record["name"])
    )
}

fn counts(records: &[Value]) -> BTreeMap<String, Counts> {
    let number = |record: &Value, what: &str| record["pods"][what].as_u64().unwrap();
    let workloads = of_type(records, "workload").into_iter();
    workloads
        .map(|it| {
            (
                identity(it),
                (
                    number(it, "total"),
                    number(it, "ready"),
                    number(it, "meshed"),
                ),
            )
        })
        .collect()
}

#[track_caller]
fn workload<'a>(records: &'a [Value], name: &str) -> &'a Value {
    let found = of_type(records, "workload")
        .into_iter()
        .find(|it| identity(it) == name);
    found.unwrap_or_else(|| panic!("no workload {name}"))
}
