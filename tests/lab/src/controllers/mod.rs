//! The controllers: each decides on what it sees of its object and of what that owns; one loop
//! asks them whenever something they look at has changed, and performs what they decide.

mod daemonset;
mod deployment;
mod job;
mod progress;
mod replicaset;
mod revision;
mod schedule;
mod service;
mod statefulset;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

use crate::{
    admit::Origin,
    budget,
    core::Core,
    object::{self, controller, is_going, name, namespace, text, uid},
    refusal::Refusal,
    resource::{BUDGETS, DAEMON_SETS, Key, NODES, PODS, Resource, SERVICE_ACCOUNTS, SERVICES},
    selector::Selector,
    store::{Event, Part, Store},
    write::{self, Deletion},
};

/// The pause after a pod that could not be created.
const RETRY: Duration = Duration::from_millis(500);

/// What a controller wants to happen.
#[derive(Debug, Default)]
struct Plan {
    writes: Vec<Write>,
    /// When to ask it again though nothing changes.
    again: Option<Duration>,
}

#[derive(Debug)]
enum Write {
    Create(&'static Resource, Value),
    /// Merges into the whole object.
    Merge(Key, Value),
    Status(Key, Value),
    Delete(Key, String),
}

/// Runs every controller for as long as the lab does.
pub(crate) async fn run(core: Arc<Core>, mut events: UnboundedReceiver<Arc<Event>>) {
    let (wake, mut woken) = unbounded_channel();
    // By key, whether something has changed since its controller was asked.
    let mut busy: HashMap<Key, bool> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let keys = tokio::select! {
            Some(event) = events.recv() => {
                let mut store = core.store();
                collect(&mut store, &event);
                touched(&store, &event)
            }
            Some(key) = woken.recv() => vec![key],
            Some(Ok(key)) = tasks.join_next(), if !tasks.is_empty() => {
                let changed = busy.remove(&key).unwrap_or_default();
                if changed { vec![key] } else { Vec::new() }
            }
        };
        for key in keys {
            if let Some(changed) = busy.get_mut(&key) {
                *changed = true;
            } else {
                busy.insert(key.clone(), false);
                tasks.spawn(reconcile(Arc::clone(&core), wake.clone(), key));
            }
        }
    }
}

async fn reconcile(core: Arc<Core>, wake: UnboundedSender<Key>, key: Key) -> Key {
    let plan = plan(&core.store(), &key, object::now());
    let mut again = plan.again;
    let writes = plan.writes.into_iter().map(|write| perform(&core, write));
    let failures: Vec<Refusal> = join_all(writes)
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    // A conflict means that something has changed, which is told anyway.
    let refused = failures
        .iter()
        .find(|refusal| !matches!(refusal.code, 404 | 409));
    if let Some(refusal) = refused {
        replicaset::note_failure(&mut core.store(), &key, &refusal.message);
        again = Some(RETRY);
    }
    if let Some(pause) = again {
        let key = key.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            // Nobody is left to ask when the lab has ended.
            drop(wake.send(key));
        });
    }
    key
}

async fn perform(core: &Core, write: Write) -> Result<(), Refusal> {
    match write {
        Write::Create(resource, object) => {
            let user = json!({ "username": "system:kube-controller-manager", "groups": ["system:authenticated"] });
            let origin = Origin {
                user: &user,
                dry_run: false,
            };
            let home = namespace(&object).to_owned();
            write::create(core, resource, &home, &object, origin)
                .await
                .map(drop)
        }
        Write::Merge(key, patch) => {
            let merge = |object: &mut Value| {
                json_patch::merge(object, &patch);
                Ok(())
            };
            core.store()
                .update(&key, Part::Whole, false, merge)
                .map(drop)
        }
        Write::Status(key, status) => {
            let set = |object: &mut Value| {
                object["status"] = status;
                Ok(())
            };
            core.store()
                .update(&key, Part::Status, false, set)
                .map(drop)
        }
        Write::Delete(key, uid) => {
            write::end(&mut core.store(), &key, &Deletion::of(&uid)).map(drop)
        }
    }
}

/// Ends what has no owner any more.
fn collect(store: &mut Store, event: &Event) {
    let orphans: Vec<(Key, String)> = match (&event.before, &event.after) {
        (Some(gone), None) => {
            let owned = store.owned(uid(gone));
            owned
                .map(|(key, object)| (key.clone(), uid(object).to_owned()))
                .collect()
        }
        (None, Some(fresh)) if owner(store, fresh).is_none() && controller(fresh).is_some() => {
            vec![(event.key.clone(), uid(fresh).to_owned())]
        }
        (_, _) => Vec::new(),
    };
    for (key, uid) in orphans {
        // What is gone already needs no end.
        drop(write::end(store, &key, &Deletion::of(&uid)));
    }
}

