//! The contents of rendered objects, so that two renders can be compared. Pure.
//!
//! Everything counts except what every render makes anew. This file alone says what that may be:
//!
//! - the webhooks' keys and certificates, the `caBundle` that names these, and the checksums over
//!   these on the templates of the pods. The charts generate them unless the values name them, so
//!   what two renders have in common of them counts too;
//! - the number of helm's revision on the injector's template;
//! - the time of day at which the heartbeat runs: some minutes after the render.

use std::collections::BTreeMap;

use mesh_cluster::label;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::render::{Manifest, Rendered};

/// The hash of the lasting content of each object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content(BTreeMap<String, String>);

/// The fields that a new certificate changes, wherever they are in an object.
pub(crate) const OF_CERTIFICATES: [&str; 2] = ["caBundle", "checksum/config"];
const REVISION: &str = "linkerd.io/helm-release-version";
const HEARTBEAT: &str = "linkerd-heartbeat";
const SCHEDULE: &str = "heartbeatSchedule:";

// === impl Content ===

impl Content {
    /// Returns the content of these objects.
    pub(crate) fn of<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> Self {
        let mut all = BTreeMap::new();
        for manifest in manifests {
            // Two objects of one name would be a broken chart; neither may hide the other.
            let known: &mut String = all.entry(key(manifest)).or_default();
            known.push_str(&hash(&lasting(manifest)));
        }
        Self(all)
    }

    /// Returns the content of what was rendered, its hooks and lasting certificates too.
    pub(crate) fn rendered(rendered: &Rendered) -> Self {
        let mut content = Self::of(rendered.all());
        content.0.extend(rendered.fixed.clone());
        content
    }

    /// Returns the hash of everything.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (key, content) in &self.0 {
            hash.update(format!("{key}\0{content}\0"));
        }
        format!("{:x}", hash.finalize())
    }

    /// Returns the objects that differ, in words.
    pub(crate) fn differing(&self, other: &Self) -> Vec<String> {
        let mut keys: Vec<&String> = self.0.keys().chain(other.0.keys()).collect();
        keys.sort();
        keys.dedup();
        let differs = |key: &&String| self.0.get(*key) != other.0.get(*key);
        let name = |key: &String| key.split('\0').next().unwrap_or_default().to_owned();
        keys.into_iter().filter(differs).map(name).collect()
    }
}

/// Returns a render that knows which certificates another one has too, with what follows from them:
/// the chart does not make these anew.
pub(crate) fn beside(one: Rendered, other: &Rendered) -> Rendered {
    let mut fixed = certificates(&one);
    let others = certificates(other);
    fixed.retain(|key, hash| others.get(key) == Some(hash));
    Rendered { fixed, ..one }
}

/// Returns a render of a chart that makes nothing anew: all of it counts.
pub(crate) fn alone(one: Rendered) -> Rendered {
    let fixed = certificates(&one);
    Rendered { fixed, ..one }
}

/// Returns true if the render has anything that another one may have otherwise.
pub(crate) fn may_be_anew(rendered: &Rendered) -> bool {
    !certificates(rendered).is_empty()
}

/// Returns true if the other render had something otherwise.
pub(crate) fn is_anew(rendered: &Rendered) -> bool {
    certificates(rendered) != rendered.fixed
}

// Returns what a render may make anew, as a hash for each object that has such.
fn certificates(rendered: &Rendered) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for manifest in rendered.all() {
        let made = made(manifest);
        if !made.is_empty() {
            let known: &mut String = all.entry(key(manifest) + "\0certificates").or_default();
            known.push_str(&hash(&made.into()));
        }
    }
    all
}

/// Returns true for a Secret with a certificate that the chart generates.
pub(crate) fn is_certificate(manifest: &Manifest) -> bool {
    let of = manifest.body.get("type").and_then(Value::as_str);
    manifest.kind == "Secret" && of == Some("kubernetes.io/tls")
}

fn key(manifest: &Manifest) -> String {
    let Manifest {
        api_version,
        kind,
        namespace,
        name,
        ..
    } = manifest;
    let namespace = namespace.as_deref().unwrap_or_default();
    format!("{kind} {name}\0{api_version}\0{namespace}")
}

fn hash(value: &Value) -> String {
    format!("{:x}", Sha256::digest(value.to_string()))
}

// The keys, certificates and checksums of an object that a render may make anew.
fn made(manifest: &Manifest) -> Vec<Value> {
    if is_certificate(manifest) {
        let fields = ["data", "stringData"];
        return fields
            .iter()
            .filter_map(|field| manifest.body.get(*field).cloned())
            .collect();
    }
    let mut made = Vec::new();
    if !matches!(manifest.kind.as_str(), "ConfigMap" | "Secret") {
        collect(&manifest.body, &mut made);
    }
    made
}

