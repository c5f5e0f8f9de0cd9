//! Surveys and judges clusters from public bug reports.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use mesh_tests::{Run, Toolbox, run, toolbox};
use serde_json::Value;

const TAKEN_AT: &str = "2024-03-01T10:00:00Z";

/// A row of the table in `tests/cases/README.md`.
struct Row {
    case: String,
    question: Vec<String>,
    pass: bool,
    blocking: Vec<String>,
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"))
}

fn rows() -> Vec<Row> {
    let table = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let rows = table.lines().filter(|line| line.contains("--ask"));
    let words = |cell: &str| cell.split_whitespace().map(str::to_owned).collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        Row {
            case: cells[1].to_owned(),
            question: words(cells[2]),
            pass: cells[3] == "yes",
            blocking: words(cells[4]),
        }
    };
    rows.map(row).collect()
}

fn key(object: &Value) -> String {
    let meta = &object["metadata"];
    format!("{}/{}/{}", object["kind"], meta["namespace"], meta["name"])
}

/// The objects of a case, one a line.
fn dump(case: &str) -> String {
    let mut objects = BTreeMap::new();
    for name in ["base", case] {
        let text = std::fs::read_to_string(folder().join(format!("{name}.ndjson"))).unwrap();
        for line in text.lines() {
            let object: Value = serde_json::from_str(line).unwrap();
            objects.insert(key(&object), object);
        }
    }
    let mut lines = String::new();
    for object in objects.values() {
        writeln!(lines, "{object}").unwrap();
    }
    lines
}

fn survey(tools: &Toolbox, case: &str) -> Run {
    let mut command = tools.run("mesh-survey");
    command.args(["--from", "-", "--taken-at", TAKEN_AT]);
    run(command, &dump(case))
}

#[test]
fn a_cluster_from_a_report_gets_the_answer_of_its_operator() {
    let tools = toolbox!();
    let rows = rows();
    assert_eq!(rows.len(), 24);
    for Row {
        case,
        question,
        pass,
        blocking,
    } in rows
    {
        let survey = survey(&tools, &case);
        assert_eq!(survey.code, Some(0), "{case}: {}", survey.stderr);
        let mut command = tools.run("mesh-skewcheck");
        command.args(&question);
        let judged = run(command, &survey.stdout);
        let what = format!("{case} {question:?}: {}{}", judged.stdout, judged.stderr);
        assert_eq!(judged.code, Some(i32::from(!pass)), "{what}");
        let [verdict] = judged.of("verdict")[..] else {
            panic!("{what}");
        };
        assert_eq!(verdict["blocking"], Value::from(blocking), "{what}");
    }
}

#[test]
fn every_part_of_an_extension_has_its_version() {
    let tools = toolbox!();
    for (case, behind) in [
        ("mirror-behind", "stable-2.12.4"),
        ("mirror-old-label", "stable-2.11.5"),
    ] {
        let survey = survey(&tools, case);
        let [extension] = survey.of("extension")[..] else {
            panic!("{case}: {}", survey.stdout);
        };
        assert_eq!(extension["version"], behind, "{case}");
        let parts = extension["parts"].as_array().unwrap();
        let east = parts
            .iter()
            .find(|it| it["name"] == "linkerd-service-mirror-east");
        assert_eq!(east.unwrap()["version"], behind, "{case}");
    }
}
