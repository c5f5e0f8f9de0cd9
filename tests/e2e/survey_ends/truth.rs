//! Judges rows of the table of answers (`tests/cases/truth.txt`) from dumps of such clusters, through
//! `mesh-survey`: the base case with the row's versions, installer and definitions.

use std::fmt::Write as _;

use mesh_tests::{Toolbox, run, toolbox};
use mesh_versions::{Releases, Version};
use serde_json::{Value, json};

const TABLE: &str = include_str!("../../cases/truth.txt");
const BASE: &str = include_str!("../../cases/base.ndjson");
/// The group of the Gateway API.
const GATEWAY: &str = "gateway.networking.k8s.io";
const TAKEN_AT: &str = "2024-03-01T10:00:00Z";
/// The release of the base case, and the digest of its trust bundle.
const RELEASE: &str = "stable-2.14.10";
const BUNDLE: &str = "be297e634f223144966254defeb99d7c626079763c60f801b1932438b5d3ed86";

/// One row, by its cells.
struct Row<'a>([&'a str; 11]);

impl<'a> Row<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let cells: Vec<&str> = line.strip_prefix("dump ")?.split_whitespace().collect();
        Some(Self(cells.try_into().unwrap()))
    }

    fn arguments(&self) -> Vec<&'a str> {
        let [_, _, target, question, ..] = self.0;
        match target {
            "-" => vec!["--ask", question],
            target => vec!["--ask", question, "--to", target],
        }
    }

    fn dump(&self) -> String {
        let kubernetes = self.0[4];
        let mut dump = String::new();
        let is_definition = |line: &&str| line.contains("\"kind\":\"CustomResourceDefinition\"");
        for line in BASE.lines().filter(|line| !is_definition(line)) {
            writeln!(dump, "{}", self.object(line)).unwrap();
        }
        for definition in self.definitions() {
            writeln!(dump, "{definition}").unwrap();
        }
        let version = json!({"gitVersion": format!("v{kubernetes}.1")});
        writeln!(
            dump,
            "{}",
            json!({"clientVersion": version, "serverVersion": version})
        )
        .unwrap();
        dump
    }

    /// An object of the base case with the row's versions.
    fn object(&self, line: &str) -> Value {
        let [running, proxies, _, _, _, installer, _, anchors, ..] = self.0;
        let is_of_shop = line.contains("\"namespace\":\"shop\"");
        let second = line.contains("\"app\":\"db\"");
        let mut versions = proxies.split(',');
        let first = versions.next().unwrap();
        let proxy = versions.next().filter(|_| second).unwrap_or(first);
        let mut line = line.replace(RELEASE, if is_of_shop { proxy } else { running });
        if is_of_shop && anchors == "stale" {
            line = line.replace(BUNDLE, &BUNDLE.replace('e', "f"));
        }
        let line = line.replace("linkerd/helm", &format!("linkerd/{installer}"));
        let mut object: Value = serde_json::from_str(&line).unwrap();
        let annotations = object["metadata"].get_mut("annotations");
        if let Some(all) = annotations.and_then(Value::as_object_mut)
            && installer != "helm"
        {
            all.retain(|key, _| !key.starts_with("meta.helm.sh/"));
        }
        object
    }

    /// The definitions that the running release reads, with those of the Gateway API as the row says.
    fn definitions(&self) -> Vec<Value> {
        let running = Version::of_tag(self.0[0]);
        let releases = Releases::embedded();
        let minor = releases.minor_of(&running).unwrap().minor;
        let read = releases.line(minor).unwrap().reads();
        let own = read.filter(|(name, _)| !name.ends_with(GATEWAY));
        let own = own.map(|(name, version)| definition(name, version, &json!({})));
        let gateway = self.gateway().into_iter().flat_map(|annotations| {
            ["httproutes", "grpcroutes"]
                .map(|kind| definition(&format!("{kind}.{GATEWAY}"), "v1", &annotations))
        });
        own.chain(gateway).collect()
    }

    /// The annotations of the Gateway API's definitions; `None` where there are none.
    fn gateway(&self) -> Option<Value> {
        let [_, _, _, _, _, installer, state, ..] = self.0;
        let mut annotations = json!({"gateway.networking.k8s.io/bundle-version": "v1.2.1"});
        match state {
            "none" => return None,
            "theirs" => {}
            "keep" | "lose" => {
                annotations["linkerd.io/created-by"] =
                    json!(format!("linkerd/{installer} {}", self.0[0]));
                if installer == "helm" {
                    annotations["meta.helm.sh/release-name"] = json!("linkerd-crds");
                    annotations["meta.helm.sh/release-namespace"] = json!("linkerd");
                }
                if state == "keep" {
                    annotations["helm.sh/resource-policy"] = json!("keep");
                }
            }
            _ => panic!("a dump cannot have definitions that are {state}"),
        }
        Some(annotations)
    }

    /// What the tools say in other words than the row; nothing if they agree.
    fn differs(&self, tools: &Toolbox) -> Option<String> {
        let [.., answer, blocking, _] = self.0;
        let mut survey = tools.run("mesh-survey");
        survey.args(["--from", "-", "--taken-at", TAKEN_AT]);
        let survey = run(survey, &self.dump());
        assert_eq!(survey.code, Some(0), "{:?}: {}", self.0, survey.stderr);
        let mut judge = tools.run("mesh-skewcheck");
        judge.args(self.arguments());
        let judged = run(judge, &survey.stdout);
        let verdicts = judged.of("verdict");
        let found = verdicts.first().map(|verdict| {
            let ids = verdict["blocking"].as_array().unwrap().iter();
            let ids: Vec<&str> = ids.map(|id| id.as_str().unwrap()).collect();
            if ids.is_empty() {
                "-".to_owned()
            } else {
                ids.join(",")
            }
        });
        let code = Some(i32::from(answer == "no"));
        let agrees = judged.code == code && found.as_deref() == Some(blocking);
        (!agrees).then(|| {
            format!(
                "{:?}\n  {:?} {found:?} {}",
                self.0, judged.code, judged.stderr
            )
        })
    }
}

fn definition(name: &str, version: &str, annotations: &Value) -> Value {
    let (plural, group) = name.split_once('.').unwrap();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "uid": name, "resourceVersion": "1", "annotations": annotations},
        "spec": {"group": group, "names": {"plural": plural}, "scope": "Namespaced",
            "versions": [{"name": version, "served": true, "storage": true}]},
        "status": {"storedVersions": [version]}})
}

#[test]
fn a_dump_of_each_cluster_of_the_table_gets_its_answer() {
    let tools = toolbox!();
    let rows = TABLE.lines().filter_map(Row::of);
    let wrong: Vec<String> = rows.filter_map(|row| row.differs(&tools)).collect();
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