fn collect(value: &Value, made: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match OF_CERTIFICATES.contains(&key.as_str()) {
                    true => made.push(field.clone()),
                    false => collect(field, made),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, made)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns an object without what every render makes anew.
pub(crate) fn lasting(manifest: &Manifest) -> Value {
    let mut body = manifest.body.clone();
    if is_certificate(manifest) {
        for key in ["data", "stringData"] {
            if let Some(Value::Object(data)) = body.get_mut(key) {
                data.values_mut().for_each(|value| *value = Value::Null);
            }
        }
    }
    match manifest.kind.as_str() {
        "CronJob" if manifest.name == HEARTBEAT => body["spec"]["schedule"] = Value::Null,
        "ConfigMap" if manifest.name == label::CONFIG => without_schedule(&mut body),
        // What such a field says is part of every other ConfigMap and Secret.
        "ConfigMap" | "Secret" => {}
        _ => drop_fields(&mut body),
    }
    body
}

// A CLI writes the time of day into the values.
fn without_schedule(config: &mut Value) {
    if let Some(Value::String(values)) = config.pointer_mut("/data/values") {
        let lines = values.lines().filter(|line| !line.starts_with(SCHEDULE));
        *values = lines.collect::<Vec<_>>().join("\n");
    }
}

fn drop_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| key != REVISION && !OF_CERTIFICATES.contains(&key.as_str()));
            fields.values_mut().for_each(drop_fields);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Merge, manifests};

    const BOTH: &str = "
---
{apiVersion: v1, kind: Secret, metadata: {name: tls}, type: kubernetes.io/tls, data: {tls.crt: NEW}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: linkerd-heartbeat}, spec: {schedule: NEW}}
---
{apiVersion: x/v1, kind: Webhook, metadata: {name: w}, webhooks: [{clientConfig: {caBundle: NEW}}]}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {template: {metadata:
  {annotations: {checksum/config: NEW, linkerd.io/helm-release-version: NEW}}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: linkerd-config}
data:
  values: |
    a: 1
    heartbeatSchedule: NEW
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {caBundle: LASTS}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {key: LASTS}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: other}, spec: {schedule: LASTS}}
";

    fn content(yaml: &str) -> Content {
        Content::of(&manifests(yaml).unwrap())
    }

    #[test]
    fn everything_counts_except_what_every_render_makes_anew() {
        let one = content(BOTH);
        assert_eq!(content(&BOTH.replace("NEW", "newer")), one);
        let mut places = BOTH.match_indices("LASTS").map(|(at, _)| at);
        let mut changed = |part: &str| {
            let at = places.next().unwrap();
            let yaml = format!("{}{}", &BOTH[..at], BOTH[at..].replacen("LASTS", "x", 1));
            let other = content(&yaml);
            assert_ne!(other.digest(), one.digest(), "{part}");
            assert_eq!(one.differing(&other), [part]);
        };
        for part in ["ConfigMap m", "Secret s", "CronJob other"] {
            changed(part);
        }
    }

    #[test]
    fn what_two_renders_have_in_common_counts_too() {
        let rendered = |yaml: &str| Rendered {
            chart: String::new(),
            app_version: None,
            manifests: manifests(yaml).unwrap(),
            hooks: Vec::new(),
            fixed: BTreeMap::new(),
            merge: Merge::default(),
            given: crate::values::Given::default(),
        };
        let newer = BOTH.replace("NEW", "newer");
        let anew = beside(rendered(BOTH), &rendered(&newer));
        let also_anew = beside(rendered(&newer), &rendered(BOTH));
        assert_eq!(Content::rendered(&anew), Content::rendered(&also_anew));
        let fixed = |yaml: &str| Content::rendered(&beside(rendered(yaml), &rendered(yaml)));
        assert_eq!(
            fixed(BOTH).differing(&fixed(&newer)),
            ["Deployment d", "Secret tls", "Webhook w"]
        );
        // What was made anew at the question and comes from the cluster now differs too.
        assert_eq!(
            Content::rendered(&anew).differing(&fixed(&newer)),
            ["Deployment d", "Secret tls", "Webhook w"]
        );
    }

    #[test]
    fn what_two_renders_had_in_common_needs_no_second_render_later() {
        let rendered = |yaml: &str| {
            Rendered::kept(
                "cp-1".to_owned(),
                manifests(yaml).unwrap(),
                Merge::default(),
            )
        };
        let newer = BOTH.replace("NEW", "newer");
        let anew = beside(rendered(BOTH), &rendered(&newer));
        let common = beside(rendered(BOTH), &rendered(BOTH));
        assert!(may_be_anew(&anew) && is_anew(&anew) && !is_anew(&common));
        let later = |yaml: &str| Content::rendered(&alone(rendered(yaml)));
        let common = Content::rendered(&common);
        assert_eq!(common, later(BOTH));
        let differing = ["Deployment d", "Secret tls", "Webhook w"];
        assert_eq!(common.differing(&later(&newer)), differing);
        // A certificate that no render had before.
        let none = rendered("{apiVersion: v1, kind: ConfigMap, metadata: {name: m}}");
        assert!(!may_be_anew(&none) && !is_anew(&none));
        let webhook = "{apiVersion: x/v1, kind: Webhook, metadata: {name: w}";
        let without = Content::rendered(&rendered(&format!("{webhook}}}")));
        let with = later(&format!("{webhook}, caBundle: NEW}}"));
        assert_eq!(without.differing(&with), ["Webhook w"]);
    }

    #[test]
    fn an_object_more_or_less_or_of_another_namespace_differs() {
        let one = "{apiVersion: v1, kind: K, metadata: {name: a}}";
        let more = format!("{one}\n---\n{{apiVersion: v1, kind: K, metadata: {{name: b}}}}");
        let moved = "{apiVersion: v1, kind: K, metadata: {name: a, namespace: n}}";
        assert_eq!(content(one).differing(&content(&more)), ["K b"]);
        assert_eq!(content(&more).differing(&content(one)), ["K b"]);
        assert_ne!(content(one).digest(), content(moved).digest());
        let twice = format!("{one}\n---\n{one}");
        assert_ne!(content(one).digest(), content(&twice).digest());
    }
}
