//! Keeps the objects of a watched kind up to date.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::object::Object;
use crate::wire::watch::Change;

/// An item of a [`Store`]: an object, or what is needed of one.
pub trait Stored {
    /// The key that identifies an item.
    type Key: Ord + Clone;
    /// Returns the item's key.
    fn key(&self) -> Self::Key;
    /// Returns the item's resourceVersion; empty if it is not kept.
    fn resource_version(&self) -> &str;
}

impl<K: Object> Stored for K {
    type Key = (String, String);

    fn key(&self) -> Self::Key {
        let meta = self.meta();
        (meta.namespace.clone(), meta.name.clone())
    }

    fn resource_version(&self) -> &str {
        &self.meta().resource_version
    }
}

/// The current objects of a watched kind.
///
/// A new list is collected separately and replaces the known objects when it is complete, so a list
/// that starts again needs no undo.
#[derive(Clone, Debug)]
pub struct Store<T: Stored> {
    current: BTreeMap<T::Key, T>,
    coming: Option<BTreeMap<T::Key, T>>,
    listed: bool,
}

impl<T: Stored> Store<T> {
    /// Applies an event of a watch.
    pub fn apply(&mut self, change: Change<T>) {
        match change {
            Change::Began => self.coming = Some(BTreeMap::new()),
            Change::Seen(object) => {
                let coming = self.coming.get_or_insert_default();
                coming.insert(object.key(), object);
            }
            Change::Listed { .. } => self.replace(),
            Change::Applied(object) => self.put(object),
            Change::Deleted(object) => {
                self.current.remove(&object.key());
            }
        }
    }

    /// Adds an object from a watch or from another read, unless a newer version is known.
    pub fn put(&mut self, object: T) {
        let key = object.key();
        let known = self.current.get(&key);
        if !known.is_some_and(|known| is_older(&object, known)) {
            self.current.insert(key, object);
        }
    }

    // The answer to a write may be newer than the list that was being read.
    fn replace(&mut self) {
        let mut known = std::mem::take(&mut self.current);
        for (key, object) in self.coming.take().into_iter().flatten() {
            let known = known.remove(&key).filter(|known| is_older(&object, known));
            self.current.insert(key, known.unwrap_or(object));
        }
        self.listed = true;
    }

    /// Returns true if a list was completed and no other has begun since.
    pub fn is_whole(&self) -> bool {
        self.listed && self.coming.is_none()
    }

    /// Returns true if a list was completed once.
    pub fn is_known(&self) -> bool {
        self.listed
    }

    /// Returns the object with this key.
    pub fn get(&self, key: &T::Key) -> Option<&T> {
        self.current.get(key)
    }

    /// Returns all objects, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.current.values()
    }

    /// Returns the objects from this key on.
    pub fn from(&self, key: T::Key) -> impl Iterator<Item = &T> + Clone {
        let range = (Bound::Included(key), Bound::Unbounded);
        self.current.range(range).map(|(_, object)| object)
    }
}

impl<T: Stored> Default for Store<T> {
    fn default() -> Self {
        Self {
            current: BTreeMap::new(),
            coming: None,
            listed: false,
        }
    }
}

// resourceVersions are numbers on every known API server. If they are not, the later observation
// wins.
fn is_older<T: Stored>(object: &T, known: &T) -> bool {
    let number = |object: &T| object.resource_version().parse::<u64>().ok();
    match (number(object), number(known)) {
        (Some(object), Some(known)) => object < known,
        (None, _) | (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ConfigMap;

    fn object(name: &str, version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.meta.name = name.to_owned();
        object.meta.resource_version = version.to_owned();
        object
    }

    fn listed<T>() -> Change<T> {
        Change::Listed {
            resource_version: "9".to_owned(),
        }
    }

    fn shown(store: &Store<ConfigMap>) -> Vec<(&str, &str)> {
        let objects = store.iter();
        objects
            .map(|it| (it.meta.name.as_str(), it.meta.resource_version.as_str()))
            .collect()
    }

    #[test]
    fn a_list_replaces_the_objects_once_it_is_complete() {
        let mut store = Store::default();
        store.apply(Change::Began);
        store.apply(Change::Seen(object("a", "1")));
        assert_eq!((shown(&store), store.is_known()), (vec![], false));
        // The list starts again, now without `a`.
        store.apply(Change::Began);
        store.apply(Change::Seen(object("b", "2")));
        store.apply(listed());
        assert_eq!(shown(&store), [("b", "2")]);
        assert!(store.is_whole());
        store.apply(Change::Began);
        assert_eq!(shown(&store), [("b", "2")]);
        assert!(!store.is_whole() && store.is_known());
        store.apply(listed());
        assert_eq!(shown(&store), []);
    }

    #[test]
    fn what_is_known_is_never_replaced_by_an_older_version() {
        let mut store = Store::default();
        store.apply(Change::Applied(object("a", "10")));
        store.put(object("a", "9"));
        assert_eq!(shown(&store), [("a", "10")]);
        store.apply(Change::Began);
        store.apply(Change::Seen(object("a", "8")));
        store.put(object("a", "11"));
        store.apply(listed());
        assert_eq!(shown(&store), [("a", "11")]);
        store.apply(Change::Applied(object("a", "12")));
        store.apply(Change::Deleted(object("a", "13")));
        assert_eq!(shown(&store), []);
    }
}
