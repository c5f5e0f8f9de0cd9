//! The objects, their versions, and what happened to them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    defaults, fill,
    object::{self, text},
    refusal::Refusal,
    resource::{Key, NAMESPACES, Resource},
};

/// As much as a watch may be behind.
const HISTORY: usize = 50_000;
/// As many lists as may be half read.
const LISTS: usize = 4_096;

pub(crate) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    owned: HashMap<String, BTreeSet<Key>>,
    version: u64,
    /// Every later version is in the history.
    oldest: u64,
    history: VecDeque<Arc<Event>>,
    listeners: Vec<Listener>,
    rests: BTreeMap<u64, Rest>,
    next_rest: u64,
}

/// A change of one object.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Value>>,
    /// None at its end.
    pub(crate) after: Option<Arc<Value>>,
}

struct Listener {
    /// None for all of them.
    resource: Option<&'static Resource>,
    events: UnboundedSender<Arc<Event>>,
}

/// What is left of a list that was read in part, as it was when it began.
#[derive(Clone)]
pub(crate) struct Rest {
    pub(crate) version: u64,
    pub(crate) items: Arc<Vec<Arc<Value>>>,
    pub(crate) from: usize,
}

/// Which part of an object a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the status.
    Main,
    Status,
    /// Both, as the servers' own parts may.
    Whole,
}

