//! A healthy cluster's records to change in tests, and the judge as its users call it.

use clap::Parser as _;
use mesh_cli::{Exit, Format, Output, Readers, Stop};
use serde_json::{Value, json};

use crate::args::Args;
use crate::drive::Demands;
use crate::question::Question;

pub(super) const TAKEN: &str = "2026-08-01T12:00:00Z";

/// One cluster whose survey is going to be written.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) stream: Value,
    pub(super) plane: Value,
    pub(super) workloads: Vec<Value>,
    pub(super) others: Vec<Value>,
    pub(super) end: Value,
}

/// The output records, and the exit or the error.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) text: String,
    pub(super) records: Vec<Value>,
    pub(super) exit: Result<Exit, String>,
}

impl World {
    /// Makes a healthy cluster, all at one version.
    pub(super) fn at(version: &str) -> Self {
        let component = |name: &str| {
            let proxy = json!({"version": version, "source": "image", "native": false, "count": 1});
            json!({"name": name, "version": version, "wanted": 1, "ready": 1, "updated": 1,
                "proxies": [proxy]})
        };
        let certificate = |role: &str, end: &str| {
            json!({"role": role, "not_before": "2026-01-01T00:00:00Z", "not_after": end,
                "readable": true})
        };
        let plane = json!({"type": "control_plane", "cluster": "eu", "namespace": "linkerd",
            "version": version, "injects": version, "state": "settled", "installed_by": "helm",
            "ha": false, "kubernetes": "v1.27.3", "config_resource_version": "77",
            "facts": {"gateway_api_crds": []}, "crds": definitions(),
            "components": [component("linkerd-identity"), component("linkerd-proxy-injector"),
                component("linkerd-destination")],
            "certificates": [
                certificate("anchor", "2036-01-01T00:00:00Z"),
                certificate("issuer", "2027-01-01T00:00:00Z"),
            ],
            "webhooks": [{"name": "linkerd-proxy-injector.linkerd.io", "failure_policy": "Fail",
                "ready_endpoints": 1}]});
        Self {
            stream: json!({"type": "stream", "schema": "mesh/1", "tool": "mesh-survey",
                "version": "0.2.0", "cluster": "eu", "cluster_uid": "uid-eu", "time": TAKEN,
                "source": "server", "consistency": "current", "scope": {}}),
            plane,
            workloads: vec![workload("web", version), workload("db", version)],
            others: Vec::new(),
            end: json!({"type": "end", "tool": "mesh-survey", "cluster": "eu",
                "outcome": "complete", "exit": 0}),
        }
    }

    /// Returns the world with a change.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Returns the survey's lines: control plane first, then the rest, with correct totals.
    pub(super) fn survey(&self) -> String {
        let mut records = vec![&self.plane];
        records.extend(&self.others);
        records.extend(&self.workloads);
        lines(&self.stream, &records, &self.end)
    }
}

/// Makes every definition of every release, with all its versions.
fn definitions() -> Vec<Value> {
    let all = [
        (
            "servers.policy.linkerd.io",
            "v1alpha1 v1beta1 v1beta2 v1beta3",
        ),
        ("serverauthorizations.policy.linkerd.io", "v1alpha1 v1beta1"),
        ("serviceprofiles.linkerd.io", "v1alpha1 v1alpha2"),
        ("authorizationpolicies.policy.linkerd.io", "v1alpha1"),
        ("meshtlsauthentications.policy.linkerd.io", "v1alpha1"),
        ("networkauthentications.policy.linkerd.io", "v1alpha1"),
        (
            "httproutes.policy.linkerd.io",
            "v1alpha1 v1beta1 v1beta2 v1beta3",
        ),
        ("externalworkloads.workload.linkerd.io", "v1alpha1 v1beta1"),
        ("egressnetworks.policy.linkerd.io", "v1alpha1"),
        ("httplocalratelimitpolicies.policy.linkerd.io", "v1alpha1"),
        ("httproutes.gateway.networking.k8s.io", "v1beta1 v1"),
        ("grpcroutes.gateway.networking.k8s.io", "v1alpha2 v1"),
    ];
    let all = all.map(|(name, versions)| {
        let served: Vec<&str> = versions.split(' ').collect();
        let last = served.last();
        json!({"name": name, "served": served, "storage": last, "stored": [last]})
    });
    all.to_vec()
}

/// Makes a Deployment of two pods with this proxy.
pub(super) fn workload(name: &str, version: &str) -> Value {
    json!({"type": "workload", "cluster": "eu", "kind": "Deployment", "namespace": "shop",
        "name": name, "uid": format!("uid-{name}"), "control_plane": "linkerd",
        "pods": {"total": 2, "ready": 2, "meshed": 2},
        "proxies": [{"version": version, "source": "image", "native": false, "count": 2}],
        "trust_anchors": "current", "roll": {"by": "restart"}, "downtime": {"grade": "none"}})
}

