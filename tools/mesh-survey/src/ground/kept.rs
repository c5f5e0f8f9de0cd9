//! What is kept of an owner of pods: how it is rolled, and what holds its proxies.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh_cluster::object::{Meta, Selector, Template};
use mesh_cluster::workload::injection::Asks;
use mesh_cluster::workload::owner::gitops;
use mesh_cluster::workload::pin::template_pins;
use mesh_cluster::workload::rollout::{Restartable, State};
use mesh_records::{Downtime, Pin, Roll, Trouble, WorkloadRef};

/// An owner, with only what a workload's record needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    /// Its uid.
    pub(crate) uid: String,
    /// Which pods are its own.
    selector: Selector,
    created: Option<Timestamp>,
    /// How it gets new pods.
    pub(crate) roll: Roll,
    /// What that costs.
    pub(crate) downtime: Downtime,
    /// The pins of the proxy's version in the pod template.
    pub(crate) pins: Vec<Pin>,
    /// The operator or GitOps tool that manages the owner.
    pub(crate) managed_by: Option<String>,
    /// Whether its pod template asks for a proxy.
    pub(crate) asks: Asks,
    /// Whether it asks for a proxy itself, where no injector reads it.
    pub(crate) asks_aside: bool,
    /// How many pods it asks for.
    pub(crate) wanted: u32,
    /// Those of its labels that were asked for.
    pub(crate) labels: Labels,
    /// What it lacks, if fewer of its pods are ready than it asks for.
    pub(crate) short: Option<Box<Short>>,
}

/// Why an owner may have fewer pods than it asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Short {
    /// The template of the pods that may be missing.
    pub(crate) template: Template,
    /// Why no pod could be created, as the controller says it.
    pub(crate) refusal: Option<String>,
}

// === impl Kept ===

impl Kept {
    /// Returns true if a pod of a set with this owner's name is its own. A set that another owner of
    /// this name left behind has other labels, or pods from before this one; where sets are seen, those
    /// say whose they are.
    pub(crate) fn has(&self, pod: &Meta, sets_are_seen: bool) -> bool {
        let ages = pod.creation_timestamp.zip(self.created);
        let is_older = ages.is_some_and(|(pod, owner)| pod < owner);
        self.selector.selects(&pod.labels) && !(is_older && sets_are_seen)
    }

    /// Returns true if the controller says that it could not create a pod.
    pub(crate) fn is_refused(&self) -> bool {
        self.short.as_ref().is_some_and(|it| it.refusal.is_some())
    }
}

/// Labels by key.
pub(crate) type Labels = BTreeMap<String, String>;

/// Those of an object's labels that were asked for.
pub(super) fn labels(meta: &Meta, keys: &[String]) -> Labels {
    let all = meta.labels.iter();
    let asked = all.filter(|(key, _)| keys.contains(key));
    asked
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Reads an owner.
pub(super) fn keep<K: Restartable>(object: &K, keys: &[String]) -> (WorkloadRef, Kept) {
    let meta = object.meta();
    let (roll, downtime) = object.how();
    let pins = template_pins(object.template());
    let managed_by = managed_by(meta);
    let counts = object.counts();
    let short = (counts.ready < counts.wanted).then(|| Box::new(short(object)));
    (
        object.key(),
        Kept {
            uid: meta.uid.clone(),
            selector: object.selector().clone(),
            created: meta.creation_timestamp,
            roll,
            downtime,
            pins,
            managed_by,
            asks: Asks::of(&object.template().meta),
            asks_aside: Asks::of(meta).is_yes(),
            wanted: counts.wanted,
            labels: labels(meta, keys),
            short,
        },
    )
}

fn short<K: Restartable>(object: &K) -> Short {
    let refusal = match object.standing() {
        State::HeldUp(problem) if problem.trouble == Trouble::ReplicaFailure => Some(problem.said),
        State::HeldUp(_)
        | State::Failed(_)
        | State::Progressing(_)
        | State::Settled
        | State::Superseded => None,
    };
    Short {
        template: object.template().clone(),
        refusal,
    }
}

/// Returns the operator or GitOps tool that manages an object.
fn managed_by(meta: &Meta) -> Option<String> {
    let operator = meta
        .controller()
        .map(|owner| format!("{}/{}", owner.kind, owner.name));
    operator.or_else(|| gitops(meta).map(str::to_owned))
}
