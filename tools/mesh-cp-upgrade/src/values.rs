//! The values of a release: where one is set, and what an upgrade changes.

use std::collections::BTreeMap;
use std::fmt;

use mesh_cluster::object::ConfigMap;
use mesh_records::{Explain as _, Explained};
use serde::Deserialize;
use serde_json::Value;

use crate::overrides::Overrides;
use crate::sayable;
use crate::snapshot::Copied;

/// The values that a release is given. They may hold secrets.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Given(pub(crate) Value);

/// Reads a values file.
pub(crate) fn read(Copied { name, path }: &Copied) -> Result<Value, Explained> {
    let text = std::fs::read_to_string(path);
    let text = text.explain(format!("cannot read the values file `{name}`"), WAY_OUT)?;
    // The text may contain a secret, so the error names only the line.
    serde_norway::from_str(&text).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        let what = format!("the values file `{name}` is not valid YAML (line {line})");
        Explained::new(what, WAY_OUT)
    })
}

const WAY_OUT: &str = "pass the values of this cluster's control plane as YAML text: -f FILE";

/// Returns where a value is set, such as "`proxy.image.version` in `a.yaml`". `given` is what helm
/// merged. No value is shown.
pub(crate) fn places(overrides: &Overrides, given: &Given, value: &str) -> Vec<String> {
    let mut places = Vec::new();
    for file in &overrides.files {
        // A file that cannot be read is an error elsewhere.
        let Ok(values) = read(file) else {
            continue;
        };
        let mut keys = Vec::new();
        find(&values, value, &mut Vec::new(), &mut keys);
        let name = &file.name;
        places.extend(keys.iter().map(|key| format!("`{key}` in `{name}`")));
    }
    if places.is_empty() {
        let mut keys = Vec::new();
        find(&given.0, value, &mut Vec::new(), &mut keys);
        places.extend(keys.iter().map(|key| format!("`{key}`")));
    }
    places
}

fn find<'a>(values: &'a Value, value: &str, path: &mut Vec<&'a str>, keys: &mut Vec<String>) {
    match values {
        Value::String(text) if text == value => keys.push(path.join(".")),
        Value::Object(fields) => {
            for (key, inner) in fields {
                path.push(key);
                find(inner, value, path, keys);
                path.pop();
            }
        }
        Value::Array(items) => {
            for item in items {
                find(item, value, path, keys);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A value that an upgrade changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The value's name, such as `proxy.logLevel`.
    pub(crate) name: String,
    pub(crate) change: Changed,
}

/// How a value changes, with what may be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The release was given it, and this run does not: the chart's default counts from then on.
    Dropped(Option<String>),
    Other(Option<(String, String)>),
    Added(Option<String>),
    /// The control plane has it, and will have no value of this name.
    Unknown(Option<String>),
}

/// The longest value that is shown.
const LONGEST: usize = 60;

/// Returns the values that differ between what a release was given and what it is to get.
pub(crate) fn differences(given: &Given, wanted: &Given) -> Vec<Difference> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    leaves(&given.0, &mut Vec::new(), &mut before);
    leaves(&wanted.0, &mut Vec::new(), &mut after);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let difference = |name: &String| {
        let change = match (before.get(name), after.get(name)) {
            (Some(from), None) => Changed::Dropped(shown(name, from)),
            (None, Some(to)) => Changed::Added(shown(name, to)),
            (Some(from), Some(to)) if from != to => {
                Changed::Other(shown(name, from).zip(shown(name, to)))
            }
            (Some(_), Some(_)) | (None, None) => return None,
        };
        let name = name.clone();
        Some(Difference { name, change })
    };
    names.into_iter().filter_map(difference).collect()
}

/// Returns what an upgrade between two releases changes and loses of all the values that a control plane
/// has, those of its chart included. What is new in a release, and its number, is no change of a value.
pub(crate) fn reconfigured(given: &Given, wanted: &Given, releases: [&str; 2]) -> Vec<Difference> {
    let [today, target] = releases;
    let differences = differences(given, wanted).into_iter();
    let differences = differences.filter_map(|Difference { name, change }| {
        let change = match change {
            Changed::Other(Some((from, to))) if from.replace(today, target) == to => return None,
            Changed::Added(_) => return None,
            Changed::Dropped(from) => Changed::Unknown(from),
            change @ (Changed::Other(_) | Changed::Unknown(_)) => change,
        };
        Some(Difference { name, change })
    });
    differences.collect()
}

// A list counts as one value, as helm replaces it as a whole.
fn leaves<'a>(value: &'a Value, path: &mut Vec<&'a str>, all: &mut BTreeMap<String, &'a Value>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                path.push(key);
                leaves(inner, path, all);
                path.pop();
            }
        }
        Value::Null if path.is_empty() => {}
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            all.insert(path.join("."), value);
        }
    }
}

fn shown(name: &str, value: &Value) -> Option<String> {
    let text = match value {
        Value::Bool(_) => return Some(value.to_string()),
        _ if !sayable::with_content(name, value) => return None,
        Value::Number(_) | Value::Array(_) => value.to_string(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Object(_) => return None,
    };
    let text = mesh_records::sayable(&text);
    (text.len() <= LONGEST && !text.contains('\n')).then_some(text)
}

// === impl Given ===

impl Given {
    /// Reads the values in a `linkerd-config`; returns `None` if they cannot be parsed.
    pub(crate) fn configured(config: &ConfigMap) -> Option<Self> {
        serde_norway::from_str(config.data.get("values")?).ok()
    }

    /// Returns true if both are the same; no values equal an empty set.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let is_empty = |value: &Value| {
            let fields = value.as_object();
            fields.map_or(value.is_null(), serde_json::Map::is_empty)
        };
        self == other || (is_empty(&self.0) && is_empty(&other.0))
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given(..)")
    }
}

