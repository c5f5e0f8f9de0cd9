//! Which fields of an object somebody set by hand, and what becomes of them. Pure.
//!
//! The API server keeps in `metadata.managedFields` who set which field. A field of somebody else's
//! counts where it is not as it was installed: what the new manifest sets otherwise is overwritten,
//! what no manifest knows is kept.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::anew::OF_CERTIFICATES;
use crate::contained::contained;
use crate::sayable;

/// An entry of `metadata.managedFields`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Managed {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    operation: String,
    /// The part of the object that was written; absent for the object itself.
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    fields_v1: Value,
}

impl Managed {
    /// Who wrote.
    pub(crate) fn manager(&self) -> &str {
        &self.manager
    }

    /// Returns true for what a part of Kubernetes itself keeps in an object, such as a number of the
    /// rollout; what it scales does not count.
    pub(crate) fn is_of_kubernetes(&self) -> bool {
        self.manager.starts_with("kube-") && self.subresource.is_empty()
    }

    /// The fields, as the API server spells them.
    pub(crate) fn fields(&self) -> &Value {
        &self.fields_v1
    }
}

/// A field that somebody set by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByHand {
    /// The field, such as `.spec.replicas`.
    pub(crate) field: String,
    pub(crate) manager: String,
    pub(crate) fate: Fate,
}

/// What the upgrade does with a field that was set by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The values before and after, if these may be said.
    Overwritten(Option<(String, String)>),
    Kept,
    /// Nobody knows before the new manifest is rendered; the value, if it may be said.
    Open(Option<String>),
}

/// An object in the cluster, as it was installed, and as it is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct States<'a> {
    pub(crate) live: &'a Value,
    /// `None` if nobody knows; then every field that differs counts.
    pub(crate) installed: Option<&'a Value>,
    /// `None` if it is not rendered yet.
    pub(crate) wanted: Option<&'a Value>,
}

/// The longest value that is shown.
const LONGEST: usize = 60;
/// What is in a ConfigMap or a Secret may be anything.
const NOT_SHOWN: [&str; 2] = ["data", "stringData"];

/// Returns true for an entry of somebody whose fields may be set by hand: of no manager in `own`, and
/// not the work of an installer of before. The status is the controllers'; an autoscaler sets `scale`.
pub(crate) fn is_foreign(entry: &Managed, own: &[&str], before: &[(&str, &str)]) -> bool {
    let Managed {
        manager,
        operation,
        subresource,
        ..
    } = entry;
    let is_own = own.contains(&manager.as_str());
    match subresource.as_str() {
        "" => !is_own && !before.contains(&(manager, operation)),
        "scale" => !is_own,
        _ => false,
    }
}

/// Returns the fields of the `foreign` managers that are not as they were installed.
pub(crate) fn by_hand(foreign: &[Managed], states: States<'_>) -> Vec<ByHand> {
    let mut all = Vec::new();
    for entry in foreign {
        let walk = Walk {
            manager: &entry.manager,
            is_shown: true,
            is_item: false,
            is_open: states.wanted.is_none(),
        };
        walk.node(
            &entry.fields_v1,
            String::new(),
            [Some(states.live), states.installed, states.wanted],
            &mut all,
        );
    }
    // What Kubernetes itself adds, such as a number of the rollout, nobody wants to know.
    all.retain(|it| it.fate != Fate::Kept || !it.manager.starts_with("kube-"));
    all.sort_by(|a, b| a.field.cmp(&b.field));
    all.dedup_by(|a, b| a.field == b.field);
    all
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    manager: &'a str,
    is_shown: bool,
    /// Whether this is an item of a list.
    is_item: bool,
    /// Whether the new manifest is not rendered yet.
    is_open: bool,
}

