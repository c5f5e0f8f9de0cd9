//! Pods of ReplicaSets whose Deployment is gone, or is another one of the same name.

use super::*;

/// A cluster with a Deployment `api` that was created at noon and selects the pods of app=api.
fn with_api() -> Ground {
    let api = json!({
        "metadata": {"name": "api", "namespace": "shop", "uid": "u-new", "creationTimestamp": "2026-01-02T12:00:00Z"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "api"}}},
        "status": {"readyReplicas": 1},
    });
    let mut ground = ground();
    ground.owners.add(&read::<Deployment>(api), &[]);
    ground
}

/// A pod of the set `SET-6c5f7d9b8c`.
fn of_set(set: &str, created: &str, app: &str) -> Pod {
    let created = format!("2026-01-02T{created}:00Z");
    let changes = json!({"metadata": {"creationTimestamp": created, "labels": {"app": app}}});
    pod(
        "shop",
        "a",
        &owner("ReplicaSet", &format!("{set}-6c5f7d9b8c")),
        changes,
    )
}

/// The sets that were read: SET, whose controller is the Deployment of this uid.
fn sets(set: &str, uid: Option<&str>) -> Parents {
    let parent = uid.map(|uid| {
        read(json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": set, "uid": uid, "controller": true}))
    });
    Parents::from([(format!("u-{set}-6c5f7d9b8c"), parent)])
}

/// Each row: the set, when its pod was created, the pod's app, who controls the set (a uid, nobody, or
/// the set is gone), the workload that the pod counts for, and how that is rolled.
const ROWS: &str = "
    api   12:01  api    gone    Deployment/api             restart
    api   11:00  api    u-new   Deployment/api             restart
    api   11:00  api    u-old   ReplicaSet/api-6c5f7d9b8c  gone
    api   11:00  api    nobody  ReplicaSet/api-6c5f7d9b8c  evict
    api   12:01  other  nobody  ReplicaSet/api-6c5f7d9b8c  evict
    api   12:01  other  gone    ReplicaSet/api-6c5f7d9b8c  gone
    left  12:01  left   u-left  ReplicaSet/left-6c5f7d9b8c gone
    left  12:01  left   nobody  ReplicaSet/left-6c5f7d9b8c evict
    left  12:01  left   gone    ReplicaSet/left-6c5f7d9b8c gone
";

#[test]
fn the_pods_of_a_set_that_was_left_behind_are_those_of_the_set() {
    let ground = with_api();
    for row in ROWS.trim().lines() {
        let [set, created, app, controller, expected, how] =
            <[&str; 6]>::try_from(row.split_whitespace().collect::<Vec<_>>()).unwrap();
        let mut fold = Fold::default();
        fold.add(&of_set(set, created, app), OwnPods::Count, &ground);
        let sets = match controller {
            "gone" => Parents::default(),
            "nobody" => sets(set, None),
            uid => sets(set, Some(uid)),
        };
        fold.adopt(&WorkloadKind::ReplicaSet, &sets, &ground);
        let found = workloads(&fold.finish(&ground), &ground);
        let [found] = &found[..] else {
            panic!("{found:?}")
        };
        let key = format!("{}/{}", found.identity.kind, found.identity.name);
        assert_eq!(key, expected, "{row}");
        let how = match how {
            "restart" => (RollBy::Restart, None),
            "evict" => (RollBy::Evict, None),
            _ => (RollBy::None, Some(Obstacle::Gone)),
        };
        assert_eq!((found.roll.by, found.roll.reason), how, "{row}");
    }
}

#[test]
fn without_the_sets_a_selector_alone_says_whose_a_pod_is() {
    let mut ground = with_api();
    let older = of_set("api", "11:00", "api");
    let found = |ground: &Ground| key_of(&older.meta, ground).identity.name;
    assert_eq!(found(&ground), "api-6c5f7d9b8c");
    ground.lacking.insert("ReplicaSet".to_owned());
    assert_eq!(found(&ground), "api");
}

#[test]
fn an_owner_that_was_created_after_its_list_is_read_and_has_the_pods_of_its_set() {
    let mut ground = ground();
    let mut fold = Fold::default();
    fold.add(&of_set("late", "12:01", "late"), OwnPods::Count, &ground);
    let sets = sets("late", Some("u-late"));
    fold.adopt(&WorkloadKind::ReplicaSet, &sets, &ground);
    let strangers = fold.strangers(&ground.owners);
    let names: Vec<&str> = strangers.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["late"]);
    let late = json!({"metadata": {"name": "late", "namespace": "shop", "uid": "u-late"}});
    ground.owners.add_late(&read::<Deployment>(late), &[]);
    let found = workloads(&fold.finish(&ground), &ground);
    assert_eq!(found[0].identity.kind, WorkloadKind::Deployment);
    assert_eq!(found[0].uid, "u-late");
}