// === impl Difference ===

impl Difference {
    /// What happens to the value, for a deed.
    pub(crate) fn verb(&self) -> &'static str {
        match self.change {
            Changed::Dropped(_) | Changed::Unknown(_) => "drop the value",
            Changed::Other(_) => "change the value",
            Changed::Added(_) => "add the value",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.change {
            Changed::Dropped(Some(from)) => {
                write!(
                    f,
                    "{name}, which is {from}: the chart's default counts then"
                )
            }
            Changed::Dropped(None) => write!(f, "{name}: the chart's default counts then"),
            Changed::Other(Some((from, to))) => write!(f, "{name} from {from} to {to}"),
            Changed::Other(None) => f.write_str(name),
            Changed::Added(Some(to)) => write!(f, "{name}: {to}"),
            Changed::Added(None) => f.write_str(name),
            Changed::Unknown(Some(from)) => {
                write!(f, "{name}, which is {from}: it is not set any more")
            }
            Changed::Unknown(None) => write!(f, "{name}: it is not set any more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_name_what_is_dropped_changed_and_added_but_no_secret() {
        let given = json!({
            "proxy": { "logLevel": "warn", "cores": 2 },
            "tolerations": [{ "key": "a" }],
            "env": [{ "name": "TOKEN", "value": "HUSH" }],
            "identity": { "issuer": { "tls": { "keyPEM": "HUSH" } } },
            "same": 1,
        });
        let wanted = json!({
            "proxy": { "logLevel": "info" },
            "identity": { "issuer": { "tls": { "keyPEM": "OTHER" } } },
            "defaultInboundPolicy": "deny",
            "prometheusUrl": "https://me:HUSH@prom",
            "same": 1,
        });
        let all = differences(&Given(given), &Given(wanted));
        let said: Vec<String> = all.iter().map(|it| format!("{} {it}", it.verb())).collect();
        let expected = [
            "add the value defaultInboundPolicy: deny",
            "drop the value env: the chart's default counts then",
            "change the value identity.issuer.tls.keyPEM",
            "add the value prometheusUrl: https://***@prom",
            "drop the value proxy.cores, which is 2: the chart's default counts then",
            "change the value proxy.logLevel from warn to info",
            "drop the value tolerations, which is [{\"key\":\"a\"}]: the chart's default counts then",
        ];
        assert_eq!(said, expected);
        assert!(differences(&Given::default(), &Given(json!({}))).is_empty());
    }

    #[test]
    fn of_all_values_those_that_a_release_brings_are_no_change() {
        let given = json!({
            "linkerdVersion": "stable-2.13.7",
            "cliVersion": "linkerd/cli stable-2.13.7",
            "controllerReplicas": 3,
            "grafana": "g.example",
            "imagePullSecrets": [{ "name": "a" }],
        });
        let wanted = json!({
            "linkerdVersion": "stable-2.14.10",
            "cliVersion": "linkerd/cli stable-2.14.10",
            "controllerReplicas": 1,
            "imagePullSecrets": [{ "name": "a" }],
            "podMonitor": { "enabled": false },
        });
        let releases = ["stable-2.13.7", "stable-2.14.10"];
        let all = reconfigured(&Given(given), &Given(wanted), releases);
        let said: Vec<String> = all.iter().map(|it| format!("{} {it}", it.verb())).collect();
        let expected = [
            "change the value controllerReplicas from 3 to 1",
            "drop the value grafana, which is g.example: it is not set any more",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn no_values_are_an_empty_set() {
        let none = Given::default();
        assert!(none.same(&Given(json!({}))));
        assert!(!none.same(&Given(json!({ "a": 1 }))));
        assert!(!Given(json!({ "a": 2 })).same(&Given(json!({ "a": 1 }))));
    }

    #[test]
    fn places_names_the_keys_and_the_files_of_a_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let name = name.to_owned();
            Copied { name, path }
        };
        let files = vec![
            file(
                "a.yaml",
                "linkerdVersion: v1\nproxy: {image: {version: v1, name: v2}}\n",
            ),
            file("b.yaml", "debug: [{version: v1}]\n"),
            file("c.yaml", "{"),
        ];
        let expected = [
            "`linkerdVersion` in `a.yaml`",
            "`proxy.image.version` in `a.yaml`",
            "`debug.version` in `b.yaml`",
        ];
        let overrides = Overrides {
            files,
            ..Overrides::default()
        };
        let given = Given(json!({ "proxy": { "image": { "version": "v3" } } }));
        assert_eq!(places(&overrides, &given, "v1"), expected);
        assert_eq!(places(&overrides, &given, "v3"), ["`proxy.image.version`"]);
        assert!(places(&overrides, &given, "v4").is_empty());
    }

    #[test]
    fn an_error_in_a_values_file_does_not_quote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("values.yaml");
        std::fs::write(&path, "a: 1\nkeyPEM: [SECRET\n").unwrap();
        let name = "values.yaml".to_owned();
        let error = format!("{:#}", read(&Copied { name, path }).unwrap_err());
        assert!(
            error.contains("values.yaml") && !error.contains("SECRET"),
            "{error}"
        );
    }
}