impl Walk<'_> {
    // `values` is what the object has here in the cluster, as installed, and as wanted.
    fn node(
        self,
        fields: &Value,
        path: String,
        values: [Option<&Value>; 3],
        all: &mut Vec<ByHand>,
    ) {
        let [live, installed, wanted] = values;
        let empty = Map::new();
        let fields = fields.as_object().unwrap_or(&empty);
        let is_new = installed.is_none() && wanted.is_none();
        let is_whole = self.is_item && is_new && fields.contains_key(".");
        let inner = fields.iter().filter(|(key, _)| *key != ".");
        if live.is_some() && !path.is_empty() && (is_whole || inner.clone().next().is_none()) {
            all.extend(self.leaf(path, values));
            return;
        }
        for (key, fields) in inner {
            let Some((step, name)) = Step::of(key) else {
                continue;
            };
            if OF_CERTIFICATES.contains(&name.as_str()) {
                continue;
            }
            let is_shown =
                self.is_shown && !NOT_SHOWN.contains(&name.as_str()) && sayable::by_name(&name);
            let values = values.map(|value| step.down(value?));
            let path = format!("{path}{}", step.shown(&name));
            let walk = Walk {
                is_shown,
                is_item: matches!(step, Step::Item(_)),
                ..self
            };
            walk.node(fields, path, values, all);
        }
    }

    fn leaf(self, field: String, values: [Option<&Value>; 3]) -> Option<ByHand> {
        let [live, installed, wanted] = values;
        let live = live?;
        let is = |other: Option<&Value>| other.is_some_and(|other| contained(other, live));
        if is(installed) || is(wanted) {
            return None;
        }
        let fate = match (installed, wanted) {
            (None, None) if self.is_open => {
                Fate::Open(self.is_shown.then(|| short(live)).flatten())
            }
            (None, None) => Fate::Kept,
            (_, wanted) => Fate::Overwritten(
                self.is_shown
                    .then(|| Some((short(live)?, wanted.map_or(Some("nothing".into()), short)?)))
                    .flatten(),
            ),
        };
        Some(ByHand {
            field,
            manager: self.manager.to_owned(),
            fate,
        })
    }
}

/// One step down in an object, as `fieldsV1` spells it.
pub(crate) enum Step {
    Field(String),
    /// The item of a list with these keys.
    Item(Map<String, Value>),
    /// The item of a list with this value.
    Member(Value),
}

impl Step {
    /// Reads a step, and its name; `None` for the key that stands for the place itself.
    pub(crate) fn of(key: &str) -> Option<(Self, String)> {
        let (kind, name) = key.split_once(':')?;
        let step = match kind {
            "f" => Self::Field(name.to_owned()),
            "k" => Self::Item(serde_json::from_str(name).ok()?),
            "v" => Self::Member(serde_json::from_str(name).ok()?),
            _ => return None,
        };
        Some((step, name.to_owned()))
    }

    /// Returns what is one step down.
    pub(crate) fn down<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Field(name) => value.get(name),
            Self::Item(_) | Self::Member(_) => value.get(self.position(value)?),
        }
    }

    /// Returns the place of the item in a list.
    pub(crate) fn position(&self, list: &Value) -> Option<usize> {
        let mut items = list.as_array()?.iter();
        match self {
            Self::Field(_) => None,
            // A manifest may leave out a key that has a default.
            Self::Item(keys) => items.position(|item| {
                keys.iter()
                    .all(|(key, wanted)| item.get(key).is_none_or(|is| is == wanted))
            }),
            Self::Member(wanted) => items.position(|item| item == wanted),
        }
    }

    fn shown(&self, name: &str) -> String {
        match self {
            Self::Field(_) if name.contains(['.', '/']) => format!("[{name}]"),
            Self::Field(_) => format!(".{name}"),
            Self::Item(keys) => {
                let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
                let keys: Vec<String> = keys.values().map(text).collect();
                format!("[{}]", keys.join(" "))
            }
            Self::Member(value) => format!("[{value}]"),
        }
    }
}

fn short(value: &Value) -> Option<String> {
    let text = match value {
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (text.len() <= LONGEST).then(|| mesh_records::sayable(&text))
}

// === impl ByHand ===

impl ByHand {
    /// What happens to the field, for a deed.
    pub(crate) fn verb(&self) -> &'static str {
        match self.fate {
            Fate::Overwritten(_) => "overwrite",
            Fate::Kept => "keep",
            Fate::Open(_) => "overwrite or keep",
        }
    }
}

