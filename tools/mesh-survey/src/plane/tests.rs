use mesh_records::{InstalledBy, State};
use serde_json::{Value, json};

use super::*;

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn component(name: &str, image: &str, status: &Value) -> Deployment {
    read(json!({
        "metadata": {
            "name": name, "namespace": "linkerd", "generation": 2,
            "labels": {"linkerd.io/control-plane-component": name, "app.kubernetes.io/version": "stable-2.13.6"},
        },
        "spec": {"replicas": 1, "template": {"spec": {"containers": [
            {"name": "linkerd-proxy", "image": "p:stable-2.12.0"},
            {"name": "app", "image": image},
        ]}}},
        "status": status,
    }))
}

fn settled() -> Value {
    json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1})
}

#[test]
fn a_control_plane_is_settled_only_when_every_component_is() {
    let unobserved = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});
    let stuck = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]});
    let old_pods = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 2, "availableReplicas": 2});
    let table = [
        (vec![settled(), settled()], State::Settled),
        (vec![settled(), unobserved], State::Rolling),
        (vec![settled(), old_pods.clone()], State::Rolling),
        (vec![settled(), json!({})], State::Rolling),
        (vec![stuck, old_pods], State::Failed),
        (vec![], State::Failed),
    ];
    for (statuses, expected) in table {
        let name = format!("{statuses:?}");
        let components: Vec<Deployment> = statuses
            .iter()
            .map(|status| component("identity", "c:v", status))
            .collect();
        assert_eq!(state(&components), expected, "{name}");
    }
}

#[test]
fn bundle_sha256_hashes_the_exact_bytes_of_the_config_map() {
    let bundle = |text: &str| {
        bundle_sha256(&read(
            json!({"metadata": {}, "data": {"ca-bundle.crt": text}}),
        ))
    };
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(bundle("").as_deref(), Some(empty));
    assert_ne!(
        bundle("-----BEGIN"),
        bundle("-----BEGIN\n"),
        "nothing is trimmed"
    );
    assert_eq!(bundle_sha256(&ConfigMap::default()), None);
}

#[test]
fn webhooks_of_another_control_plane_are_not_its_own() {
    let webhooks = |namespace: &str| {
        let service = json!({"name": "linkerd-proxy-injector", "namespace": namespace});
        let hook = json!({"name": "linkerd-proxy-injector.linkerd.io", "failurePolicy": "Ignore", "clientConfig": {"service": service}});
        let objects = Objects {
            namespace: "linkerd".to_owned(),
            webhooks: Some(vec![read(json!({"metadata": {}, "webhooks": [hook]}))]),
            slices: Some(vec![
                read(
                    json!({"metadata": {"labels": {"kubernetes.io/service-name": "linkerd-proxy-injector"}}, "endpoints": [{"conditions": {"ready": true}}, {"conditions": {"ready": false}}, {"conditions": {}}]}),
                ),
                read(
                    json!({"metadata": {"labels": {"kubernetes.io/service-name": "other"}}, "endpoints": [{"conditions": {"ready": true}}]}),
                ),
                read(
                    json!({"metadata": {"labels": {"kubernetes.io/service-name": "linkerd-proxy-injector"}}, "endpoints": null}),
                ),
            ]),
            ..Objects::default()
        };
        objects
            .record("c")
            .webhooks
            .into_iter()
            .map(|it| it.ready_endpoints)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        webhooks("linkerd"),
        [Some(2)],
        "ready, and one that does not say"
    );
    assert_eq!(webhooks("linkerd-canary"), []);
}

#[test]
fn a_fact_that_could_not_be_read_is_absent() {
    let blind = Objects {
        namespace: "linkerd".to_owned(),
        ..Objects::default()
    }
    .record("c");
    assert!(blind.facts.is_empty(), "{:?}", blind.facts);
    assert_eq!(
        (blind.version, blind.injects, blind.installed_by),
        (None, None, InstalledBy::Unknown)
    );
    assert!(
        blind
            .certificates
            .iter()
            .all(|certificate| !certificate.readable)
    );
    let gateway = json!({
        "metadata": {"name": "httproutes.gateway.networking.k8s.io", "annotations": {"meta.helm.sh/release-name": "linkerd-crds", "meta.helm.sh/release-namespace": "linkerd"}},
        "spec": {"group": "gateway.networking.k8s.io", "versions": [{"name": "v1beta1", "served": true, "storage": true}, {"name": "v1alpha2", "served": false}]},
        "status": {"storedVersions": ["v1alpha2", "v1beta1"]},
    });
    let seen = Objects {
        definitions: Some(vec![read(gateway)]),
        operator: Operator::Absent,
        ..Objects::default()
    }
    .record("c");
    let fact = json!([{"name": "httproutes.gateway.networking.k8s.io", "keep": false, "release": "linkerd-crds"}]);
    assert_eq!(seen.facts["gateway_api_crds"], fact);
    assert_eq!(seen.facts["operator"], json!(false));
    let [crd] = &seen.crds[..] else {
        panic!("{:?}", seen.crds)
    };
    assert_eq!(
        (crd.served.len(), crd.storage.as_str(), crd.stored.len()),
        (1, "v1beta1", 2)
    );
}

#[test]
fn only_definitions_that_an_upgrade_touches_are_read_whole() {
    let table = [
        ("servers.policy.linkerd.io", true),
        ("serviceprofiles.linkerd.io", true),
        ("links.multicluster.linkerd.io", true),
        ("controlplanes.linkerd.buoyant.io", true),
        ("httproutes.gateway.networking.k8s.io", true),
        ("trafficsplits.split.smi-spec.io", true),
        ("notlinkerd.io", false),
        ("things.notlinkerd.io", false),
        ("certificates.cert-manager.io", false),
    ];
    for (name, expected) in table {
        assert_eq!(parts::is_of_interest(name), expected, "{name}");
    }
}

