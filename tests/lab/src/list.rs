//! Lists and their pages.

use serde_json::{Value, json};

use crate::{
    object::suffix,
    refusal::Refusal,
    request::Request,
    store::{Rest, Store},
};

pub(crate) fn list(store: &mut Store, request: &Request) -> Result<Value, Refusal> {
    let Rest { version, mut items } = rest(store, request)?;
    // A full page ends and has a continue token, even if no later object matches.
    let mut chosen = (0..items.len()).filter(|at| request.selects(&items[*at]));
    let last = match request.query.limit {
        0 => None,
        limit => chosen.nth(limit - 1),
    };
    let left = items.split_off(last.map_or(items.len(), |last| last + 1));
    items.retain(|object| request.selects(object));
    let mut meta = json!({ "resourceVersion": version.to_string() });
    if !left.is_empty() {
        let token = suffix();
        meta["continue"] = token.as_str().into();
        let rest = Rest {
            version,
            items: left,
        };
        store.rests.insert(token, rest);
    }
    let kind = request.key.kind;
    let (list, version, items): (_, _, Vec<Value>) = if request.metadata_only {
        let items = items.iter().map(|object| metadata(object));
        let list = "PartialObjectMetadataList".to_owned();
        (list, "meta.k8s.io/v1".to_owned(), items.collect())
    } else {
        let items = items.iter().map(|object| without_kind(object));
        (format!("{kind:?}List"), kind.api_version(), items.collect())
    };
    Ok(json!({ "kind": list, "apiVersion": version, "metadata": meta, "items": items }))
}

fn rest(store: &Store, request: &Request) -> Result<Rest, Refusal> {
    let (key, token) = (&request.key, &request.query.r#continue);
    if token.is_empty() {
        let (version, all) = (store.version, store.all(key.kind, &key.namespace));
        let items = all.cloned().collect();
        return Ok(Rest { version, items });
    }
    let message = "The provided continue parameter is too old to display a consistent list result.";
    let rest = store.rests.get(token).cloned();
    rest.ok_or_else(|| Refusal::new(410, "Expired", message))
}

fn without_kind(object: &Value) -> Value {
    let mut item = object.clone();
    if let Some(fields) = item.as_object_mut() {
        fields.retain(|field, _| field != "kind" && field != "apiVersion");
    }
    item
}

pub(crate) fn metadata(object: &Value) -> Value {
    let meta = &object["metadata"];
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta })
}