// === impl Store ===

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            owned: HashMap::new(),
            version: 1,
            oldest: 1,
            history: VecDeque::new(),
            listeners: Vec::new(),
            rests: BTreeMap::new(),
            next_rest: 0,
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// The objects of a kind, in one namespace or, without one, in all, in their order.
    pub(crate) fn all(
        &self,
        resource: &'static Resource,
        namespace: &str,
    ) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let start = Bound::Included(Key::first(resource, namespace));
        let range = self.objects.range((start, Bound::Unbounded));
        let namespace = namespace.to_owned();
        range.take_while(move |(key, _)| {
            key.resource == resource && (namespace.is_empty() || key.namespace() == namespace)
        })
    }

    /// What an object owns.
    pub(crate) fn owned(&self, uid: &str) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let keys = self.owned.get(uid).into_iter().flatten();
        keys.filter_map(|key| self.objects.get_key_value(key))
    }

    /// What an object owns of one kind.
    pub(crate) fn owned_of(&self, uid: &str, resource: &'static Resource) -> Vec<Arc<Value>> {
        let owned = self.owned(uid).filter(|(key, _)| key.resource == resource);
        owned.map(|(_, object)| Arc::clone(object)).collect()
    }

    pub(crate) fn create(
        &mut self,
        key: &Key,
        object: Value,
        dry_run: bool,
    ) -> Result<Arc<Value>, Refusal> {
        if self.objects.contains_key(key) {
            return Err(Refusal::exists(key));
        }
        let home = Key::new(&NAMESPACES, "", key.namespace());
        if key.resource.is_namespaced() && !self.objects.contains_key(&home) {
            return Err(Refusal::not_found(&home));
        }
        if dry_run {
            return Ok(Arc::new(object));
        }
        Ok(self.put(key, object))
    }

    /// Changes an object as the API does: what is the server's own stays, and without a difference
    /// nothing happens.
    pub(crate) fn update(
        &mut self,
        key: &Key,
        part: Part,
        dry_run: bool,
        change: impl FnOnce(&mut Value) -> Result<(), Refusal>,
    ) -> Result<Arc<Value>, Refusal> {
        let old = self
            .objects
            .get(key)
            .ok_or_else(|| Refusal::not_found(key))?;
        let old = Arc::clone(old);
        let mut new = Value::clone(&old);
        change(&mut new)?;
        check_preconditions(key, &old, &new["metadata"])?;
        if part == Part::Status {
            let status = new["status"].take();
            new = Value::clone(&old);
            new["status"] = status;
        }
        if part == Part::Main && key.resource.has_status() {
            keep(&mut new, &old, "status");
        }
        keep_own(&mut new, &old);
        defaults::fill(key.resource, &mut new);
        fill::check(key, &new, Some(&old))?;
        if fill::is_new_generation(key.resource, part, &new, &old) {
            let generation = object::count(&old, "/metadata/generation");
            new["metadata"]["generation"] = (generation + 1).into();
        }
        if new == *old {
            return Ok(old);
        }
        if dry_run {
            return Ok(Arc::new(new));
        }
        Ok(self.put(key, new))
    }

    fn put(&mut self, key: &Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        for owner in object::items(&object, "/metadata/ownerReferences") {
            let owned = self.owned.entry(text(owner, "/uid").to_owned());
            owned.or_default().insert(key.clone());
        }
        self.publish(key, before, Some(Arc::clone(&object)));
        object
    }

    /// Marks a pod that is to end.
    pub(crate) fn mark_deleted(&mut self, key: &Key, grace: i64, time: Value) -> Arc<Value> {
        let mut object = self
            .objects
            .get(key)
            .map_or(Value::Null, |object| Value::clone(object));
        object["metadata"]["deletionTimestamp"] = time;
        object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        self.put(key, object)
    }

    /// Ends an object; its last state has the version of its end.
    pub(crate) fn remove(&mut self, key: &Key) {
        let Some(last) = self.objects.remove(key) else {
            return;
        };
        for owner in object::items(&last, "/metadata/ownerReferences") {
            if let Some(owned) = self.owned.get_mut(text(owner, "/uid")) {
                owned.remove(key);
            }
        }
        self.version += 1;
        self.publish(key, Some(last), None);
    }

    fn publish(&mut self, key: &Key, before: Option<Arc<Value>>, after: Option<Arc<Value>>) {
        let (version, key) = (self.version, key.clone());
        let event = Arc::new(Event {
            version,
            key,
            before,
            after,
        });
        self.listeners.retain(|listener| {
            let wanted = listener
                .resource
                .is_none_or(|resource| resource == event.key.resource);
            if wanted {
                listener.events.send(Arc::clone(&event)).is_ok()
            } else {
                !listener.events.is_closed()
            }
        });
        self.history.push_back(event);
        if self.history.len() > HISTORY
            && let Some(gone) = self.history.pop_front()
        {
            self.oldest = gone.version;
        }
    }

    /// Tells every change from now on.
    pub(crate) fn listen(
        &mut self,
        resource: Option<&'static Resource>,
    ) -> UnboundedReceiver<Arc<Event>> {
        let (events, receiver) = unbounded_channel();
        self.listeners.push(Listener { resource, events });
        receiver
    }

    /// What happened after a version, if that is still known.
    pub(crate) fn since(&self, version: u64) -> Result<Vec<Arc<Event>>, Refusal> {
        if version < self.oldest {
            let message = format!("too old resource version: {version} ({})", self.oldest);
            return Err(Refusal::expired(&message));
        }
        let later = self
            .history
            .partition_point(|event| event.version <= version);
        Ok(self.history.range(later..).cloned().collect())
    }

    /// Forgets what happened; those who are watching are told on.
    pub(crate) fn compact(&mut self) {
        self.history.clear();
        self.oldest = self.version;
        self.expire_lists();
    }

    pub(crate) fn expire_lists(&mut self) {
        self.rests.clear();
    }

    /// Keeps the rest of a list for the one who comes back with the token.
    pub(crate) fn keep_rest(&mut self, rest: Rest) -> String {
        self.next_rest += 1;
        self.rests.insert(self.next_rest, rest);
        while self.rests.len() > LISTS {
            self.rests.pop_first();
        }
        self.next_rest.to_string()
    }

    pub(crate) fn rest(&self, token: &str) -> Result<Rest, Refusal> {
        let rest = token
            .parse()
            .ok()
            .and_then(|number: u64| self.rests.get(&number));
        let message =
            "The provided continue parameter is too old to display a consistent list result.";
        rest.cloned().ok_or_else(|| Refusal::expired(message))
    }
}

/// A version or a uid in what is written is a condition.
fn check_preconditions(key: &Key, old: &Value, meta: &Value) -> Result<(), Refusal> {
    let differs = |field: &str| {
        let wanted = meta[field].as_str().unwrap_or_default();
        !wanted.is_empty() && wanted != old["metadata"][field]
    };
    if differs("uid") {
        return Err(Refusal::invalid(key, "metadata.uid: field is immutable"));
    }
    if differs("resourceVersion") {
        return Err(Refusal::outdated(key));
    }
    if differs("name") || differs("namespace") {
        let message = "the name or namespace of the object does not match the one of the request";
        return Err(Refusal::bad_request(message));
    }
    Ok(())
}

fn keep(new: &mut Value, old: &Value, field: &str) {
    match (old.get(field), new.as_object_mut()) {
        (Some(kept), Some(new)) => drop(new.insert(field.to_owned(), kept.clone())),
        (None, Some(new)) => drop(new.remove(field)),
        (_, None) => {}
    }
}

/// What no client sets.
fn keep_own(new: &mut Value, old: &Value) {
    for field in ["kind", "apiVersion"] {
        keep(new, old, field);
    }
    if !new["metadata"].is_object() {
        new["metadata"] = json!({});
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        keep(&mut new["metadata"], &old["metadata"], field);
    }
}