const OLD: &str = include_str!("../../../../tests/fixtures/pki/old-anchor.pem");
const ANCHOR: &str = include_str!("../../../../tests/fixtures/pki/anchor.pem");
const MIDDLE: &str = include_str!("../../../../tests/fixtures/pki/intermediate.pem");

fn encoded(text: &str) -> Value {
    serde_json::to_value(mesh_cluster::object::ByteString(text.into())).unwrap()
}

fn slice(service: &str) -> EndpointSlice {
    read(json!({"metadata": {"labels": {"kubernetes.io/service-name": service}}, "endpoints": []}))
}

fn configuration(name: &str, service: &Value, bundle: &str) -> WebhookConfiguration {
    let hook = name.trim_end_matches("-webhook-config");
    read(json!({"metadata": {"name": name}, "webhooks": [{
        "name": format!("{hook}.linkerd.io"),
        "clientConfig": {"service": service, "caBundle": encoded(bundle)},
    }]}))
}

fn service(name: &str, namespace: &str) -> Value {
    json!({"name": name, "namespace": namespace})
}

#[test]
fn an_injector_whose_webhook_calls_another_service_is_sent_no_pods() {
    let hook = |service: &Value| {
        vec![configuration(
            "linkerd-proxy-injector-webhook-config",
            service,
            ANCHOR,
        )]
    };
    let own = service("linkerd-proxy-injector", "linkerd");
    let table = [
        (None, true),
        (Some(hook(&own)), true),
        (
            Some(hook(&service("linkerd-proxy-injector", "linkerd-old"))),
            false,
        ),
        (
            Some(hook(&service("linkerd-tap-injector", "linkerd"))),
            false,
        ),
        (Some(vec![]), false),
        // By a URL.
        (Some(hook(&Value::Null)), true),
    ];
    for (number, (webhooks, expected)) in table.into_iter().enumerate() {
        let is_known = webhooks.is_some();
        let objects = Objects {
            namespace: "linkerd".to_owned(),
            webhooks,
            ..Objects::default()
        };
        assert_eq!(
            objects.injector().registered.is_some(),
            expected,
            "row {number}"
        );
        let fact = objects
            .record("c")
            .facts
            .get("injector_registered")
            .cloned();
        assert_eq!(fact, is_known.then(|| json!(expected)), "row {number}");
    }
}

#[test]
fn a_webhook_is_trusted_if_its_certificate_stands_on_the_bundle() {
    let table = [
        (ANCHOR, Some(ANCHOR), Some(true)),
        (ANCHOR, Some(MIDDLE), Some(true)),
        (OLD, Some(MIDDLE), Some(false)),
        (OLD, Some(ANCHOR), Some(false)),
        (ANCHOR, None, None),
        ("", Some(ANCHOR), Some(false)),
        ("", None, None),
        ("garbled", Some(ANCHOR), None),
        (ANCHOR, Some("garbled"), None),
    ];
    for (number, (bundle, serving, expected)) in table.into_iter().enumerate() {
        let own = service("linkerd-proxy-injector", "linkerd");
        let objects = Objects {
            namespace: "linkerd".to_owned(),
            webhooks: Some(vec![configuration(
                "linkerd-proxy-injector-webhook-config",
                &own,
                bundle,
            )]),
            serving: serving.map(|pem| read(json!({"data": {"tls.crt": encoded(pem)}}))),
            ..Objects::default()
        };
        assert_eq!(
            objects.record("c").webhooks[0].trusted,
            expected,
            "row {number}"
        );
    }
}

#[test]
fn deployments_and_webhooks_that_an_older_release_left_are_named() {
    let config = || read(json!({"data": {"values": "linkerdVersion: stable-2.14.10"}}));
    let deployments = [
        "linkerd-identity",
        "linkerd-controller",
        "linkerd-sp-validator",
    ];
    let deployments = || {
        deployments
            .map(|name| component(name, "c:stable-2.10.2", &settled()))
            .into()
    };
    let webhooks = || {
        Some(vec![
            configuration(
                "linkerd-proxy-injector-webhook-config",
                &service("linkerd-proxy-injector", "linkerd"),
                ANCHOR,
            ),
            configuration(
                "linkerd-sp-validator-webhook-config",
                &service("linkerd-sp-validator", "linkerd"),
                ANCHOR,
            ),
            configuration(
                "linkerd-policy-validator-webhook-config",
                &service("linkerd-policy-validator", "other"),
                ANCHOR,
            ),
        ])
    };
    let deployment = [
        "Deployment/linkerd-controller",
        "Deployment/linkerd-sp-validator",
    ];
    let webhook = "ValidatingWebhookConfiguration/linkerd-sp-validator-webhook-config";
    let table = [
        (None, vec![]),
        (Some(vec![]), vec![]),
        (Some(vec![slice("linkerd-dst")]), vec![webhook]),
        (
            Some(vec![slice("linkerd-dst"), slice("linkerd-sp-validator")]),
            vec![],
        ),
    ];
    for (number, (slices, gone)) in table.into_iter().enumerate() {
        let objects = Objects {
            webhooks: webhooks(),
            slices,
            ..Objects::new("linkerd".to_owned(), Some(config()), None, deployments())
        };
        let record = objects.record("c");
        let expected: Vec<&str> = deployment.into_iter().chain(gone).collect();
        assert_eq!(record.facts["leftovers"], json!(expected), "row {number}");
        assert_eq!(record.components.len(), 1, "row {number}");
    }
}
