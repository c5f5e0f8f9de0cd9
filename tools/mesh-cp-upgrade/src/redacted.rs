//! What of an object goes into a backup. Pure.

use mesh_records::sayable;
use serde_json::{Map, Value, json};

use crate::field_managers::LAST_APPLIED;

/// What stands where a secret was. It is no base64, so nobody can apply a Secret with it by mistake.
const REMOVED: &str = "REMOVED: --backup-secrets keeps it";
/// The value of a name that ends in one of these may be a secret.
const SECRET: [&str; 11] = [
    "accesskey",
    "apikey",
    "keypem",
    "license",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "token",
];
/// The value of these only names a Secret.
const REFERENCES: [&str; 3] = ["existingsecret", "externalsecret", "licensesecret"];
/// The end of a private key's first line, and the same in base64, which depends on what is before.
const KEY: [&str; 4] = [
    "PRIVATE KEY-----",
    "UFJJVkFURSBLRVktLS0tL",
    "BSSVZBVEUgS0VZLS0tLS",
    "QUklWQVRFIEtFWS0tLS0t",
];
/// What the API server sets by itself.
const OF_SERVER: [&str; 6] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "selfLink",
];

/// Leaves what can be applied again. What kubectl applied last stands whole in an annotation, with the
/// data of a Secret too; kubectl writes it anew.
pub(crate) fn bare(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    metadata.retain(|key, _| !OF_SERVER.contains(&key.as_str()));
    if let Some(annotations) = metadata.get_mut("annotations")
        && let Some(all) = annotations.as_object_mut()
        && all.remove(LAST_APPLIED).is_some()
        && all.is_empty()
    {
        metadata.remove("annotations");
    }
}

/// Replaces what may be a secret. Of a Secret only what it is and the names of its values stay.
pub(crate) fn redact(value: &mut Value) {
    let kind = value.get("kind").and_then(Value::as_str);
    match kind {
        Some("Secret") => *value = without_values(value),
        Some("ConfigMap") => {
            if let Some(data) = value.get_mut("data").and_then(Value::as_object_mut) {
                data.values_mut().for_each(redact_text);
            }
            redact_any(value);
        }
        Some(_) | None => redact_any(value),
    }
}

fn without_values(secret: &Value) -> Value {
    let names = ["data", "stringData"].map(|key| secret.get(key).and_then(Value::as_object));
    let names = names.into_iter().flatten().flat_map(Map::keys);
    let data: Map<String, Value> = names.map(|name| (name.clone(), REMOVED.into())).collect();
    let metadata = &secret["metadata"];
    let mut kept = json!({
        "apiVersion": secret["apiVersion"],
        "kind": "Secret",
        "type": secret["type"],
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": metadata["labels"],
        },
        "data": data,
    });
    for place in ["", "/metadata"] {
        if let Some(Value::Object(fields)) = kept.pointer_mut(place) {
            fields.retain(|_, value| !value.is_null());
        }
    }
    kept
}

// The text of a ConfigMap may be YAML, such as Linkerd's values.
fn redact_text(value: &mut Value) {
    let text = value.as_str().unwrap_or_default();
    let Ok(before @ Value::Object(_)) = serde_norway::from_str::<Value>(text) else {
        return;
    };
    let mut after = before.clone();
    redact_any(&mut after);
    if after != before {
        let text = serde_norway::to_string(&after);
        *value = text.unwrap_or_else(|_| REMOVED.to_owned()).into();
    }
}

