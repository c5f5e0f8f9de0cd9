//! Every pod that was listed is counted once: in a workload, a component or an anomaly, as ended, or
//! as outside the mesh.

use super::*;

/// A source of numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        let sides = u64::try_from(all.len()).unwrap();
        let at = usize::try_from(self.below(sides)).unwrap();
        all[at].clone()
    }
}

fn any_pod(dice: &mut Dice, number: usize) -> Pod {
    let kinds = [
        "ReplicaSet",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "Kafka",
        "ReplicationController",
    ];
    let names = [
        "web-6c5f7d9b8c",
        "linkerd-identity-6c5f7d9b8c",
        "db",
        "agent",
        "gone",
        "other",
    ];
    let kind = dice.one_of(&kinds);
    let owners = match dice.below(8) {
        0 => json!([]),
        _ => owner(kind, dice.one_of(&names)),
    };
    let mut changes = json!({});
    for (odds, change) in [
        (
            4,
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        ),
        (5, json!({"status": {"phase": "Succeeded"}})),
        (
            5,
            json!({"status": {"phase": "Failed", "reason": "Evicted"}}),
        ),
        (6, json!({"status": {"phase": "Pending", "conditions": []}})),
        (3, unmeshed()),
        (
            6,
            json!({"metadata": {"labels": {"linkerd.io/control-plane-ns": null}}}),
        ),
        (
            6,
            json!({"metadata": {"labels": {"linkerd.io/control-plane-ns": "gone"}}}),
        ),
        (
            4,
            json!({"metadata": {"labels": {"linkerd.io/control-plane-component": "identity"}}}),
        ),
        (
            8,
            json!({"metadata": {"annotations": {"linkerd.io/inject": "disabled"}}}),
        ),
        (6, json!({"spec": {"hostNetwork": true}})),
        (6, json!({"spec": {"restartPolicy": "Never"}})),
    ] {
        if dice.below(odds) == 0 {
            merge(&mut changes, change);
        }
    }
    let namespace = dice.one_of(&["shop", "plain", "pinned", "linkerd", "kube-system"]);
    pod(namespace, &format!("p-{number}"), &owners, changes)
}

#[test]
fn every_listed_pod_is_counted_once() {
    let ground = ground();
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let size = usize::try_from(dice.below(60)).unwrap();
        let pods: Vec<Pod> = (0..size).map(|number| any_pod(&mut dice, number)).collect();
        let (first, second) = pods.split_at(size / 2);
        let mut fold = Fold::default();
        for half in [first, second] {
            let mut page = Fold::default();
            half.iter()
                .for_each(|pod| page.add(pod, OwnPods::Count, &ground));
            fold.merge(page);
        }
        let parent = OwnerReference {
            api_version: "keda.sh/v1alpha1".to_owned(),
            kind: "ScaledJob".to_owned(),
            name: "encode".to_owned(),
            uid: "u-encode".to_owned(),
            controller: true,
        };
        let parents = Parents::from([("u-db".to_owned(), Some(parent))]);
        for kind in &OPEN {
            fold.adopt(kind, &parents, &ground);
        }
        let folded = fold.finish(&ground);
        let Census {
            listed,
            ended,
            leaving,
            outside,
        } = folded.census;
        let told = folded.groups.iter().map(|(identity, uid, group)| {
            let record = group.workload("c", identity, uid, &ground);
            let is_told = group.is_workload() || group.anomalies("c", identity).count() > 0;
            assert!(is_told, "seed {seed}: {identity:?}");
            let counted = record.pods.total + record.pods.terminating;
            let proxies: u32 = record.proxies.iter().map(|it| it.count).sum();
            assert_eq!(proxies, record.pods.meshed, "seed {seed}: {identity:?}");
            counted
        });
        let told: u32 = told.sum();
        let own = folded.components.values().flatten();
        let own: u32 = own.map(|it| it.count).sum();
        assert_eq!(usize::try_from(listed).unwrap(), size, "seed {seed}");
        assert_eq!(
            listed,
            told + own + ended + leaving + outside,
            "seed {seed}: {folded:?}"
        );
    }
}
