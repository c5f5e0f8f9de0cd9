//! Makes the records about the pods of one owner.

use mesh_records::{
    Anomaly, Downtime, DowntimeGrade, Obstacle, Pin, PinPlace, PodCounts, Proxy, Roll, RollBy,
    TrustAnchors, Workload, WorkloadKind, WorkloadRef,
};

use super::{Anchors, Group, Pinned};
use crate::ground::{Ground, Kept, Labels};
use mesh_cluster::workload::how::{gone_how, other_how};

// === impl Group ===

impl Group {
    /// Makes the workload's record.
    pub(crate) fn workload(
        &self,
        cluster: &str,
        identity: &WorkloadRef,
        uid: &str,
        ground: &Ground,
    ) -> Workload {
        let WorkloadRef {
            namespace, kind, ..
        } = identity;
        let kept = ground.owners.same(identity, uid);
        let (roll, downtime) = match kept {
            Some(kept) => (kept.roll.clone(), kept.downtime.clone()),
            None if ground.lacks(kind) => not_known(),
            None if self.is_orphaned() && *kind != WorkloadKind::Job => gone_how(),
            None => other_how(self.rolled_as(kind), self.pods.total),
        };
        let pins = self.all_pins(kept, ground, namespace);
        let roll = match roll.by {
            RollBy::Restart | RollBy::RestartAt | RollBy::Evict
                if self.would_lose(kept, &pins, ground, namespace) =>
            {
                Roll {
                    by: RollBy::None,
                    reason: Some(Obstacle::WouldLoseProxy),
                }
            }
            RollBy::Restart | RollBy::RestartAt | RollBy::Evict | RollBy::Itself | RollBy::None => {
                roll
            }
        };
        Workload {
            cluster: cluster.to_owned(),
            identity: identity.clone(),
            uid: uid.to_owned(),
            control_plane: self.control_plane(ground).to_owned(),
            labels: labels(kept, ground, namespace),
            pods: PodCounts {
                wanted: kept.map(|kept| kept.wanted),
                refused: kept.is_some_and(Kept::is_refused),
                ..self.pods
            },
            proxies: self.proxies.records(),
            terminating_proxies: self.leaving.records(),
            trust_anchors: self.trust_anchors(),
            pins,
            roll,
            downtime,
            managed_by: kept.and_then(|kept| kept.managed_by.clone()),
            skew: None,
        }
    }

    // A pod into whose template the proxy was written by hand needs no injector.
    fn would_lose(
        &self,
        kept: Option<&Kept>,
        pins: &[Pin],
        ground: &Ground,
        namespace: &str,
    ) -> bool {
        let by_hand = pins.iter().any(|pin| pin.place == PinPlace::BakedIn);
        let known = kept.zip(ground.namespaces.rules(namespace));
        let declined = known.is_some_and(|(kept, rules)| rules.declines(kept.asks));
        self.pods.meshed > 0 && !by_hand && (self.left_out > 0 || declined)
    }

    // Pods that all end by themselves are rolled like those of a Job, whatever made them.
    fn rolled_as<'a>(&self, kind: &'a WorkloadKind) -> &'a WorkloadKind {
        let may_end = matches!(kind, WorkloadKind::Other(_) | WorkloadKind::Pod);
        if may_end && self.ending > 0 && self.ending == self.pods.total {
            &WorkloadKind::Job
        } else {
            kind
        }
    }

    fn trust_anchors(&self) -> TrustAnchors {
        let Anchors { stale, unknown } = self.anchors;
        match (stale, unknown, self.pods.meshed) {
            (1.., _, _) => TrustAnchors::Stale,
            (0, 0, 1..) => TrustAnchors::Current,
            (0, _, _) => TrustAnchors::Unknown,
        }
    }

    fn all_pins(&self, kept: Option<&Kept>, ground: &Ground, namespace: &str) -> Vec<Pin> {
        let mut pins = match kept {
            Some(kept) => kept.pins.clone(),
            None => self
                .pins
                .iter()
                .map(|(pinned, version)| pinned.pin(version.as_ref()))
                .collect(),
        };
        pins.extend(ground.rules(namespace).pin().cloned());
        pins
    }

    /// Makes one record for each listed proxy.
    pub(crate) fn proxies<'a>(
        &'a self,
        cluster: &'a str,
        identity: &'a WorkloadRef,
        uid: &'a str,
    ) -> impl Iterator<Item = Proxy> + 'a {
        self.listed.iter().map(move |listed| Proxy {
            cluster: cluster.to_owned(),
            identity: identity.clone(),
            uid: uid.to_owned(),
            pod: listed.pod.clone(),
            pod_uid: listed.uid.clone(),
            version: listed.proxy.version.clone(),
            source: listed.proxy.source,
            native: listed.proxy.native,
            ready: listed.ready,
            node: listed.node.clone(),
        })
    }

    /// Makes the records of the anomalies.
    pub(crate) fn anomalies<'a>(
        &'a self,
        cluster: &'a str,
        identity: &'a WorkloadRef,
    ) -> impl Iterator<Item = Anomaly> + 'a {
        self.oddities.iter().map(move |(oddity, oddly)| Anomaly {
            cluster: cluster.to_owned(),
            id: oddity.id().to_owned(),
            identity: identity.clone(),
            message: oddity.message(identity, oddly),
        })
    }
}

// The namespace's labels stand where the owner has none of the key.
fn labels(kept: Option<&Kept>, ground: &Ground, namespace: &str) -> Labels {
    let mut labels = ground
        .namespaces
        .labels(namespace)
        .cloned()
        .unwrap_or_default();
    labels.extend(kept.into_iter().flat_map(|kept| kept.labels.clone()));
    labels
}

fn not_known() -> (Roll, Downtime) {
    let roll = Roll {
        by: RollBy::None,
        reason: None,
    };
    let why = "its owner was not surveyed, so it is not known how it is restarted".to_owned();
    (
        roll,
        Downtime {
            grade: DowntimeGrade::Outage,
            why: vec![why],
        },
    )
}

// === impl Pinned ===

impl Pinned {
    fn pin(self, version: Option<&String>) -> Pin {
        let place = match self {
            Self::Asked => PinPlace::Template,
            Self::ByHand => PinPlace::BakedIn,
        };
        Pin {
            place,
            version: version.cloned(),
        }
    }
}