/// The controller of an object, if it is still there.
fn owner(store: &Store, object: &Value) -> Option<Key> {
    let owner = controller(object)?;
    let resource = Resource::of_kind(text(owner, "/apiVersion"), text(owner, "/kind"))?;
    let key = Key::new(resource, namespace(object), text(owner, "/name"));
    store
        .get(&key)
        .filter(|found| uid(found) == text(owner, "/uid"))?;
    Some(key)
}

/// Whose controllers look at what has changed.
fn touched(store: &Store, event: &Event) -> Vec<Key> {
    let mut keys = vec![event.key.clone()];
    let states = [&event.before, &event.after].into_iter().flatten();
    let Some(object) = states.clone().last() else {
        return keys;
    };
    let mut of = Arc::clone(object);
    while let Some(key) = owner(store, &of) {
        of = Arc::clone(store.get(&key).expect("it was found"));
        keys.push(key);
    }
    let home = event.key.namespace();
    if *event.key.resource == PODS {
        for (key, service) in store.all(&SERVICES, home) {
            let selector = Selector::equal(&service["spec"]["selector"]);
            if states.clone().any(|pod| selector.matches(pod)) {
                keys.push(key.clone());
            }
        }
        let covered = |budget: &Value| states.clone().any(|pod| budget::covers(budget, pod));
        keys.extend(
            store
                .all(&BUDGETS, home)
                .filter(|(_, budget)| covered(budget))
                .map(|(key, _)| key.clone()),
        );
        if event.after.is_none() {
            keys.extend(schedule::unbound(store));
        }
    } else if *event.key.resource == NODES {
        keys.extend(store.all(&DAEMON_SETS, "").map(|(key, _)| key.clone()));
        keys.extend(schedule::unbound(store));
    } else if event.key.resource.has_generation() && !event.key.namespace().is_empty() {
        keys.extend(store.all(&BUDGETS, home).map(|(key, _)| key.clone()));
    }
    keys
}

fn plan(store: &Store, key: &Key, now: Timestamp) -> Plan {
    let Some(object) = store.get(key).filter(|object| !is_going(object)) else {
        return Plan::default();
    };
    match key.resource.plural {
        "namespaces" => default_account(store, object),
        "deployments" => deployment::plan(store, key, object, now),
        "replicasets" => replicaset::plan(store, key, object, now),
        "statefulsets" => statefulset::plan(store, key, object, now),
        "daemonsets" => daemonset::plan(store, key, object, now),
        "jobs" => job::plan(store, key, object, now),
        "services" => service::plan(store, object),
        "pods" => schedule::plan(store, key, object, now),
        "poddisruptionbudgets" => {
            Plan::of(Write::Status(key.clone(), budget::status(store, object)))
        }
        _ => Plan::default(),
    }
}

fn default_account(store: &Store, home: &Value) -> Plan {
    let metadata = json!({ "name": "default", "namespace": name(home) });
    if store
        .get(&Key::new(&SERVICE_ACCOUNTS, name(home), "default"))
        .is_some()
    {
        return Plan::default();
    }
    Plan::of(Write::Create(
        &SERVICE_ACCOUNTS,
        json!({ "metadata": metadata }),
    ))
}

/// An object's reference to whom controls it.
fn reference(owner: &Value) -> Value {
    json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name(owner), "uid": uid(owner),
        "controller": true, "blockOwnerDeletion": true,
    }])
}

/// A pod from its owner's template, with more labels than that has.
fn pod(owner: &Value, template: &Value, labels: &[(&str, &str)]) -> Value {
    let mut metadata = template["metadata"].clone();
    metadata["namespace"] = namespace(owner).into();
    metadata["generateName"] = format!("{}-", name(owner)).into();
    metadata["ownerReferences"] = reference(owner);
    for (key, value) in labels {
        metadata["labels"][*key] = (*value).into();
    }
    json!({ "metadata": metadata, "spec": template["spec"] })
}

/// A status, without the counts that are zero.
fn status(counts: &[(&str, i64)]) -> Value {
    let counted = counts.iter().filter(|(_, count)| *count != 0);
    let counted: Map<_, _> = counted
        .map(|(field, count)| ((*field).to_owned(), (*count).into()))
        .collect();
    counted.into()
}

fn number(items: impl IntoIterator) -> i64 {
    i64::try_from(items.into_iter().count()).unwrap_or(i64::MAX)
}

fn delete(pod: &Value) -> Write {
    Write::Delete(
        Key::new(&PODS, namespace(pod), name(pod)),
        uid(pod).to_owned(),
    )
}

/// The shortest wait until one of the pods has been ready for long enough.
fn soonest(pods: &[Arc<Value>], seconds: i64, now: Timestamp) -> Option<Duration> {
    let waits = pods
        .iter()
        .filter_map(|pod| object::available_in(pod, seconds, now));
    waits.filter(|wait| !wait.is_zero()).min()
}

// === impl Plan ===

impl Plan {
    fn of(write: Write) -> Self {
        Self {
            writes: vec![write],
            again: None,
        }
    }
}
