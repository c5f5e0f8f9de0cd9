//! `--diff`: what changes in the objects of a release, by object and field. Pure.

use std::collections::BTreeMap;

use mesh_cluster::label;
use serde_json::Value;

use crate::anew::lasting;
use crate::present::lacking;
use crate::render::Manifest;
use crate::sayable;

/// How many fields of one object are named.
const MOST: usize = 20;
/// The longest value that is shown.
const LONGEST: usize = 80;

/// Returns a line for each object that the upgrade creates, deletes or changes. What every render
/// makes anew is left out.
pub(crate) fn lines(installed: &[Manifest], rendered: &[Manifest], namespace: &str) -> Vec<String> {
    let new = lacking(rendered, installed, namespace);
    let gone = lacking(installed, rendered, namespace);
    let mut lines: Vec<String> = new.iter().map(|it| format!("new: {it}")).collect();
    lines.extend(gone.iter().map(|it| format!("gone: {it}")));
    for manifest in rendered {
        let same = |it: &&Manifest| it.kind == manifest.kind && it.name == manifest.name;
        let Some(before) = installed.iter().find(same) else {
            continue;
        };
        let fields = fields(before, manifest);
        if fields.is_empty() {
            continue;
        }
        let rest = match fields.len().saturating_sub(MOST) {
            0 => String::new(),
            count => format!("; and {count} more"),
        };
        let shown: Vec<&str> = fields.iter().take(MOST).map(String::as_str).collect();
        lines.push(format!("changes: {manifest}: {}{rest}", shown.join("; ")));
    }
    lines
}

fn fields(before: &Manifest, after: &Manifest) -> Vec<String> {
    let is_shown = after.kind != "Secret";
    let (before, after) = (leaves(before), leaves(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let differs = |name: &&String| before.get(*name) != after.get(*name);
    let words = |name: &String| {
        let value = |leaves: &BTreeMap<String, String>| match leaves.get(name) {
            None => Some("nothing".to_owned()),
            Some(text) if is_short(text) => Some(mesh_records::sayable(text)),
            Some(_) => None,
        };
        match (
            is_shown && sayable::by_name(name),
            value(&before),
            value(&after),
        ) {
            (true, Some(from), Some(to)) => format!("{name} from {from} to {to}"),
            _ => name.clone(),
        }
    };
    names.into_iter().filter(differs).map(words).collect()
}

fn is_short(text: &str) -> bool {
    text.len() <= LONGEST && !text.contains('\n')
}

fn leaves(manifest: &Manifest) -> BTreeMap<String, String> {
    let mut body = lasting(manifest);
    // The values are text in the ConfigMap.
    if manifest.kind == "ConfigMap"
        && manifest.name == label::CONFIG
        && let Some(values) = body.pointer_mut("/data/values")
        && let Some(parsed) = values
            .as_str()
            .and_then(|text| serde_norway::from_str(text).ok())
    {
        *values = parsed;
    }
    let mut all = BTreeMap::new();
    flatten(&body, String::new(), &mut all);
    all
}

fn flatten(value: &Value, path: String, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, inner) in fields {
                let step = match key.contains(['.', '/']) {
                    true => format!("[{key}]"),
                    false => format!(".{key}"),
                };
                flatten(inner, format!("{path}{step}"), all);
            }
        }
        // The items of most lists have names.
        Value::Array(items) if !items.is_empty() => {
            for (number, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str);
                let name = name.map_or_else(|| number.to_string(), str::to_owned);
                flatten(item, format!("{path}[{name}]"), all);
            }
        }
        Value::String(text) => {
            all.insert(path, text.clone());
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            all.insert(path, value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::manifests;

    #[test]
    fn objects_and_fields_that_differ_are_named_and_secrets_are_not_shown() {
        let installed = "
{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 1, template: {spec: {containers: [{name: c, image: 'i:1'}]}}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {key: T0xE}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: same}, data: {a: b}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: linkerd-config}, data: {values: 'proxy: {cores: 1, token: HUSH}'}}
---
{apiVersion: v1, kind: Service, metadata: {name: old}}
";
        let rendered = "
{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 1, paused: true, template: {spec: {containers: [{name: c, image: 'i:2'}]}}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {key: TkVX}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: same}, data: {a: b}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: linkerd-config}, data: {values: 'proxy: {cores: 2, token: hush, url: a://me:hush@b}'}}
---
{apiVersion: v1, kind: Service, metadata: {name: new}}
";
        let (installed, rendered) = (manifests(installed).unwrap(), manifests(rendered).unwrap());
        let expected = [
            "new: Service new",
            "gone: Service old",
            "changes: Deployment a: .spec.paused from nothing to true; \
             .spec.template.spec.containers[c].image from i:1 to i:2",
            "changes: Secret s: .data.key",
            "changes: ConfigMap linkerd-config: .data.values.proxy.cores from 1 to 2; \
             .data.values.proxy.token; .data.values.proxy.url from nothing to a://***@b",
        ];
        assert_eq!(lines(&installed, &rendered, "linkerd"), expected);
        assert!(lines(&rendered, &rendered, "linkerd").is_empty());
    }
}
