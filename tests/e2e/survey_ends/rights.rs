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
    rbac_that_is_optional_and_missing_leaves_facts_out_and_is_named
}

const RBAC: &str = include_str!("../../../tools/mesh-survey/rbac.yaml");

/// Makes a kubeconfig with the rights of `rbac.yaml`, without the rules that contain this word.
fn kubeconfig_without(bed: &Bed, account: &str, word: &str) -> std::path::PathBuf {
    let rules = RBAC
        .lines()
        .filter(|line| !(line.starts_with("- {") && line.contains(word)));
    let rules: Vec<&str> = rules.collect();
    assert_eq!(
        rules.len(),
        RBAC.lines().count() - usize::from(word != "nothing"),
        "{word}"
    );
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
    for request in &asked {
        let name = format!("{} {}", request.verb, request.uri);
        assert!(!request.writes(), "{name}");
        assert!(matches!(request.verb.as_str(), "get" | "list"), "{name}");
        assert!(
            request.resource != "secrets" || request.verb == "get",
            "{name}"
        );
        assert!(
            request.verb != "list" || request.uri.contains("limit=500"),
            "{name}"
        );
    }
}

fn rbac_as_shipped_is_enough(bed: &Bed) {
    let kubeconfig = kubeconfig_without(bed, "enough", "nothing");
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
            "[pods]",
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
        let kubeconfig = kubeconfig_without(bed, account, word);
        let output = survey(&tools, &kubeconfig, &[]);
        let (_, end, errors) = brackets(&output, 2);
        assert_eq!(end["outcome"], "failed", "{account}");
        assert!(errors.contains(rule), "{account}: {errors}");
        let records = &output.records;
        let unseen: Vec<&Value> = records.iter().filter(|it| it["type"] == "unseen").collect();
        let [unseen] = unseen[..] else {
            panic!("{account}: {unseen:?}")
        };
        assert_eq!(
            (&unseen["resource"], &unseen["needed"]),
            (&json!(resource), &json!("required"))
        );
        assert!(
            !records.iter().any(|it| it["type"] == "workload"),
            "{account}"
        );
    }
}

fn rbac_that_is_optional_and_missing_leaves_facts_out_and_is_named(bed: &Bed) {
    let tools = toolbox!();
    for (account, word, blind, field, left) in [
        (
            "no-secret",
            "secrets",
            json!(["get secrets/linkerd-identity-issuer"]),
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
            "no-answer",
            "services/proxy",
            json!(["get services/proxy"]),
            "/webhooks/0/answers",
            Value::Null,
        ),
        (
            "no-nodes",
            "[nodes]",
            json!(["list nodes"]),
            "/facts/arm32_nodes",
            Value::Null,
        ),
    ] {
        let kubeconfig = kubeconfig_without(bed, account, word);
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
