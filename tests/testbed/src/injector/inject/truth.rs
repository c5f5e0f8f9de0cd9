//! The stand-in does what the real injectors of seven releases did with the pods of
//! `injector-truth.json`, each sent through a real API server.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::{manifest::taken, release::Release};

#[derive(Deserialize)]
struct Truth {
    namespaces: Vec<Value>,
    linkerd_namespace: BTreeMap<String, Value>,
    webhook: BTreeMap<String, Value>,
    pods: Vec<Row>,
    variants: BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>,
}

#[derive(Deserialize)]
struct Row {
    pod: Value,
    came_back: BTreeMap<String, Value>,
}

fn truth() -> Truth {
    let text = include_str!("../../../../fixtures/injector-truth.json");
    serde_json::from_str(text).unwrap()
}

/// The mesh of a release, as its chart's defaults and `changes` make it.
fn mesh(release: &str, changes: &[(&str, Value)]) -> Mesh {
    let minor = Release::parse(release).unwrap().minor;
    let image = json!({ "name": "cr.l5d.io/linkerd/proxy", "version": "" });
    let mut values = json!({
        "linkerdVersion": release,
        "proxy": { "image": image, "nativeSidecar": minor >= 20 },
        "identity": { "serviceAccountTokenProjection": true },
    });
    for (path, value) in changes {
        *values.pointer_mut(path).unwrap() = value.clone();
    }
    Mesh {
        values: Values::parse(&values.to_string()).unwrap(),
        trust_roots: "roots".into(),
        version: release.into(),
    }
}

/// The namespaces that every release but 2.11 leaves out by name.
fn chart_selector() -> Value {
    let values = include_str!("../../../charts/linkerd-control-plane/values.yaml");
    let values: Value = serde_norway::from_str(values).unwrap();
    values["proxyInjector"]["namespaceSelector"].clone()
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let mut expressions = selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten();
    expressions.all(|it| {
        let label = &labels[it["key"].as_str().unwrap()];
        match it["operator"].as_str().unwrap() {
            "DoesNotExist" => label.is_null(),
            "NotIn" => !it["values"].as_array().unwrap().contains(label),
            other => panic!("the charts have no {other}"),
        }
    })
}

/// What comes back for a pod: the list that has the proxy and its tag, or nothing.
fn answer(
    truth: &Truth,
    release: &str,
    mesh: &Mesh,
    pod: &Value,
) -> Option<(&'static str, String)> {
    let name = pod["metadata"]["namespace"].as_str().unwrap();
    let mut namespaces = truth.namespaces.iter();
    let found = namespaces.find(|it| it["metadata"]["name"] == name);
    let namespace = &found.unwrap_or(&truth.linkerd_namespace[release])["metadata"];
    let [namespaces, objects] = taken(mesh.values.minor(), &chart_selector());
    if !selects(&namespaces, &namespace["labels"]) || !selects(&objects, &pod["metadata"]["labels"])
    {
        return None;
    }
    let none = Map::new();
    let request = Request {
        pod,
        namespace: name,
        namespace_annotations: namespace["annotations"].as_object().unwrap_or(&none),
        owner: None,
    };
    let patch = inject(&request, mesh).ok()?;
    let place = |list: &'static str| {
        let path = format!("/spec/{list}");
        let patched = patch.as_array()?.iter().find(|op| op["path"] == *path)?;
        let all = patched["value"].as_array()?;
        let image = all.iter().rev().find(|it| it["name"] == "linkerd-proxy")?["image"].as_str()?;
        let (_, name) = image.split('@').next()?.rsplit_once('/')?;
        let (_, tag) = image.get(image.find(name)?..)?.split_once(':')?;
        Some((list, tag.to_owned()))
    };
    place("initContainers").or_else(|| place("containers"))
}

#[track_caller]
fn check(truth: &Truth, release: &str, changes: &[(&str, Value)], pod: &Value, came_back: &Value) {
    // What the API server refused says nothing about the injector.
    if !came_back["refused"].is_null() {
        return;
    }
    let given = answer(truth, release, &mesh(release, changes), pod);
    let expected = came_back["in"].as_str().map(|list| {
        let tag = came_back["tag"].as_str().unwrap();
        (list, tag.to_owned())
    });
    let given = given.as_ref().map(|(list, tag)| (*list, tag.clone()));
    assert_eq!(given, expected, "{release} {changes:?} {pod}");
}

#[test]
fn the_stand_in_does_what_the_injectors_of_seven_releases_did() {
    let truth = truth();
    for Row { pod, came_back } in &truth.pods {
        // The image with a tag of its own gets a second one, after a second colon.
        if pod["metadata"]["name"] == "image-tagged" {
            continue;
        }
        for (release, came_back) in came_back {
            check(&truth, release, &[], pod, came_back);
        }
    }
}

#[test]
fn the_stand_in_follows_the_values_as_the_injectors_did() {
    let truth = truth();
    let values = [
        (
            "identity.serviceAccountTokenProjection=false",
            "/identity/serviceAccountTokenProjection",
            false,
        ),
        ("proxy.nativeSidecar=true", "/proxy/nativeSidecar", true),
        ("proxy.nativeSidecar=false", "/proxy/nativeSidecar", false),
    ];
    for (variant, path, value) in values {
        for (release, changed) in &truth.variants[variant] {
            for Row { pod, came_back } in &truth.pods {
                let name = format!(
                    "{}/{}",
                    pod["metadata"]["namespace"].as_str().unwrap(),
                    pod["metadata"]["name"].as_str().unwrap_or("generated-")
                );
                if name.ends_with("image-tagged") {
                    continue;
                }
                let came_back = changed.get(&name).unwrap_or(&came_back[release]);
                check(&truth, release, &[(path, value.into())], pod, came_back);
            }
        }
    }
}

#[test]
fn the_charts_webhook_takes_what_the_releases_webhooks_take() {
    let truth = truth();
    for (release, webhook) in &truth.webhook {
        let minor = Release::parse(release).unwrap().minor;
        let [namespaces, objects] = taken(minor, &chart_selector());
        assert_eq!(namespaces, webhook["namespaceSelector"], "{release}");
        assert_eq!(objects, webhook["objectSelector"], "{release}");
    }
}
