//! The objects, their versions, and the history of changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    fresh,
    kind::{Key, Kind},
    refusal::Refusal,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    pub(crate) version: u64,
    /// All versions after this one are in the history.
    oldest: u64,
    history: Vec<Arc<Event>>,
    /// The namespaces that the controllers must look at.
    pub(crate) stirred: BTreeSet<String>,
    /// The rests of lists that were read in part, by continue token.
    pub(crate) rests: BTreeMap<String, Rest>,
}

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Value>>,
    /// The object after the change; `None` after a delete.
    pub(crate) after: Option<Arc<Value>>,
}

/// The rest of a list that was read in part, as it was at its beginning.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    pub(crate) version: u64,
    pub(crate) items: Vec<Arc<Value>>,
}

// === impl Store ===

impl Store {
    pub(crate) fn get(&self, key: &Key) -> Result<&Arc<Value>, Refusal> {
        self.objects.get(key).ok_or_else(|| Refusal::not_found(key))
    }

    /// Returns the objects of a kind in order, in one namespace or, if it is empty, in all.
    pub(crate) fn all(&self, kind: Kind, namespace: &str) -> impl Iterator<Item = &Arc<Value>> {
        let range = self.objects.range(Key::new(kind, namespace, "")..);
        let namespace = namespace.to_owned();
        let range = range.take_while(move |(key, _)| {
            key.kind == kind && (namespace.is_empty() || key.namespace == namespace)
        });
        range.map(|(_, object)| object)
    }

    pub(crate) fn create(&mut self, key: &Key, object: Value) -> Result<Arc<Value>, Refusal> {
        if self.objects.contains_key(key) {
            let message = format!("{key} already exists");
            return Err(Refusal::new(409, "AlreadyExists", message));
        }
        if key.kind.is_namespaced() {
            self.get(&Key::new(Kind::Namespace, "", &key.namespace))?;
        }
        Ok(self.put(key, object))
    }

    /// Changes an object; does nothing if nothing differs.
    pub(crate) fn update(
        &mut self,
        key: &Key,
        change: impl FnOnce(&mut Value) -> Result<(), Refusal>,
    ) -> Result<Arc<Value>, Refusal> {
        let old = Arc::clone(self.get(key)?);
        let mut new = Value::clone(&old);
        change(&mut new)?;
        check(key, &old, &new["metadata"])?;
        let new = fresh::changed(key, &old, new)?;
        if new == *old {
            return Ok(old);
        }
        Ok(self.put(key, new))
    }

    pub(crate) fn put(&mut self, key: &Key, mut object: Value) -> Arc<Value> {
        object["metadata"]["resourceVersion"] = (self.version + 1).to_string().into();
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        self.note(key, before, Some(Arc::clone(&object)));
        object
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        let last = self.objects.remove(key);
        self.note(key, last, None);
    }

    fn note(&mut self, key: &Key, before: Option<Arc<Value>>, after: Option<Arc<Value>>) {
        self.version += 1;
        if key.kind.is_namespaced() {
            self.stirred.insert(key.namespace.clone());
        } else if key.kind == Kind::Node {
            let homes = self.objects.keys().map(|key| key.namespace.clone());
            self.stirred.extend(homes.filter(|home| !home.is_empty()));
        }
        self.history.push(Arc::new(Event {
            version: self.version,
            key: key.clone(),
            before,
            after,
        }));
    }

    /// Returns the changes after a version; fails if the history no longer has them.
    pub(crate) fn since(&self, version: u64) -> Result<Vec<Arc<Event>>, Refusal> {
        if version < self.oldest {
            let message = format!("too old resource version: {version} ({})", self.oldest);
            return Err(Refusal::new(410, "Expired", message));
        }
        let later = self
            .history
            .partition_point(|event| event.version <= version);
        Ok(self.history[later..].to_vec())
    }

    /// Forgets the history, and the lists that were read in part.
    pub(crate) fn compact(&mut self) {
        self.history.clear();
        self.oldest = self.version;
        self.rests.clear();
    }
}

/// Checks the preconditions: a version or uid in the client's object must match.
pub(crate) fn check(key: &Key, object: &Value, wanted: &Value) -> Result<(), Refusal> {
    for field in ["uid", "resourceVersion"] {
        let (found, wanted) = (&object["metadata"][field], &wanted[field]);
        if wanted.is_string() && wanted != "" && wanted != found {
            let why = format!("the {field} is {found} and not {wanted}");
            let message = format!("Operation cannot be fulfilled on {key}: {why}");
            return Err(Refusal::new(409, "Conflict", message));
        }
    }
    Ok(())
}
