//! The controllers: each decides on what it sees of its object and of what that owns. One loop asks
//! all of them whenever something has changed, and does what they wish.

mod deployment;
mod pods;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    Lab, budget,
    kind::{Key, Kind},
    object::{controller, is_going, name, namespace, uid},
    refusal::Refusal,
    store::Store,
    write,
};

/// Changes that come within this time are looked at together.
const BATCH: Duration = Duration::from_millis(10);
/// How soon another look is taken though nothing changes: webhooks that were away come back.
const TICK: Duration = Duration::from_millis(500);

enum Wish {
    Create(Key, Value),
    /// Merges into the whole object.
    Merge(Key, Value),
    Delete(Key, Value),
}

/// Runs the controllers for as long as the lab does.
pub(crate) async fn run(lab: Arc<Lab>) {
    let mut changes = lab.changed.subscribe();
    loop {
        changes.borrow_and_update();
        let wishes = plan(&lab.store());
        // What fails now is wished again at the next look.
        join_all(wishes.into_iter().map(|wish| fulfil(&lab, wish))).await;
        tokio::time::sleep(BATCH).await;
        // In vain or not, it is time to look.
        drop(tokio::time::timeout(TICK, changes.changed()).await);
    }
}

async fn fulfil(lab: &Lab, wish: Wish) -> Result<Arc<Value>, Refusal> {
    match wish {
        Wish::Create(key, object) => write::create(lab, &key, &object, false).await,
        Wish::Merge(key, patch) => lab.write(false, |store| {
            store.update(&key, |object| {
                json_patch::merge(object, &patch);
                Ok(())
            })
        }),
        Wish::Delete(key, options) => {
            lab.write(false, |store| write::delete(store, &key, &options))
        }
    }
}

fn plan(store: &Store) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for kind in Kind::all() {
        for object in store.all(kind, "").filter(|object| !is_going(object)) {
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
                "poddisruptionbudgets" => vec![status(object, budget::status(store, object))],
                _ => Vec::new(),
            });
        }
    }
    wishes
}

/// What an object owns of one kind, in the order of the names.
fn owned<'a>(store: &'a Store, owner: &Value, kind: Kind) -> Vec<&'a Value> {
    let all = store.all(kind, namespace(owner)).map(|object| &**object);
    let is_owned = |object: &&Value| controller(object).is_some_and(|(of, _)| of == uid(owner));
    all.filter(is_owned).collect()
}

fn key(object: &Value) -> Key {
    let kind = Kind::all().find(|kind| object["kind"] == kind.name());
    let kind = kind.expect("what is stored is of a kind");
    Key::new(kind, namespace(object), name(object))
}

fn delete(object: &Value) -> Wish {
    let options = json!({ "preconditions": { "uid": uid(object) } });
    Wish::Delete(key(object), options)
}

fn status(object: &Value, mut status: Value) -> Wish {
    status["observedGeneration"] = object["metadata"]["generation"].clone();
    Wish::Merge(key(object), json!({ "status": status }))
}

/// Creates something that an object controls.
fn create(kind: Kind, owner: &Value, name: &str, mut object: Value) -> Wish {
    let reference = json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": self::name(owner),
        "uid": uid(owner), "controller": true, "blockOwnerDeletion": true,
    });
    object["metadata"]["name"] = name.into();
    object["metadata"]["ownerReferences"] = json!([reference]);
    Wish::Create(Key::new(kind, namespace(owner), name), object)
}
