//! Whether the condition of an upgrade note holds for a cluster: yes, no, or cannot tell.

use std::collections::BTreeSet;
use std::mem::discriminant;

use mesh_records::{ControlPlane, Extension, InstalledBy, WorkloadKind, WorkloadRef};
use mesh_versions::{
    Channel, Condition, Count, GatewayApi, KubernetesVersion, Setting, Use, bundle_within,
};
use serde_json::Value;

/// Where the facts are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) plane: &'a ControlPlane,
    pub(crate) extensions: &'a [Extension],
    /// Whether the survey covers the whole cluster. If not, what it does not show may still exist.
    pub(crate) is_full: bool,
    /// The channel that the control plane runs, if it is Linkerd's.
    pub(crate) channel: Option<Channel>,
}

/// The answer, and what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// `None`: cannot tell.
    pub(crate) holds: Option<bool>,
    /// The workloads that it concerns; an excerpt if `count` is larger.
    pub(crate) workloads: BTreeSet<WorkloadRef>,
    pub(crate) count: u64,
    /// What else it concerns: definitions, values, extensions.
    pub(crate) things: BTreeSet<String>,
    /// What would have to be known.
    pub(crate) missing: BTreeSet<String>,
}

/// Evaluates a condition.
pub(crate) fn told(when: &Condition, ground: Ground<'_>) -> Told {
    match when {
        Condition::Always => Told::is(true),
        Condition::Unseen(what) => Told::missing(what),
        Condition::All(conditions) => merged(conditions, ground, false),
        Condition::Any(conditions) => merged(conditions, ground, true),
        Condition::Not(condition) => {
            let told = told(condition, ground);
            Told {
                holds: told.holds.map(|holds| !holds),
                missing: told.missing,
                ..Told::default()
            }
        }
        Condition::Is(name, wanted) => value(*name, ground, |it| is(it, wanted)),
        Condition::Set(name) => value(*name, ground, |_| Some(true)),
        Condition::Above(name, bound) => value(*name, ground, |it| is_above(it, *bound)),
        Condition::Used(name) => used(*name, ground),
        Condition::Counted(name) => counted(*name, ground),
        Condition::Extension(name) => {
            let has = ground.extensions.iter().any(|it| it.name == *name);
            ground
                .seen(has, &format!("the extension {name}"))
                .thing(name)
        }
        Condition::Part(name, prefix) => part(name, prefix, ground),
        Condition::InstalledBy(tools) => installed_by(tools, ground.plane),
        Condition::Component(name) => component(name, ground.plane),
        Condition::Definition(name) => definition(name, ground.plane, |_| true),
        Condition::Stored(name, version) => {
            definition(name, ground.plane, |stored| stored.contains(version))
        }
        Condition::GatewayApi(from) => gateway_api(*from, ground.plane),
        Condition::GatewayBundleOutside(low, high) => bundle(low, high, ground.plane),
        Condition::KubernetesBelow(version) => kubernetes_below(version, ground.plane),
        Condition::Channel(channel) => match ground.channel {
            Some(running) => Told::is(running == *channel),
            None => Told::missing("the channel of the running release"),
        },
    }
}

// === impl Ground ===

impl Ground<'_> {
    /// Tells whether something was seen. That it was not proves nothing of a part of a cluster.
    fn seen(&self, is_there: bool, what: &str) -> Told {
        match is_there || self.is_full {
            true => Told::is(is_there),
            false => Told::missing(what),
        }
    }
}

// === impl Told ===

impl Told {
    fn is(holds: bool) -> Self {
        Self {
            holds: Some(holds),
            ..Self::default()
        }
    }

    fn missing(what: &str) -> Self {
        Self {
            missing: BTreeSet::from([what.to_owned()]),
            ..Self::default()
        }
    }

    /// Names what it concerns, if it holds.
    fn thing(mut self, thing: &str) -> Self {
        if self.holds == Some(true) {
            self.things.insert(thing.to_owned());
        }
        self
    }
}

/// Returns whether one of the conditions holds, or all of them. What is known decides where it can:
/// one that holds is enough for `any`, one that does not is enough against `all`.
fn merged(conditions: &[Condition], ground: Ground<'_>, any: bool) -> Told {
    let all: Vec<Told> = conditions.iter().map(|it| told(it, ground)).collect();
    let holds = if all.iter().any(|it| it.holds == Some(any)) {
        Some(any)
    } else if all.iter().any(|it| it.holds.is_none()) {
        None
    } else {
        Some(!any)
    };
    let mut merged = Told {
        holds,
        ..Told::default()
    };
    let of_answer = all.into_iter().filter(|it| it.holds != Some(false));
    for told in of_answer.filter(|it| holds.is_none() || it.holds == holds) {
        merged.workloads.extend(told.workloads);
        merged.count = merged.count.saturating_add(told.count);
        merged.things.extend(told.things);
        merged.missing.extend(told.missing);
    }
    merged
}

/// A value that the configuration does not set is absent. That it was read is proven by its
/// resourceVersion.
fn value(name: Setting, ground: Ground<'_>, is: impl Fn(&Value) -> Option<bool>) -> Told {
    match ground.plane.facts.get(name.as_str()) {
        Some(value) => match is(value) {
            Some(holds) => Told::is(holds).thing(&format!("{name} is {value}")),
            None => Told::missing(&format!("what the value {name}, {value}, means")),
        },
        None if ground.plane.config_resource_version.is_some() => Told::is(false),
        None => Told::missing(&format!("the control plane's values ({name})")),
    }
}

/// A value of another type than the chart's own (`--set-string`) is not compared: a template may take
/// it for the same, or for another.
fn is(value: &Value, wanted: &Value) -> Option<bool> {
    (discriminant(value) == discriminant(wanted)).then(|| value == wanted)
}

