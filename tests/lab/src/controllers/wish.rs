//! What a controller wants done, and the objects that it looks at for it.

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::{
    kind::{Key, Kind},
    object::{controller, name, namespace, uid},
    store::Store,
};

/// A change that a controller wants.
pub(super) enum Wish {
    Create(Key, Value),
    /// Merges a patch into the whole object.
    Merge(Key, Value),
    Delete(Key, Value),
}

/// Returns the objects of one kind that an object owns, sorted by name.
pub(super) fn owned<'a>(store: &'a Store, owner: &Value, kind: Kind) -> Vec<&'a Value> {
    let all = store.all(kind, namespace(owner)).map(|object| &**object);
    let is_owned = |object: &&Value| controller(object).is_some_and(|(of, _)| of == uid(owner));
    all.filter(is_owned).collect()
}

fn key(object: &Value) -> Key {
    let kind = Kind::deserialize(&object["kind"]).expect("what is stored is of a kind");
    Key::new(kind, namespace(object), name(object))
}

pub(super) fn delete(object: &Value) -> Wish {
    let options = json!({ "preconditions": { "uid": uid(object) } });
    Wish::Delete(key(object), options)
}

/// Sets a field of an object, if it differs.
pub(super) fn set(object: &Value, field: &str, wanted: &Value) -> Option<Wish> {
    let (known, mut new) = (&object[field], object[field].clone());
    json_patch::merge(&mut new, wanted);
    (*known != new).then(|| Wish::Merge(key(object), json!({ field: wanted })))
}

pub(super) fn status(object: &Value, mut status: Value) -> Option<Wish> {
    status["observedGeneration"] = object["metadata"]["generation"].clone();
    set(object, "status", &status)
}

/// Creates an object with a controlling owner.
pub(super) fn create(kind: Kind, owner: &Value, name: &str, mut object: Value) -> Wish {
    let reference = json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": self::name(owner),
        "uid": uid(owner), "controller": true, "blockOwnerDeletion": true,
    });
    object["metadata"]["name"] = name.into();
    object["metadata"]["ownerReferences"] = json!([reference]);
    Wish::Create(Key::new(kind, namespace(owner), name), object)
}
