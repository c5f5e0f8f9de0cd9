//! Puts a survey together, from a cluster or from a dump.

use mesh_records::{Anomaly, ControlPlane, Extension, Unseen, WorkloadKind, WorkloadRef};
use serde_json::{Value, json};

use crate::fold::{Census, Folded};
use crate::ground::Ground;
use crate::plane::Objects;
use mesh_cluster::object::label;
use mesh_versions::Use;

/// A survey of a cluster.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The control planes, by namespace.
    pub(crate) control_planes: Vec<ControlPlane>,
    /// The extensions, by name.
    pub(crate) extensions: Vec<Extension>,
    /// The workloads and the proxies of components.
    pub(crate) folded: Folded,
    /// What the pods were counted with.
    pub(crate) ground: Ground,
    /// The anomalies of control planes.
    pub(crate) anomalies: Vec<Anomaly>,
    /// Optional requests that were refused.
    pub(crate) unseen: Vec<Unseen>,
    /// How often a list expired and was started again.
    pub(crate) restarts: u32,
}

/// The parts of a survey.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) planes: Vec<Objects>,
    pub(crate) folded: Folded,
    pub(crate) ground: Ground,
    pub(crate) unseen: Vec<Unseen>,
    pub(crate) restarts: u32,
}

/// The largest number of workloads or namespaces that a fact names.
pub(crate) const NAMED: usize = 20;

// === impl Parts ===

impl Parts {
    pub(crate) fn survey(self, cluster: &str) -> Survey {
        let Self {
            planes,
            mut folded,
            ground,
            unseen,
            restarts,
        } = self;
        let mut control_planes: Vec<ControlPlane> =
            planes.iter().map(|plane| plane.record(cluster)).collect();
        let Census {
            listed,
            ended,
            leaving,
            outside,
        } = folded.census;
        let census = json!({
            "listed": listed, "ended": ended, "leaving": leaving, "outside": outside,
        });
        for plane in &mut control_planes {
            plane.facts.insert("pods".to_owned(), census.clone());
            for component in &mut plane.components {
                let key = (plane.namespace.clone(), component.name.clone());
                component.proxies = folded.components.remove(&key).unwrap_or_default();
            }
            // Without the webhooks it is only known what the release's chart would send.
            let read = planes.iter().filter(|it| it.webhooks.is_some());
            let is_read = read.into_iter().any(|it| it.namespace == plane.namespace);
            if let Some(is_sent) = folded.reach.get(&plane.namespace).filter(|_| is_read) {
                let bypassed = Value::from(!is_sent);
                plane.facts.insert("injector_bypassed".to_owned(), bypassed);
            }
            let mut uses = folded.uses(&plane.namespace, &ground);
            if ground.policies.is_some() {
                uses.entry(Use::ProxyPortLeftOut).or_default();
            }
            for (what, concerned) in uses {
                let fact = what.as_str().to_owned();
                plane.facts.insert(fact, named(&concerned));
            }
        }
        let unreadable = planes.iter().filter(|plane| plane.is_unreadable());
        let anomalies = unreadable.map(|plane| unreadable_config(cluster, &plane.namespace));
        Survey {
            anomalies: anomalies.collect(),
            extensions: ground.extensions(cluster),
            control_planes,
            folded,
            ground,
            unseen,
            restarts,
        }
    }
}

fn unreadable_config(cluster: &str, namespace: &str) -> Anomaly {
    Anomaly {
        cluster: cluster.to_owned(),
        id: "config-unreadable".to_owned(),
        identity: WorkloadRef {
            namespace: namespace.to_owned(),
            kind: WorkloadKind::Other("ConfigMap".to_owned()),
            name: label::CONFIG.to_owned(),
        },
        message: format!(
            "ConfigMap {namespace}/{}: cannot read its values",
            label::CONFIG
        ),
    }
}

fn named(concerned: &[&WorkloadRef]) -> Value {
    let names = concerned.iter().take(NAMED);
    let names: Vec<String> = names
        .map(|it| format!("{}/{}/{}", it.namespace, it.kind, it.name))
        .collect();
    json!({ "count": concerned.len(), "workloads": names })
}