fn redact_any(value: &mut Value) {
    match value {
        Value::String(text) if KEY.iter().any(|part| text.contains(part)) => {
            REMOVED.clone_into(text);
        }
        Value::String(text) => {
            let flag = text.split_once('=');
            let flag = flag.filter(|(name, _)| name.starts_with('-') && is_secret(name));
            if let Some((name, _)) = flag {
                *text = format!("{name}={REMOVED}");
            } else if has_credentials(text) {
                REMOVED.clone_into(text);
            }
        }
        Value::Object(fields) => {
            let name = fields.get("name").and_then(Value::as_str);
            let is_named_so = name.is_some_and(is_secret);
            for (key, inner) in fields {
                let may_be = is_secret(key) || (is_named_so && key == "value");
                match inner {
                    Value::String(text) if may_be && !text.is_empty() => REMOVED.clone_into(text),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_) => redact_any(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact_any),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

// Whether an address in a text has a user or a password. A query or an anchor alone stays: what goes back
// needs it.
fn has_credentials(text: &str) -> bool {
    text.contains("://") && sayable(text).contains("://***")
}

// Compares whole words: `secretName` and `imagePullSecrets` name Secrets and contain none.
fn is_secret(name: &str) -> bool {
    let mut words: Vec<String> = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (was_lower && letter.is_uppercase()) {
            words.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    let mut back = words.iter().rev().filter(|word| !word.is_empty());
    let last = back.next().map_or("", String::as_str);
    let two = format!("{}{last}", back.next().map_or("", String::as_str));
    let is = |words: &[&str]| words.contains(&last) || words.contains(&two.as_str());
    is(&SECRET) && !is(&REFERENCES)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const PEM: &str = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";

    #[test]
    fn secrets_are_removed_and_certificates_stay() {
        let mut values = json!({
            "identity": { "issuer": { "tls": { "crtPEM": "CERT", "keyPEM": "a key" } } },
            "other": [PEM],
            "prometheusUrl": "https://me:hush@prom",
            "docs": "see https://h/a?b#c",
            "license": "hush",
            "clientSecret": "hush",
            "api_key": "hush",
            "empty": { "license": "" },
            "externalSecret": "theirs",
            "imagePullSecrets": [{ "name": "pull" }],
        });
        redact(&mut values);
        let expected = json!({
            "identity": { "issuer": { "tls": { "crtPEM": "CERT", "keyPEM": REMOVED } } },
            "other": [REMOVED],
            "prometheusUrl": REMOVED,
            "docs": "see https://h/a?b#c",
            "license": REMOVED,
            "clientSecret": REMOVED,
            "api_key": REMOVED,
            "empty": { "license": "" },
            "externalSecret": "theirs",
            "imagePullSecrets": [{ "name": "pull" }],
        });
        assert_eq!(values, expected);
    }

    #[test]
    fn a_private_key_is_found_in_base64_whatever_is_before_it() {
        for before in ["", "a", "ab", "{\"tls.key\":\""] {
            let mut value = json!({ "x": STANDARD.encode(format!("{before}{PEM}")) });
            redact(&mut value);
            assert_eq!(value, json!({ "x": REMOVED }), "{before:?}");
        }
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let bundle = json!({ "caBundle": STANDARD.encode(certificate) });
        let mut kept = bundle.clone();
        redact(&mut kept);
        assert_eq!(kept, bundle);
    }

    #[test]
    fn of_a_secret_only_what_it_is_and_the_names_of_its_values_stay() {
        let meta = json!({
            "name": "s",
            "namespace": "linkerd",
            "labels": { "a": "b" },
            "annotations": { "example.test/copy": "{\"data\":{\"tls.key\":\"eA==\"}}" },
        });
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": meta,
            "data": { "tls.key": "eA==" },
            "stringData": { "more": "eA==" },
        });
        redact(&mut secret);
        let expected = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": { "name": "s", "namespace": "linkerd", "labels": { "a": "b" } },
            "data": { "tls.key": REMOVED, "more": REMOVED },
        });
        assert_eq!(secret, expected);
        assert!(STANDARD.decode(REMOVED).is_err(), "a server refuses it");
    }

    #[test]
    fn a_config_map_loses_the_secrets_in_its_text_alone() {
        let values = "linkerdVersion: stable-2.13.7\nlicense: hush\n";
        let data = json!({ "values": values, "key": PEM, "text": "a: [b\nsecret: of nobody" });
        let mut map = json!({ "kind": "ConfigMap", "data": data });
        redact(&mut map);
        let said = map["data"]["values"].as_str().unwrap();
        assert!(said.contains("linkerdVersion: stable-2.13.7"), "{said}");
        assert!(!map.to_string().contains("hush") && !map.to_string().contains("AAAA"));
        assert_eq!(map["data"]["text"], "a: [b\nsecret: of nobody");
        let plain = json!({ "kind": "ConfigMap", "data": { "values": "b: 1\n\na:   2\n" } });
        let mut kept = plain.clone();
        redact(&mut kept);
        assert_eq!(kept, plain, "it is spelled as before");
    }

    #[test]
    fn a_template_that_only_names_secrets_stays_as_it_is() {
        let env = json!([
            { "name": "A", "valueFrom": { "secretKeyRef": { "name": "s", "key": "token" } } },
            { "name": "TOKEN_FILE", "value": "/var/run/token" },
        ]);
        let volumes = json!([
            { "name": "tls", "secret": { "secretName": "linkerd-identity-issuer" } },
            { "name": "t", "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } },
        ]);
        let spec = json!({
            "containers": [{ "name": "c", "args": ["-identity-scheme=x", "-v"], "env": env }],
            "imagePullSecrets": [{ "name": "pull" }],
            "volumes": volumes,
        });
        let deployment = json!({ "kind": "Deployment", "spec": { "template": { "spec": spec } } });
        let mut kept = deployment.clone();
        redact(&mut kept);
        assert_eq!(kept, deployment);

        let env = json!([{ "name": "DB_PASSWORD", "value": "hush" }]);
        let mut told = json!({ "kind": "Deployment", "env": env, "args": ["--api-token=hush"] });
        redact(&mut told);
        assert!(!told.to_string().contains("hush"), "{told}");
    }

    #[test]
    fn an_object_is_left_as_it_can_be_applied_again() {
        let whole = json!({ LAST_APPLIED: "{\"data\":{\"tls.key\":\"eA==\"}}" });
        let meta = json!({ "name": "a", "uid": "1", "resourceVersion": "2", "managedFields": [],
                           "annotations": whole });
        let mut object = json!({ "kind": "K", "metadata": meta, "status": { "x": 1 } });
        bare(&mut object);
        assert_eq!(object, json!({ "kind": "K", "metadata": { "name": "a" } }));
        let annotations = json!({ "mine": "x", LAST_APPLIED: "{}" });
        let mut object = json!({ "kind": "K", "metadata": { "annotations": annotations } });
        bare(&mut object);
        assert_eq!(object["metadata"]["annotations"], json!({ "mine": "x" }));
    }
}
