use mesh_records::InstalledBy;
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
fn component_version_comes_from_the_image_before_the_label() {
    let table = [
        ("controller:stable-2.13.7", "stable-2.13.7"),
        ("mirror.example:5000/controller@sha256:01", "stable-2.13.6"),
        ("mirror.example/controller:latest", "stable-2.13.6"),
    ];
    for (image, expected) in table {
        let component = component("destination", image, &settled());
        assert_eq!(
            component_version(&component).as_deref(),
            Some(expected),
            "{image}"
        );
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