/// Makes the lines of a bracket with correct totals.
pub(super) fn lines(stream: &Value, records: &[&Value], end: &Value) -> String {
    let mut totals = std::collections::BTreeMap::<&str, u64>::new();
    for record in records {
        *totals.entry(record["type"].as_str().unwrap()).or_default() += 1;
    }
    let mut end = end.clone();
    end["totals"] = json!(totals);
    let all = std::iter::once(stream)
        .chain(records.iter().copied())
        .chain([&end]);
    all.map(|record| format!("{}\n", spelled(record, &FIRST)))
        .collect()
}

/// The fields that mesh-survey writes first, in its order.
pub(super) const FIRST: [&str; 8] = [
    "type",
    "cluster",
    "kind",
    "namespace",
    "name",
    "uid",
    "control_plane",
    "labels",
];

/// Writes a record with these fields first.
pub(super) fn spelled(record: &Value, first: &[&str]) -> String {
    let fields = record.as_object().unwrap();
    let begin = first.iter().filter_map(|name| fields.get_key_value(*name));
    let rest = fields.iter();
    let rest = rest.filter(|(name, _)| !first.contains(&name.as_str()));
    let fields = begin.chain(rest);
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// Runs the judge on a stream.
pub(super) fn judge(args: &[&str], input: &str) -> Judged {
    let mut text = Vec::new();
    let exit = run(args, input.as_bytes(), &mut text);
    let text = String::from_utf8(text).unwrap();
    let records = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    Judged {
        text,
        records,
        exit,
    }
}

/// Like `judge`, but writes to `out`; an error is returned with its hint.
pub(super) fn run(
    args: &[&str],
    input: impl std::io::BufRead,
    out: impl std::io::Write,
) -> Result<Exit, String> {
    let args = Args::try_parse_from(std::iter::once(&"mesh-skewcheck").chain(args)).unwrap();
    match args.question() {
        Ok(asked) => run_asked(&asked, input, out),
        Err(error) => Err(format!("{error:#}{}", hint(&error))),
    }
}

/// What these arguments ask, to judge many streams by it.
pub(super) fn asked(args: &[&str]) -> (Question, Demands) {
    let args = Args::try_parse_from(std::iter::once(&"mesh-skewcheck").chain(args)).unwrap();
    args.question().unwrap()
}

/// Like `run`, for what was asked already.
pub(super) fn run_asked(
    (question, demands): &(Question, Demands),
    input: impl std::io::BufRead,
    out: impl std::io::Write,
) -> Result<Exit, String> {
    let mut output = Output::new(out, Format::Ndjson, Readers::Needed);
    let judged = crate::drive::drive(question, demands, &Stop::default(), input, &mut output);
    judged.map_err(|error| format!("{error:#}{}", hint(&error)))
}

/// Returns the page of the upgrade notes.
pub(super) fn page(args: &[&str], input: &str, stop: &Stop) -> (String, Result<Exit, String>) {
    let args = Args::try_parse_from(std::iter::once(&"mesh-skewcheck").chain(args)).unwrap();
    let mut text = Vec::new();
    let exit = args.question().and_then(|(question, demands)| {
        crate::drive::page(&question, &demands, stop, input.as_bytes(), &mut text)
    });
    (
        String::from_utf8(text).unwrap(),
        exit.map_err(|error| format!("{error:#}")),
    )
}

fn hint(error: &anyhow::Error) -> String {
    let hints = error.chain().filter_map(|cause| {
        let explained = cause
            .downcast_ref::<mesh_records::Explained>()
            .map(|it| it.hint());
        explained.or(cause
            .downcast_ref::<mesh_records::StreamError>()
            .map(|it| it.hint()))
    });
    hints
        .last()
        .map(|hint| format!(" [{hint}]"))
        .unwrap_or_default()
}

impl Judged {
    pub(super) fn of_type(&self, kind: &str) -> Vec<&Value> {
        self.records
            .iter()
            .filter(|record| record["type"] == kind)
            .collect()
    }

    pub(super) fn verdict(&self) -> &Value {
        self.of_type("verdict").first().expect("there is a verdict")
    }

    /// Returns the worst severity of a rule as its first letter, followed by `?` for "cannot tell";
    /// `-` if there is no finding.
    pub(super) fn grade(&self, id: &str) -> String {
        let findings = self.of_type("finding");
        let Some(finding) = findings.iter().find(|finding| finding["id"] == id) else {
            return "-".to_owned();
        };
        let letter = finding["severity"].as_str().unwrap()[..1].to_uppercase();
        let blind = finding["decided"] == "cannot-tell";
        format!("{letter}{}", if blind { "?" } else { "" })
    }
}
