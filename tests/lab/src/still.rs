//! Objects that were made elsewhere: a lab that nobody changes shows them as they are.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    kind::{Key, Kind},
    lab::Lab,
    object::{name, namespace, text},
};

impl Lab {
    /// Puts objects into the store as they are, with their uids and their statuses. No webhook sees
    /// them and no controller looks at them, until another write to their namespace.
    ///
    /// # Errors
    /// The lab has no such kind.
    pub fn keep(&self, objects: &[Value]) -> Result<(), String> {
        let mut store = self.store();
        for object in objects {
            let (kind, version) = (text(object, "/kind"), text(object, "/apiVersion"));
            let mut known = Kind::all().filter(|it| it.name() == kind);
            let known = known.find(|it| it.api_version() == version);
            let known = known.ok_or_else(|| format!("the lab has no {kind} of {version}"))?;
            let key = Key::new(known, namespace(object), name(object));
            store.put(&key, object.clone());
        }
        store.stirred.clear();
        Ok(())
    }

    /// Returns all objects as they are.
    pub fn objects(&self) -> Vec<Arc<Value>> {
        let store = self.store();
        let all = Kind::all().flat_map(|kind| store.all(kind, ""));
        all.cloned().collect()
    }
}
