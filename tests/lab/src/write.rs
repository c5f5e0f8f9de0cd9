//! Creates, changes and deletes objects.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    admit::admit,
    budget, fresh,
    kind::{Key, Kind},
    lab::Lab,
    object::{count, is_going, is_over, now, stamp, text},
    patch::apply_json,
    refusal::Refusal,
    store::{Store, check},
};

/// Creates an object after the webhooks have seen it.
pub(crate) async fn create(
    lab: &Lab,
    place: &Key,
    body: &Value,
    dry_run: bool,
) -> Result<Arc<Value>, Refusal> {
    let (key, object) = fresh::object(place.kind, &place.namespace, body)?;
    let object = admit(lab, &key, object, dry_run).await?;
    lab.write(dry_run, |store| store.create(&key, object))
}

/// Changes an object, or only its status, by the given form of patch. Server-side apply creates a
/// missing object; the returned code shows it.
pub(crate) async fn patch(
    lab: &Lab,
    key: &Key,
    subresource: &str,
    (form, mut patch): (&str, Value),
    dry_run: bool,
) -> Result<(u16, Arc<Value>), Refusal> {
    let applies = form == "application/apply-patch+yaml";
    if applies && lab.store().get(key).is_err() {
        patch["metadata"]["name"] = key.name.as_str().into();
        return Ok((201, create(lab, key, &patch, dry_run).await?));
    }
    let change = |object: &mut Value| {
        let mut new = object.clone();
        match form {
            "application/json-patch+json" => apply_json(&mut new, patch)?,
            "application/json" => new = patch,
            // Fields that a manager no longer applies stay, because the lab keeps no field
            // managers.
            _ if applies || form == "application/merge-patch+json" => {
                json_patch::merge(&mut new, &patch);
            }
            _ => return Err(Refusal::unsupported(format!("patches of type {form:?}"))),
        }
        if subresource.is_empty() {
            std::mem::swap(object, &mut new);
        }
        object["status"] = new["status"].take();
        Ok(())
    };
    let patched = lab.write(dry_run, |store| store.update(key, change));
    Ok((200, patched?))
}

/// Evicts a pod, if its budget has room.
pub(crate) fn evict(store: &mut Store, key: &Key, options: &Value) -> Result<Arc<Value>, Refusal> {
    let pod = store.get(key)?;
    check(key, pod, &options["preconditions"])?;
    budget::allows(store, pod)?;
    delete(store, key, options)?;
    Ok(success())
}

/// Deletes an object; a running pod gets its grace period.
pub(crate) fn delete(store: &mut Store, key: &Key, options: &Value) -> Result<Arc<Value>, Refusal> {
    let propagation = text(options, "/propagationPolicy");
    if key.kind == Kind::Namespace || !matches!(propagation, "" | "Background") {
        let what = format!("the {propagation} end of {key}");
        return Err(Refusal::unsupported(what));
    }
    let object = Arc::clone(store.get(key)?);
    check(key, &object, &options["preconditions"])?;
    let usual = count(&object, "/spec/terminationGracePeriodSeconds");
    let grace = options["gracePeriodSeconds"].as_i64().unwrap_or(usual);
    let runs = !is_over(&object) && !text(&object, "/spec/nodeName").is_empty();
    if key.kind != Kind::Pod || !runs || grace == 0 {
        store.remove(key);
        return Ok(success());
    }
    if is_going(&object) {
        return Ok(object);
    }
    let mut going = Value::clone(&object);
    going["metadata"]["deletionTimestamp"] = stamp(
        now()
            .saturating_add(SignedDuration::from_secs(grace))
            .unwrap_or(Timestamp::MAX),
    );
    going["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    Ok(store.put(key, going))
}

fn success() -> Arc<Value> {
    Arc::new(json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
}
