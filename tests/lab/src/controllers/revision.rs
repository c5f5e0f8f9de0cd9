//! The templates that a StatefulSet or a DaemonSet has had, kept as ControllerRevisions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Write, reference};
use crate::{
    object::{count, hash, name, namespace, uid},
    resource::CONTROLLER_REVISIONS,
    store::Store,
};

/// The label of a pod that names its template.
pub(super) const LABEL: &str = "controller-revision-hash";

/// The templates of one owner.
pub(super) struct Revisions {
    known: Vec<Arc<Value>>,
    /// The name of the template of now.
    pub(super) update: String,
}

impl Revisions {
    pub(super) fn of(store: &Store, owner: &Value) -> Self {
        let update = format!("{}-{}", name(owner), hash(&owner["spec"]["template"]));
        Self {
            known: store.owned_of(uid(owner), &CONTROLLER_REVISIONS),
            update,
        }
    }

    /// What keeps the template of now, if it is not kept yet.
    pub(super) fn keep(&self, owner: &Value) -> Option<Write> {
        if self.known.iter().any(|known| name(known) == self.update) {
            return None;
        }
        let last = self
            .known
            .iter()
            .map(|known| count(known, "/revision"))
            .max();
        let metadata = json!({ "name": self.update, "namespace": namespace(owner), "ownerReferences": reference(owner) });
        let data = json!({ "spec": { "template": owner["spec"]["template"] } });
        let revision = last.unwrap_or_default() + 1;
        Some(Write::Create(
            &CONTROLLER_REVISIONS,
            json!({ "metadata": metadata, "data": data, "revision": revision }),
        ))
    }

    /// The template of a name; that of now where it is not kept.
    pub(super) fn template<'a>(&'a self, owner: &'a Value, revision: &str) -> &'a Value {
        let known = self
            .known
            .iter()
            .find(|known| name(known) == revision && revision != self.update);
        known.map_or(
            &owner["spec"]["template"],
            |known| &known["data"]["spec"]["template"],
        )
    }
}
