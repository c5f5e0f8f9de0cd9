//! Tests the requests of a survey, and what it reports about missing rights.

use mesh_testbed::Bed;
use mesh_tests::{on_both_beds, toolbox};
use serde_json::{Value, json};

use crate::{brackets, survey};

on_both_beds! {
    sharing crate::CLUSTER;
    survey_writes_nothing_and_lists_no_secret
    [Rbac]
    rbac_as_shipped_is_enough
    rbac_that_is_required_and_missing_ends_the_survey_and_is_named
    rbac_that_is_required_and_missing_is_named_all_at_once
    rbac_that_is_optional_and_missing_leaves_facts_out_and_is_named
    operator_that_nobody_could_look_for_is_unknown
    count_of_a_kind_that_is_served_in_another_version_is_unknown
}

const RBAC: &str = include_str!("../../../tools/mesh-survey/rbac.yaml");

/// The reads of webhook configurations.
const WEBHOOKS: [&str; 3] = [
    "get mutatingwebhookconfigurations.admissionregistration.k8s.io/linkerd-proxy-injector-webhook-config",
    "get validatingwebhookconfigurations.admissionregistration.k8s.io/linkerd-sp-validator-webhook-config",
    "get validatingwebhookconfigurations.admissionregistration.k8s.io/linkerd-policy-validator-webhook-config",
];

/// TrafficSplits in a version that the survey does not read.
const SPLITS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: trafficsplits.split.smi-spec.io}
spec:
  group: split.smi-spec.io
  names: {kind: TrafficSplit, plural: trafficsplits}
  scope: Namespaced
  versions:
  - name: v1alpha4
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object}}
";

/// Makes a kubeconfig with the rights of `rbac.yaml`, without the rule that contains each word.
pub(crate) fn kubeconfig_without(bed: &Bed, account: &str, words: &[&str]) -> std::path::PathBuf {
    let is_left_out =
        |line: &str| line.starts_with("- {") && words.iter().any(|word| line.contains(word));
    let rules: Vec<&str> = RBAC.lines().filter(|line| !is_left_out(line)).collect();
    let left_out = RBAC.lines().count() - rules.len();
    assert_eq!(left_out, words.len(), "{words:?}");
    let text = rules
        .join("\n")
        .replace("name: mesh-survey", &format!("name: {account}"));
    bed.apply(&text).unwrap();
    let token = bed
        .kubectl(["-n", "linkerd", "create", "token", account])
        .unwrap();
    bed.kubeconfig_with_token(account, token.trim()).unwrap()
}

fn survey_writes_nothing_and_lists_no_secret(bed: &Bed) {
    brackets(&survey(&toolbox!(), bed.kubeconfig(), &[]), 0);
    let asked = bed.audit_of("mesh-survey/").unwrap();
    assert!(!asked.is_empty());
    // After a refusal, a survey asks which other rights are missing. A review changes nothing.
    let asked = asked.iter();
    for request in asked.filter(|it| it.resource != "selfsubjectaccessreviews") {
        let name = format!("{} {}", request.verb, request.uri);
        assert!(!request.writes(), "{name}");
        assert!(matches!(request.verb.as_str(), "get" | "list"), "{name}");
        assert!(
            request.resource != "secrets" || request.verb == "get",
            "{name}"
        );
    }
}

fn rbac_as_shipped_is_enough(bed: &Bed) {
    let kubeconfig = kubeconfig_without(bed, "enough", &[]);
    let (_, end, errors) = brackets(&survey(&toolbox!(), &kubeconfig, &[]), 0);
    assert_eq!(
        (&end["outcome"], &end["blind"]),
        (&json!("complete"), &Value::Null),
        "{end}"
    );
    assert_eq!(errors, "");
}

fn rbac_that_is_required_and_missing_ends_the_survey_and_is_named(bed: &Bed) {
    let tools = toolbox!();
    for (account, word, resource, rule) in [
        (
            "no-pods",
            "[pods], verbs: [list]",
            "pods",
            "resources: [\"pods\"], verbs: [list]",
        ),
        (
            "no-owners",
            "daemonsets]",
            "deployments.apps",
            "resources: [\"deployments\"], verbs: [list]",
        ),
        (
            "no-config",
            "configmaps",
            "configmaps/linkerd-config",
            "resources: [\"configmaps\"], verbs: [get]",
        ),
        (
            "no-namespaces",
            "[namespaces]",
            "namespaces/kube-system",
            "resources: [\"namespaces\"], verbs: [get]",
        ),
    ] {
        let kubeconfig = kubeconfig_without(bed, account, &[word]);
        let output = survey(&tools, &kubeconfig, &[]);
        let (_, end, errors) = brackets(&output, 2);
        assert_eq!(end["outcome"], "failed", "{account}");
        assert!(errors.contains(rule), "{account}: {errors}");
        let records = &output.records;
        let unseen: Vec<&Value> = records.iter().filter(|it| it["type"] == "unseen").collect();
        assert_eq!(unseen[0]["resource"], resource, "{account}");
        assert!(
            unseen.iter().all(|it| it["needed"] == "required"),
            "{account}: {unseen:?}"
        );
        assert!(
            !records.iter().any(|it| it["type"] == "workload"),
            "{account}"
        );
    }
}

