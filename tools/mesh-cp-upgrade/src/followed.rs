//! The objects of a watched kind, kept up to date.

use std::collections::BTreeMap;

use mesh_cluster::Change;
use mesh_cluster::object::Object;

/// The objects of a kind as they are now.
#[derive(Debug)]
pub(crate) struct Followed<K> {
    current: BTreeMap<String, K>,
    /// A list that is not whole yet replaces nothing.
    coming: Option<BTreeMap<String, K>>,
    listed: bool,
}

impl<K: Object> Followed<K> {
    pub(crate) fn apply(&mut self, change: Change<K>) {
        match change {
            Change::Began => self.coming = Some(BTreeMap::new()),
            Change::Seen(object) => {
                let coming = self.coming.get_or_insert_with(BTreeMap::new);
                coming.insert(object.meta().uid.clone(), object);
            }
            Change::Listed { .. } => {
                self.current = self.coming.take().unwrap_or_default();
                self.listed = true;
            }
            Change::Applied(object) => {
                self.current.insert(object.meta().uid.clone(), object);
            }
            Change::Deleted(object) => {
                self.current.remove(&object.meta().uid);
            }
        }
    }

    /// Whether there was a whole list.
    pub(crate) fn is_known(&self) -> bool {
        self.listed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &K> {
        self.current.values()
    }

    pub(crate) fn named(&self, name: &str) -> Option<&K> {
        self.iter().find(|object| object.meta().name == name)
    }
}

impl<K> Default for Followed<K> {
    fn default() -> Self {
        Self {
            current: BTreeMap::new(),
            coming: None,
            listed: false,
        }
    }
}