impl fmt::Display for ByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            manager,
            fate,
        } = self;
        match fate {
            Fate::Overwritten(Some((from, to))) => {
                write!(f, "{field}, which {manager} set to {from}: it becomes {to}")
            }
            Fate::Open(Some(to)) => write!(f, "{field}, which {manager} set to {to}"),
            Fate::Overwritten(None) | Fate::Open(None) => {
                write!(f, "{field}, which {manager} set")
            }
            Fate::Kept => write!(f, "{field}, which {manager} added"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn managed(manager: &str, subresource: &str, fields: &Value) -> Managed {
        let entry = json!({ "manager": manager, "operation": "Update", "subresource": subresource,
                            "fieldsV1": fields });
        serde_json::from_value(entry).unwrap()
    }

    fn said(foreign: &[Managed], [live, installed, wanted]: [&Value; 3]) -> Vec<String> {
        let states = States {
            live,
            installed: Some(installed),
            wanted: Some(wanted),
        };
        let all = by_hand(foreign, states);
        all.iter().map(|it| format!("{} {it}", it.verb())).collect()
    }

    #[test]
    fn what_is_set_otherwise_is_overwritten_and_what_no_manifest_knows_is_kept() {
        let container =
            |image: &str, env: &Value| json!([{ "name": "a", "image": image, "env": env }]);
        let live = json!({
            "metadata": { "annotations": { "example.test/mine": "x" } },
            "spec": { "replicas": 3, "paused": true, "containers":
                container("i:hot", &json!([{ "name": "LOG", "value": "debug" }, { "name": "B", "value": "b" }])) },
        });
        let installed = json!({ "spec": { "replicas": 1, "paused": false, "containers":
            container("i:1", &json!([{ "name": "LOG", "value": "info" }])) } });
        let wanted = json!({ "spec": { "replicas": 1, "containers":
            container("i:2", &json!([{ "name": "LOG", "value": "warn" }])) } });
        let env = json!({
            "k:{\"name\":\"LOG\"}": { "f:value": {} },
            "k:{\"name\":\"B\"}": { ".": {}, "f:name": {}, "f:value": {} },
        });
        let edits = json!({
            "f:metadata": { "f:annotations": { ".": {}, "f:example.test/mine": {} } },
            "f:spec": { "f:paused": {}, "f:containers": { "k:{\"name\":\"a\"}": { "f:image": {}, "f:env": env } } },
        });
        let foreign = [
            managed(
                "kubectl",
                "scale",
                &json!({ "f:spec": { "f:replicas": {} } }),
            ),
            managed("kubectl-edit", "", &edits),
        ];
        let expected = [
            "keep .metadata.annotations[example.test/mine], which kubectl-edit added",
            "keep .spec.containers[a].env[B], which kubectl-edit added",
            "overwrite .spec.containers[a].env[LOG].value, which kubectl-edit set",
            "overwrite .spec.containers[a].image, which kubectl-edit set to i:hot: it becomes i:2",
            "overwrite .spec.paused, which kubectl-edit set to true: it becomes nothing",
            "overwrite .spec.replicas, which kubectl set to 3: it becomes 1",
        ];
        assert_eq!(said(&foreign, [&live, &installed, &wanted]), expected);
    }

    #[test]
    fn what_kubernetes_adds_is_not_named_but_what_it_scales_is() {
        let (revision, replicas) = ("f:deployment.kubernetes.io/revision", "f:replicas");
        let foreign = [
            managed(
                "kube-controller-manager",
                "",
                &json!({ "f:metadata": { "f:annotations": { revision: {} } } }),
            ),
            managed(
                "kube-controller-manager",
                "scale",
                &json!({ "f:spec": { replicas: {} } }),
            ),
        ];
        let annotations = json!({ "deployment.kubernetes.io/revision": "3" });
        let live = json!({ "metadata": { "annotations": annotations }, "spec": { "replicas": 5 } });
        let spec = json!({ "spec": { "replicas": 3 } });
        let expected =
            "overwrite .spec.replicas, which kube-controller-manager set to 5: it becomes 3";
        assert_eq!(said(&foreign, [&live, &spec, &spec]), [expected]);
    }

    #[test]
    fn an_address_is_said_without_its_password() {
        let said = short(&json!("https://me:hush@prom"));
        assert_eq!(said.as_deref(), Some("https://***@prom"));
    }

    #[test]
    fn what_is_as_installed_or_as_wanted_does_not_count() {
        let spec = |replicas: u32| json!({ "spec": { "replicas": replicas } });
        let foreign = [managed(
            "kubectl",
            "scale",
            &json!({ "f:spec": { "f:replicas": {} } }),
        )];
        let none: [&str; 0] = [];
        assert_eq!(said(&foreign, [&spec(1), &spec(1), &spec(2)]), none);
        assert_eq!(said(&foreign, [&spec(2), &spec(1), &spec(2)]), none);
    }

    #[test]
    fn the_status_and_what_the_installer_set_are_nobodys_hand() {
        let entry = |manager, subresource| managed(manager, subresource, &json!({}));
        for (entry, expected) in [
            (entry("kubectl-edit", ""), true),
            (entry("horizontal", "scale"), true),
            (entry("kubectl", "scale"), true),
            (entry("kubectl", ""), false),
            (entry("helm", ""), false),
            (entry("kube-controller-manager", "status"), false),
        ] {
            let is = is_foreign(&entry, &["helm"], &[("kubectl", "Update")]);
            assert_eq!(is, expected, "{entry:?}");
        }
    }
}
