//! Runs the whole runbook with the four real programs, and checks the form of every line that they
//! write.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use mesh_package::validate;
use mesh_testbed::Bed;
use mesh_tests::{Toolbox, on_both_beds, toolbox};
use serde_json::Value;

const FROM: &str = "stable-2.13.7";
const TO: &str = "stable-2.14.10";

/// The contract a second time: each record's required fields and optional fields. Any other field
/// is a change of the contract.
const FIELDS: [(&str, &str, &str); 16] = [
    (
        "stream",
        "type schema tool version",
        "cluster run time cluster_uid source consistency flags scope by argv dry_run",
    ),
    (
        "control_plane",
        "type cluster namespace components state installed_by ha",
        "version injects release conflicts kubernetes config_resource_version certificates \
         trust_anchors_sha256 webhooks crds facts",
    ),
    ("extension", "type cluster name namespace", "version parts"),
    (
        "workload",
        "type cluster ref kind namespace name uid control_plane pods proxies trust_anchors roll downtime",
        "labels terminating_proxies pins managed_by skew",
    ),
    (
        "proxy",
        "type cluster ref kind namespace name uid pod pod_uid source native ready",
        "version node",
    ),
    (
        "anomaly",
        "type cluster id ref kind namespace name message",
        "",
    ),
    (
        "unseen",
        "type cluster verb resource needed reason rule",
        "namespace",
    ),
    (
        "finding",
        "type cluster id severity control_plane message decided count",
        "hint page waived workloads",
    ),
    ("plan", "type cluster control_plane hops", ""),
    (
        "verdict",
        "type cluster control_plane ask pass from scope source blocking releases_sha256 counts",
        "cluster_uid target next surveyed waived thresholds",
    ),
    (
        "intent",
        "type cluster run time message deeds digest",
        "dry_run warnings waves forecast",
    ),
    (
        "step",
        "type cluster run time message step state",
        "reason command duration_ms",
    ),
    (
        "progress",
        "type cluster run time message pods",
        "ref kind namespace name uid component reason",
    ),
    (
        "rolled",
        "type cluster run time message ref kind namespace name uid strategy from outcome pods duration_ms",
        "strategy_reason to reason pod container",
    ),
    (
        "skipped",
        "type cluster run time message ref kind namespace name uid class reason",
        "",
    ),
    (
        "end",
        "type tool outcome exit totals",
        "cluster run blind reason next",
    ),
];

/// The schema that is published: what the tools write is valid by it.
static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../docs/records.schema.json")).unwrap());

/// Returns how a line breaks the contract.
fn faults(line: &str) -> Vec<String> {
    let Ok(Value::Object(record)) = serde_json::from_str::<Value>(line) else {
        return vec!["no JSON object".to_owned()];
    };
    let kind = record["type"].as_str().unwrap_or_default();
    let Some((_, required, optional)) = FIELDS.iter().find(|(name, ..)| *name == kind) else {
        return vec![format!("no known type: `{kind}`")];
    };
    let required: BTreeSet<&str> = required.split_whitespace().collect();
    let optional: BTreeSet<&str> = optional.split_whitespace().collect();
    let present: BTreeSet<&str> = record.keys().map(String::as_str).collect();
    let absent = required
        .difference(&present)
        .map(|field| format!("`{field}` is absent"));
    let known: BTreeSet<&str> = required.union(&optional).copied().collect();
    let foreign = present
        .difference(&known)
        .map(|field| format!("`{field}` is not known"));
    let mut faults: Vec<String> = absent.chain(foreign).collect();
    let line = Value::Object(record.clone());
    faults.extend(unsaid(&line, kind));
    faults.extend(validate::faults(&SCHEMA, &line));
    faults
}

/// Returns fields that say "not known" by a value instead of being absent.
fn unsaid(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Null => vec![format!("{path} is null")],
        Value::String(text) if text.is_empty() => vec![format!("{path} is empty")],
        Value::Array(items) => items.iter().flat_map(|item| unsaid(item, path)).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| unsaid(value, &format!("{path}.{name}")))
            .collect(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[track_caller]
fn holds_the_contract(stream: &str) {
    for (number, line) in stream.lines().enumerate() {
        assert_eq!(
            faults(line),
            Vec::<String>::new(),
            "line {}: {line}",
            number + 1
        );
    }
    let first: Value = serde_json::from_str(stream.lines().next().unwrap()).unwrap();
    let last: Value = serde_json::from_str(stream.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&first["type"], &last["type"]),
        (&"stream".into(), &"end".into())
    );
    assert_eq!(first["tool"], last["tool"]);
}

