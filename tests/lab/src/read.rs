//! Lists: their pages, and how they are written.

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use crate::{
    call::{Call, Query},
    refusal::Refusal,
    store::{Rest, Store},
};

/// A page of a list, in the order in which a real server writes its fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    kind: String,
    api_version: String,
    metadata: PageMeta,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_item_count: Option<usize>,
}

/// An object within a list, which does not repeat its kind.
enum Item<'a> {
    Whole(&'a Value),
    Metadata(&'a Value),
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Whole(object) => {
                let fields = object.as_object().into_iter().flatten();
                for (field, value) in
                    fields.filter(|(field, _)| !matches!(field.as_str(), "kind" | "apiVersion"))
                {
                    map.serialize_entry(field, value)?;
                }
            }
            Self::Metadata(object) => {
                map.serialize_entry("kind", "PartialObjectMetadata")?;
                map.serialize_entry("apiVersion", "meta.k8s.io/v1")?;
                map.serialize_entry("metadata", &object["metadata"])?;
            }
        }
        map.end()
    }
}

pub(crate) fn list(store: &mut Store, call: &Call) -> Result<Vec<u8>, Refusal> {
    let rest = rest(store, call)?;
    let (shown, end) = choose(&rest, &call.query);
    let left = rest.items.len() - end;
    let mut token = String::new();
    if left > 0 {
        token = store.keep_rest(Rest {
            from: end,
            ..rest.clone()
        });
    }
    let selects = !call.query.labels.is_empty();
    let metadata = PageMeta {
        resource_version: rest.version.to_string(),
        token,
        remaining_item_count: (left > 0 && !selects).then_some(left),
    };
    let page = if call.metadata_only {
        Page {
            kind: "PartialObjectMetadataList".to_owned(),
            api_version: "meta.k8s.io/v1".to_owned(),
            metadata,
            items: shown.into_iter().map(Item::Metadata).collect(),
        }
    } else {
        Page {
            kind: format!("{}List", call.resource.kind),
            api_version: call.resource.api_version(),
            metadata,
            items: shown.into_iter().map(Item::Whole).collect(),
        }
    };
    Ok(serde_json::to_vec(&page).expect("JSON serializes"))
}

/// What is still to be listed: everything at first.
fn rest(store: &Store, call: &Call) -> Result<Rest, Refusal> {
    let Query { token, version, .. } = &call.query;
    if !token.is_empty() {
        return store.rest(token);
    }
    if version
        .parse::<u64>()
        .is_ok_and(|version| version > store.version())
    {
        return Err(Refusal::new(504, "Timeout", "Too large resource version"));
    }
    let all = store.all(call.resource, &call.namespace);
    let items = all.map(|(_, object)| Arc::clone(object)).collect();
    Ok(Rest {
        version: store.version(),
        items: Arc::new(items),
        from: 0,
    })
}

/// The objects of a page, and where it ends: where it is full, even if nothing that comes after
/// would be chosen.
fn choose<'a>(rest: &'a Rest, query: &Query) -> (Vec<&'a Value>, usize) {
    let limit = if query.limit == 0 {
        usize::MAX
    } else {
        query.limit
    };
    let (mut shown, mut end) = (Vec::new(), rest.from);
    while shown.len() < limit
        && let Some(object) = rest.items.get(end)
    {
        end += 1;
        if query.labels.matches(object) && query.fields.matches(object) {
            shown.push(&**object);
        }
    }
    (shown, end)
}

/// An object cut down to its metadata.
pub(crate) fn metadata(object: &Value) -> Vec<u8> {
    serde_json::to_vec(&Item::Metadata(object)).expect("JSON serializes")
}