fn is_above(value: &Value, bound: i64) -> Option<bool> {
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    number.map(|number| number > bound)
}

/// The workloads of a fact; it is absent where no pod of the census does it.
fn used(name: Use, ground: Ground<'_>) -> Told {
    let facts = &ground.plane.facts;
    let unknown = || Told::missing(&format!("what the pods use ({name})"));
    let Some(fact) = facts.get(name.as_str()) else {
        if let Some(kind) = name.rests_on() {
            return Told::missing(kind);
        }
        return match facts.contains_key("pods") {
            true => ground.seen(false, &format!("what the pods use ({name})")),
            false => unknown(),
        };
    };
    let (Some(count), Some(workloads)) = (fact["count"].as_u64(), fact["workloads"].as_array())
    else {
        return unknown();
    };
    let workloads = workloads.iter().filter_map(|it| reference(it.as_str()?));
    Told {
        workloads: workloads.collect(),
        count,
        ..ground.seen(count > 0, &format!("what the pods use ({name})"))
    }
}

fn reference(text: &str) -> Option<WorkloadRef> {
    let mut parts = text.splitn(3, '/');
    let (namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(WorkloadRef {
        namespace: namespace.to_owned(),
        kind: WorkloadKind::from(kind.to_owned()),
        name: name.to_owned(),
    })
}

fn counted(name: Count, ground: Ground<'_>) -> Told {
    let fact = ground.plane.facts.get(name.as_str());
    match fact.and_then(Value::as_u64) {
        Some(count) => Told::is(count > 0).thing(&format!("{name}: {count}")),
        None => Told::missing(name.as_str()),
    }
}

fn part(extension: &str, prefix: &str, ground: Ground<'_>) -> Told {
    let of_name = ground.extensions.iter().filter(|it| it.name == extension);
    let parts = of_name.flat_map(|it| &it.parts);
    let named: BTreeSet<String> = parts
        .map(|part| &part.name)
        .filter(|name| name.starts_with(prefix))
        .map(|name| format!("{extension}/{name}"))
        .collect();
    let what = format!("the parts of the extension {extension}");
    Told {
        things: named.clone(),
        ..ground.seen(!named.is_empty(), &what)
    }
}

fn installed_by(tools: &[String], plane: &ControlPlane) -> Told {
    let by = match plane.installed_by {
        InstalledBy::Helm => "helm",
        InstalledBy::Cli => "cli",
        InstalledBy::Gitops => "gitops",
        InstalledBy::Operator => "operator",
        InstalledBy::Unknown => return Told::missing("what installed the control plane"),
    };
    Told::is(tools.iter().any(|tool| tool == by))
}

fn component(name: &str, plane: &ControlPlane) -> Told {
    let left = plane.facts.get("leftovers").and_then(Value::as_array);
    let mut left = left.into_iter().flatten().filter_map(Value::as_str);
    let is_left = left.any(|it| it.strip_prefix("Deployment/") == Some(name));
    let has = is_left || plane.components.iter().any(|it| it.name == name);
    match plane.components.is_empty() {
        true => Told::missing("the components of the control plane"),
        false => Told::is(has).thing(name),
    }
}

/// Every control plane has definitions: none at all means that they were not read.
fn definition(name: &str, plane: &ControlPlane, is: impl Fn(&[String]) -> bool) -> Told {
    if plane.crds.is_empty() {
        return Told::missing("the custom resource definitions");
    }
    let mut named = plane.crds.iter().filter(|crd| crd.name == name);
    Told::is(named.any(|crd| is(&crd.stored))).thing(name)
}

fn gateway_definitions(plane: &ControlPlane) -> Option<&Vec<Value>> {
    plane.facts.get("gateway_api_crds")?.as_array()
}

fn gateway_api(from: GatewayApi, plane: &ControlPlane) -> Told {
    let Some(definitions) = gateway_definitions(plane) else {
        return Told::missing("the definitions of the Gateway API");
    };
    let is_of_linkerd = |it: &Value| {
        it["created_by"]
            .as_str()
            .is_some_and(|by| by.contains("linkerd"))
    };
    let of_kind = definitions.iter().filter(|it| match from {
        GatewayApi::FromLinkerd => is_of_linkerd(it),
        GatewayApi::FromOthers => !is_of_linkerd(it),
    });
    let names: BTreeSet<String> = of_kind
        .filter_map(|it| it["name"].as_str().map(str::to_owned))
        .collect();
    Told {
        things: names.clone(),
        ..Told::is(!names.is_empty())
    }
}

fn bundle(low: &str, high: &str, plane: &ControlPlane) -> Told {
    let Some(definitions) = gateway_definitions(plane) else {
        return Told::missing("the definitions of the Gateway API");
    };
    let mut outside = Told::is(false);
    for definition in definitions {
        let version = definition["bundle_version"].as_str();
        match version.and_then(|it| bundle_within(it, low, high)) {
            Some(true) => {}
            Some(false) => {
                let name = definition["name"].as_str().unwrap_or_default();
                let version = version.unwrap_or_default();
                outside.holds = Some(true);
                outside.things.insert(format!("{name} {version}"));
            }
            None => {
                outside.holds = outside.holds.filter(|holds| *holds);
                let what = "the version of the Gateway API's bundle";
                outside.missing.insert(what.to_owned());
            }
        }
    }
    outside
}

fn kubernetes_below(version: &str, plane: &ControlPlane) -> Told {
    let server = plane.kubernetes.as_deref().and_then(KubernetesVersion::of);
    let (Some(server), Some(bound)) = (server, KubernetesVersion::of(version)) else {
        return Told::missing("the version of Kubernetes");
    };
    Told::is(server.is_below(&bound))
}
