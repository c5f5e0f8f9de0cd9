//! Creating, changing and deleting objects.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::Value;

use crate::{
    admit::{Origin, admit},
    budget,
    call::{Call, Subresource},
    core::Core,
    fill,
    object::{self, count, is_going, is_over, stamp, text},
    patch::Patch,
    refusal::{Refusal, success},
    resource::{Key, NAMESPACES, PODS, Resource},
    store::{Part, Store},
};

/// What a delete insists on, and how much time it grants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletion {
    pub(crate) uid: String,
    version: String,
    grace: Option<i64>,
    dry_run: bool,
}

/// Creates an object, through the webhooks.
pub(crate) async fn create(
    core: &Core,
    resource: &'static Resource,
    namespace: &str,
    body: &Value,
    origin: Origin<'_>,
) -> Result<Arc<Value>, Refusal> {
    let (key, object) = fill::fresh(resource, namespace, body)?;
    if core.store().get(&key).is_some() {
        return Err(Refusal::exists(&key));
    }
    let object = admit(core, &key, object, origin).await?;
    core.store().create(&key, object, origin.dry_run)
}

/// Replaces an object; a uid in what is sent is a condition.
pub(crate) fn replace(store: &mut Store, call: &Call, body: &Value) -> Result<Arc<Value>, Refusal> {
    let key = call.key();
    let condition = Deletion::of(object::uid(body));
    store.update(&key, call.part(), call.query.dry_run, |object| {
        condition.check(&key, object)?;
        *object = fill::without_nulls(body);
        Ok(())
    })
}

/// Patches an object; what is applied is created where it is not there. The code tells which.
pub(crate) async fn patch(
    core: &Core,
    call: &Call,
    patch: Patch,
    user: &Value,
) -> Result<(u16, Arc<Value>), Refusal> {
    let (key, dry_run) = (call.key(), call.query.dry_run);
    let absent = core.store().get(&key).is_none();
    match patch {
        Patch::Apply(mut body) if absent && call.subresource == Subresource::None => {
            body["metadata"]["name"] = call.name.as_str().into();
            let origin = Origin { user, dry_run };
            let object = create(core, call.resource, &call.namespace, &body, origin).await?;
            Ok((201, object))
        }
        Patch::Merge(_) | Patch::Json(_) | Patch::Strategic(_) | Patch::Apply(_) => {
            let change = |object: &mut Value| patch.apply(object);
            let object = core.store().update(&key, call.part(), dry_run, change)?;
            Ok((200, object))
        }
    }
}

/// Deletes what a request names.
pub(crate) fn delete(store: &mut Store, call: &Call, body: &[u8]) -> Result<Value, Refusal> {
    if *call.resource == NAMESPACES {
        return Err(Refusal::unsupported("the end of a namespace"));
    }
    let mut deletion = Deletion::read(body)?;
    deletion.grace = call.query.grace.or(deletion.grace);
    deletion.dry_run |= call.query.dry_run;
    end(store, &call.key(), &deletion)
}

/// Evicts a pod, if its budget has room.
pub(crate) fn evict(store: &mut Store, call: &Call, body: &Value) -> Result<Value, Refusal> {
    let key = call.key();
    let pod = Arc::clone(store.get(&key).ok_or_else(|| Refusal::not_found(&key))?);
    let options = serde_json::to_vec(&body["deleteOptions"]).expect("JSON serializes");
    let mut deletion = Deletion::read(&options)?;
    deletion.dry_run |= call.query.dry_run;
    deletion.check(&key, &pod)?;
    budget::allows(store, &pod)?;
    end(store, &key, &deletion)?;
    Ok(success(&key, object::uid(&pod), 201))
}

/// Deletes an object; a pod that runs is given time.
pub(crate) fn end(store: &mut Store, key: &Key, deletion: &Deletion) -> Result<Value, Refusal> {
    let object = Arc::clone(store.get(key).ok_or_else(|| Refusal::not_found(key))?);
    deletion.check(key, &object)?;
    let is_pod = *key.resource == PODS;
    let answer = if is_pod {
        Value::clone(&object)
    } else {
        success(key, object::uid(&object), 200)
    };
    if deletion.dry_run {
        return Ok(answer);
    }
    let runs = is_pod && !is_over(&object) && !text(&object, "/spec/nodeName").is_empty();
    let grace = deletion
        .grace
        .unwrap_or_else(|| count(&object, "/spec/terminationGracePeriodSeconds"));
    if !runs || grace == 0 {
        store.remove(key);
        return Ok(answer);
    }
    if is_going(&object) {
        return Ok(answer);
    }
    let object = store.mark_deleted(
        key,
        grace,
        stamp(object::now() + SignedDuration::from_secs(grace)),
    );
    Ok(Value::clone(&object))
}

// === impl Deletion ===

impl Deletion {
    pub(crate) fn of(uid: &str) -> Self {
        Self {
            uid: uid.to_owned(),
            ..Self::default()
        }
    }

    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let options: Value = if body.is_empty() {
            Value::Null
        } else {
            let wrong = |error| Refusal::bad_request(format!("reading the options: {error}"));
            serde_json::from_slice(body).map_err(wrong)?
        };
        if !matches!(text(&options, "/propagationPolicy"), "" | "Background") {
            return Err(Refusal::unsupported(format!(
                "the propagation {}",
                options["propagationPolicy"]
            )));
        }
        Ok(Self {
            uid: text(&options, "/preconditions/uid").to_owned(),
            version: text(&options, "/preconditions/resourceVersion").to_owned(),
            grace: options["gracePeriodSeconds"].as_i64(),
            dry_run: !object::items(&options, "/dryRun").is_empty(),
        })
    }

    fn check(&self, key: &Key, object: &Value) -> Result<(), Refusal> {
        let is = [
            ("UID", &self.uid, "/metadata/uid"),
            (
                "ResourceVersion",
                &self.version,
                "/metadata/resourceVersion",
            ),
        ];
        for (what, wanted, pointer) in is {
            let found = text(object, pointer);
            if !wanted.is_empty() && wanted != found {
                let why = format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
                );
                return Err(Refusal::conflict(key, &why));
            }
        }
        Ok(())
    }
}

// === impl Call ===

impl Call {
    fn part(&self) -> Part {
        match self.subresource {
            Subresource::Status => Part::Status,
            Subresource::None | Subresource::Eviction | Subresource::Proxy => Part::Main,
        }
    }
}
