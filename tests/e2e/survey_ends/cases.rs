//! Surveys and judges clusters from public bug reports.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use mesh_tests::{Run, Toolbox, run, toolbox};
use serde::Deserialize;
use serde_json::Value;

const TAKEN_AT: &str = "2024-03-01T10:00:00Z";

/// A row of the table in `tests/cases/README.md`.
struct Row {
    case: String,
    question: Vec<String>,
    pass: bool,
    blocking: Vec<String>,
}

/// A line of `tests/cases/instances.ndjson`: one more cluster of the kind of a case.
#[derive(Deserialize)]
struct Instance {
    kind: String,
    name: String,
    objects: Vec<Change>,
    facts: Vec<Fact>,
}

/// An object of the base with these fields in place of its own; without any, it is taken out.
#[derive(Deserialize)]
struct Change {
    like: String,
    with: Option<Value>,
}

/// What a record must have; without anything, there must be no such record.
#[derive(Deserialize)]
struct Fact {
    workload: Option<String>,
    control_plane: Option<String>,
    extension: Option<String>,
    anomaly: Option<String>,
    is: Option<Value>,
}

/// The kinds that have a case.
const KINDS: usize = 12;
/// So many instances each kind has at the least.
const EACH: usize = 3;

impl Fact {
    fn is_of(&self, record: &Value) -> bool {
        let names = [
            ("workload", "ref", &self.workload),
            ("control_plane", "namespace", &self.control_plane),
            ("extension", "name", &self.extension),
            ("anomaly", "id", &self.anomaly),
        ];
        names.iter().any(|(of_type, field, name)| {
            name.as_ref()
                .is_some_and(|name| record["type"] == *of_type && record[field] == **name)
        })
    }
}

/// Changes a value as RFC 7386 says.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let fields = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Whether a value has all that is expected; `null` is expected where it has nothing.
pub(super) fn has(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(_), Value::Object(fields)) => {
            fields.iter().all(|(name, value)| has(&actual[name], value))
        }
        (Value::Array(ones), Value::Array(others)) => {
            let alike = ones.iter().zip(others).all(|(one, other)| has(one, other));
            alike && ones.len() == others.len()
        }
        (actual, expected) => actual == expected,
    }
}

pub(super) fn folder() -> &'static Path {
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
    let parts = [&object["kind"], &meta["namespace"], &meta["name"]];
    let parts: Vec<&str> = parts.into_iter().filter_map(Value::as_str).collect();
    parts.join("/")
}

fn objects(case: &str) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(folder().join(format!("{case}.ndjson"))).unwrap();
    let objects = text.lines().map(|line| {
        let object: Value = serde_json::from_str(line).unwrap();
        (key(&object), object)
    });
    objects.collect()
}

fn survey(tools: &Toolbox, objects: &BTreeMap<String, Value>) -> Run {
    let mut lines = String::new();
    for object in objects.values() {
        writeln!(lines, "{object}").unwrap();
    }
    let mut command = tools.run("mesh-survey");
    command.args(["--from", "-", "--taken-at", TAKEN_AT]);
    run(command, &lines)
}

fn survey_of(tools: &Toolbox, case: &str) -> Run {
    let mut all = objects("base");
    all.extend(objects(case));
    survey(tools, &all)
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
        let survey = survey_of(&tools, &case);
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
        let survey = survey_of(&tools, case);
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

#[test]
fn every_instance_of_a_kind_has_its_facts() {
    let tools = toolbox!();
    let base = objects("base");
    let text = std::fs::read_to_string(folder().join("instances.ndjson")).unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in text.lines() {
        let instance: Instance = serde_json::from_str(line).unwrap();
        let Instance {
            kind,
            name,
            objects,
            facts,
        } = instance;
        let mut cluster = base.clone();
        for Change { like, with } in objects {
            let Some(with) = with else {
                assert!(cluster.remove(&like).is_some(), "{kind}, {name}: {like}");
                continue;
            };
            let mut object = base[&like].clone();
            merge(&mut object, &with);
            cluster.insert(key(&object), object);
        }
        let survey = survey(&tools, &cluster);
        assert_eq!(survey.code, Some(0), "{kind}, {name}: {}", survey.stderr);
        for fact in facts {
            let found = survey.records.iter().filter(|it| fact.is_of(it));
            let found: Vec<&Value> = found.collect();
            let is_so = match (&fact.is, &found[..]) {
                (None, []) => true,
                (Some(expected), [record]) => has(record, expected),
                (None, _) | (Some(_), _) => false,
            };
            assert!(is_so, "{kind}, {name}: not {:?}: {found:?}", fact.is);
        }
        *counts.entry(kind).or_default() += 1;
    }
    assert!(
        counts.len() == KINDS && counts.values().all(|count| *count >= EACH),
        "{counts:?}"
    );
}