#[test]
fn the_examples_of_the_contract_hold_it() {
    let examples = include_str!("../contract/records.ndjson");
    for line in examples.lines() {
        assert_eq!(faults(line), Vec::<String>::new(), "{line}");
    }
    assert_eq!(examples.lines().count(), FIELDS.len());
}

on_both_beds! {
    runbook_through_the_linkerd_cli_ends_done
    [Helm]
    runbook_through_helm_3_ends_done
    runbook_through_helm_4_ends_done
}

fn runbook_through_the_linkerd_cli_ends_done(bed: Bed) {
    bed.install_linkerd_by_cli(FROM).unwrap();
    let mesh = Mesh::on(bed);
    let linkerd = mesh.tools.linkerd(&mesh.bed, TO);
    mesh.goes(&[("LINKERD", &linkerd)], "");
}

fn runbook_through_helm_3_ends_done(bed: Bed) {
    let helm = bed.helm().to_owned();
    goes_by_charts(bed, &helm);
}

fn runbook_through_helm_4_ends_done(bed: Bed) {
    let helm = bed.helm4().to_owned();
    goes_by_charts(bed, &helm);
}

fn goes_by_charts(bed: Bed, helm: &Path) {
    bed.install_linkerd(FROM).unwrap();
    let charts = bed.charts(TO).unwrap();
    let environment = [
        ("HELM", helm),
        ("CRDS", &charts.crds),
        ("CHART", &charts.control_plane),
        ("VALUES", &charts.values),
    ];
    let charts = "--crds-chart \"$CRDS\" --chart \"$CHART\" -f \"$VALUES\"";
    Mesh::on(bed).goes(&environment, charts);
}

/// The shop in a mesh of the old release.
struct Mesh {
    bed: Bed,
    tools: Toolbox,
}

impl Mesh {
    fn on(bed: Bed) -> Self {
        bed.shop().unwrap();
        let tools = toolbox!();
        Self { bed, tools }
    }

    /// Upgrades it to the new release.
    fn goes(&self, environment: &[(&str, &Path)], charts: &str) {
        let run = |pipeline: &str, code: i32| -> String {
            let mut command = self.tools.shell(pipeline);
            command.env("KUBECONFIG", self.bed.kubeconfig());
            let output = command.envs(environment.iter().copied()).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(
                output.status.code(),
                Some(code),
                "{pipeline}: {errors}\n{text}"
            );
            holds_the_contract(&text);
            text
        };
        let done = "mesh-survey --pods | mesh-skewcheck --ask done --to stable-2.14.10";
        run("mesh-survey | mesh-skewcheck", 0);
        run(done, 1);
        run("mesh-survey | mesh-skewcheck --to stable-2.14.10", 0);
        let upgrade = format!(
            "cd ~; mesh-survey | mesh-skewcheck --to stable-2.14.10 | \
         mesh-cp-upgrade {charts} --yes --record cp.ndjson"
        );
        assert!(run(&upgrade, 0).contains("\"step\":\"prove\",\"state\":\"done\""));
        run(done, 1);
        let roll = "cd ~; mesh-survey | mesh-skewcheck --ask roll | \
                mesh-roll --max-in-flight 3 --yes --record roll.ndjson";
        let rolled = run(roll, 0);
        let proven = rolled
            .lines()
            .filter(|line| line.contains("\"outcome\":\"proven\""))
            .count();
        assert!(proven > 0, "{rolled}");
        run(done, 0);
        let again = run(roll, 0);
        assert!(
            !again.contains("\"type\":\"rolled\""),
            "a second roll has nothing to do: {again}"
        );
        for evidence in ["cp.ndjson", "roll.ndjson"] {
            let evidence = std::fs::read_to_string(self.tools.folder().join(evidence)).unwrap();
            let faults: Vec<String> = evidence.lines().flat_map(faults).collect();
            assert_eq!(faults, Vec::<String>::new());
        }
    }
}
