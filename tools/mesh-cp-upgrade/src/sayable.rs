//! Whether a value may be said, by its name: for the question, the records and `--diff`. Pure.

use serde_json::Value;

/// In these names, a value is a secret, or is as good as one.
const SECRETS: [&str; 6] = [
    "pem",
    "token",
    "password",
    "secret",
    "license",
    "credential",
];
/// References to secrets, whose names are none.
const REFERENCES: [&str; 3] = ["externalsecret", "secretname", "imagepullsecrets"];

/// Returns true if a value may be said that has this name: its steps separated by dots, or in square
/// brackets.
pub(crate) fn by_name(name: &str) -> bool {
    name.split(['.', '[', ']']).all(is_harmless)
}

/// Returns true if a value may be said with everything in it.
pub(crate) fn with_content(name: &str, value: &Value) -> bool {
    let inside = |step: &str, inner| is_harmless(step) && with_content("", inner);
    by_name(name)
        && match value {
            Value::Object(fields) => fields.iter().all(|(key, inner)| inside(key, inner)),
            Value::Array(items) => items.iter().all(|item| with_content("", item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
}

// Environments and arguments may hold anything.
fn is_harmless(step: &str) -> bool {
    let step = step.to_lowercase();
    let is_of_process = step.ends_with("env") || step == "args" || step == "command";
    let is_key = step.ends_with("key") && step != "key";
    let is_secret = SECRETS.iter().any(|part| step.contains(part));
    REFERENCES.contains(&step.as_str()) || !(is_of_process || is_key || is_secret)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_environments_and_arguments_are_not_said_and_references_are() {
        for (name, expected) in [
            ("proxy.logLevel", true),
            ("tolerations.key", true),
            ("imagePullSecrets[0].name", true),
            ("proxyInjector.externalSecret", true),
            (".spec.template.spec.volumes[tls].secret.secretName", false),
            ("identity.issuer.tls.keyPEM", false),
            ("proxy.additionalEnv", false),
            (".spec.containers[c].env[API].value", false),
            (".data.values.apiKey", false),
            ("registry.password", false),
        ] {
            assert_eq!(by_name(name), expected, "{name}");
        }
    }

    #[test]
    fn a_list_is_said_only_if_all_of_it_may_be() {
        let tolerations = json!([{ "key": "a", "operator": "Exists" }]);
        assert!(with_content("tolerations", &tolerations));
        let hidden = json!([{ "name": "a", "deep": [{ "token": "hush" }] }]);
        assert!(!with_content("list", &hidden));
        assert!(!with_content("proxy.additionalEnv", &json!([])));
    }
}
