//! The controllers. Each makes its wishes from an object and the objects that it owns. One loop
//! asks all controllers after every change and carries out their wishes.

mod deployment;
mod pods;
mod wish;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use serde_json::Value;

use self::wish::{Wish, delete, status};
use crate::{
    budget,
    kind::{Key, Kind},
    lab::Lab,
    object::{controller, is_going, uid},
    store::Store,
    write,
};

/// How soon a failed wish is tried again, for example because a webhook was down.
const TICK: Duration = Duration::from_millis(500);

/// Runs the controllers for as long as the lab does.
pub(crate) async fn run(lab: Arc<Lab>) {
    let (mut changes, mut stalled) = (lab.changed.subscribe(), lab.stalled.subscribe());
    loop {
        // Cannot fail: the lab keeps the sender alive.
        drop(stalled.wait_for(|stalled| !stalled).await);
        changes.borrow_and_update();
        let fresh = lab.write(false, |store| Ok(settle(store)));
        let fresh = fresh.unwrap_or_default();
        let creates = fresh
            .iter()
            .map(|(key, object)| write::create(&lab, key, object, false));
        join_all(creates).await;
        // Failed wishes are made again.
        let homes = fresh.into_iter().map(|(key, _)| key.namespace);
        lab.store().stirred.extend(homes);
        // Continue after a change and after the timeout alike.
        drop(tokio::time::timeout(TICK, changes.changed()).await);
    }
}

/// Carries out all wishes that need no webhook, until none is left; returns the objects to create.
fn settle(store: &mut Store) -> Vec<(Key, Value)> {
    let mut creates = Vec::new();
    while let Some(namespace) = store.stirred.pop_first() {
        let (before, mut wished) = (store.version, Vec::new());
        for wish in plan(store, &namespace) {
            match wish {
                Wish::Create(key, object) => wished.push((key, object)),
                Wish::Merge(key, patch) => drop(store.update(&key, |object| {
                    json_patch::merge(object, &patch);
                    Ok(())
                })),
                Wish::Delete(key, options) => drop(write::delete(store, &key, &options)),
            }
        }
        // After a change, the creates are wished again when the namespace is looked at next.
        if store.version == before {
            creates.append(&mut wished);
        }
    }
    creates
}

fn plan(store: &Store, namespace: &str) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for kind in Kind::all().filter(|kind| kind.is_namespaced()) {
        let objects = store.all(kind, namespace);
        for object in objects.filter(|object| !is_going(object)) {
            let owner = controller(object);
            let has_owner = |(uid, key): (&str, Key)| {
                store.get(&key).is_ok_and(|owner| self::uid(owner) == uid)
            };
            wishes.extend(match kind.plural() {
                _ if !owner.is_none_or(has_owner) => vec![delete(object)],
                "deployments" => deployment::plan(store, object),
                "replicasets" => pods::replica_set(store, object),
                "statefulsets" => pods::stateful_set(store, object),
                "daemonsets" => pods::daemon_set(store, object),
                "jobs" => pods::job(store, object),
                "services" => pods::endpoints(store, object),
                "pods" => pods::bind(store, object),
                "poddisruptionbudgets" => status(object, budget::status(store, object))
                    .into_iter()
                    .collect(),
                _ => Vec::new(),
            });
        }
    }
    wishes
}