fn rbac_that_is_required_and_missing_is_named_all_at_once(bed: &Bed) {
    let words = [
        "[pods], verbs: [list]",
        "[replicasets]",
        "[jobs]",
        "configmaps",
    ];
    let kubeconfig = kubeconfig_without(bed, "no-four", &words);
    let output = survey(&toolbox!(), &kubeconfig, &[]);
    let (_, _, errors) = brackets(&output, 2);
    let records = output.records.iter();
    let unseen = records.filter(|it| it["type"] == "unseen" && it["needed"] == "required");
    let mut unseen: Vec<&str> = unseen.filter_map(|it| it["resource"].as_str()).collect();
    unseen.sort_unstable();
    let all = [
        "configmaps/linkerd-config",
        "configmaps/linkerd-identity-trust-roots",
        "jobs.batch",
        "pods",
        "replicasets.apps",
    ];
    assert_eq!(unseen, all);
    for resource in ["pods", "replicasets", "jobs", "configmaps"] {
        let rule = format!("resources: [\"{resource}\"]");
        assert!(errors.contains(&rule), "{resource}: {errors}");
    }
}

/// An account, the words of the rules that it lacks, what it is blind for, and the field that tells
/// nothing then, with what is left there.
type Optional = (&'static str, &'static str, Value, &'static str, Value);

fn optional() -> Vec<Optional> {
    vec![
        (
            "no-secret",
            "secrets",
            json!([
                "get secrets/linkerd-identity-issuer",
                "get secrets/linkerd-proxy-injector-k8s-tls",
            ]),
            "/certificates/1/readable",
            json!(false),
        ),
        (
            "no-slices",
            "endpointslices",
            json!(["list endpointslices.discovery.k8s.io"]),
            "/webhooks/0/ready_endpoints",
            Value::Null,
        ),
        (
            "no-definitions",
            "customresource",
            json!(["list customresourcedefinitions.apiextensions.k8s.io"]),
            "/crds",
            Value::Null,
        ),
        (
            "no-webhooks",
            "mutatingwebhook",
            json!(WEBHOOKS),
            "/webhooks",
            Value::Null,
        ),
        (
            "no-policies",
            "[networkpolicies]",
            json!(["list networkpolicies.networking.k8s.io"]),
            "/facts/network_policies_without_4143",
            Value::Null,
        ),
        (
            "no-nodes",
            "[nodes]",
            json!(["list nodes"]),
            "/facts/arm32_nodes",
            Value::Null,
        ),
    ]
}

fn rbac_that_is_optional_and_missing_leaves_facts_out_and_is_named(bed: &Bed) {
    let tools = toolbox!();
    for (account, word, blind, field, left) in optional() {
        let kubeconfig = kubeconfig_without(bed, account, &[word]);
        let output = survey(&tools, &kubeconfig, &[]);
        let (_, end, _) = brackets(&output, 0);
        assert_eq!(
            (&end["outcome"], &end["blind"]),
            (&json!("complete"), &blind),
            "{account}"
        );
        let records = &output.records;
        let find = |kind: &str| records.iter().find(|it| it["type"] == kind).unwrap();
        assert_eq!(find("unseen")["needed"], "optional", "{account}");
        let fact = find("control_plane").pointer(field).unwrap_or(&Value::Null);
        assert_eq!(fact, &left, "{account}");
    }
}

fn operator_that_nobody_could_look_for_is_unknown(bed: &Bed) {
    let lists = |account: &str, words: &[&str]| {
        let kubeconfig = kubeconfig_without(bed, account, words);
        let output = survey(&toolbox!(), &kubeconfig, &[]);
        let (_, end, _) = brackets(&output, 0);
        let plane = output.of("control_plane")[0].clone();
        (end["blind"].clone(), plane)
    };
    let definitions = "list customresourcedefinitions.apiextensions.k8s.io";
    let resources = "list controlplanes.linkerd.buoyant.io";
    // Without the definitions, the resources themselves are looked for.
    let (blind, plane) = lists("no-crds", &["customresource"]);
    assert_eq!(blind, json!([definitions]));
    assert_eq!(plane["installed_by"], "helm");
    assert_eq!(plane["facts"]["operator"], false);
    // Without its definition there is no operator.
    let (blind, plane) = lists("no-operated", &["linkerd.buoyant.io"]);
    assert_eq!(
        (&blind, &plane["installed_by"]),
        (&Value::Null, &json!("helm"))
    );
    let (blind, plane) = lists("no-both", &["customresource", "linkerd.buoyant.io"]);
    assert_eq!(blind, json!([definitions, resources]));
    assert_eq!(plane["installed_by"], "unknown");
    assert_eq!(plane["facts"]["operator"], Value::Null);
    assert_eq!(plane["conflicts"].as_array().unwrap().len(), 1, "{plane}");
}

fn count_of_a_kind_that_is_served_in_another_version_is_unknown(bed: &Bed) {
    bed.apply(SPLITS).unwrap();
    let count = |account: &str, words: &[&str]| {
        let kubeconfig = kubeconfig_without(bed, account, words);
        let output = survey(&toolbox!(), &kubeconfig, &[]);
        brackets(&output, 0);
        output.of("control_plane")[0]["facts"]["traffic_splits"].clone()
    };
    assert_eq!(count("splits", &[]), Value::Null);
    // Without the definitions the API server says which versions it serves.
    assert_eq!(count("splits-unseen", &["customresource"]), Value::Null);
    bed.kubectl([
        "delete",
        "customresourcedefinition",
        "trafficsplits.split.smi-spec.io",
    ])
    .unwrap();
}
