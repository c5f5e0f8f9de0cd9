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
    let rest = if call.query.token.is_empty() {
        let version: u64 = call.query.version.parse().unwrap_or_default();
        if version > store.version() {
            return Err(Refusal::new(504, "Timeout", "Too large resource version"));
        }
        begin(store, call)
    } else {
        store.rest(&call.query.token)?
    };
    let limit = if call.query.limit == 0 {
        usize::MAX
    } else {
        call.query.limit
    };
    let Query { labels, fields, .. } = &call.query;
    let mut end = rest.from;
    let mut shown = Vec::new();
    while shown.len() < limit
        && let Some(object) = rest.items.get(end)
    {
        end += 1;
        if labels.matches(object) && fields.matches(object) {
            shown.push(object);
        }
    }
    // A page ends where it is full, even if nothing that comes after is chosen.
    let left = rest.items.len() - end;
    let token = if left > 0 {
        let more = Rest {
            from: end,
            ..rest.clone()
        };
        store.keep_rest(more)
    } else {
        String::new()
    };
    let selects = !call.query.labels.is_empty();
    let metadata = PageMeta {
        resource_version: rest.version.to_string(),
        token,
        remaining_item_count: (left > 0 && !selects).then_some(left),
    };
    let (kind, api_version) = if call.metadata_only {
        (
            "PartialObjectMetadataList".to_owned(),
            "meta.k8s.io/v1".to_owned(),
        )
    } else {
        (
            format!("{}List", call.resource.kind),
            call.resource.api_version(),
        )
    };
    let items = shown.into_iter().map(|object| {
        if call.metadata_only {
            Item::Metadata(object)
        } else {
            Item::Whole(object)
        }
    });
    let page = Page {
        kind,
        api_version,
        metadata,
        items: items.collect(),
    };
    Ok(serde_json::to_vec(&page).expect("JSON serializes"))
}

/// An object cut down to its metadata.
pub(crate) fn metadata(object: &Value) -> Vec<u8> {
    serde_json::to_vec(&Item::Metadata(object)).expect("JSON serializes")
}

fn begin(store: &Store, call: &Call) -> Rest {
    let all = store.all(call.resource, &call.namespace);
    let items = all.map(|(_, object)| Arc::clone(object)).collect();
    Rest {
        version: store.version(),
        items: Arc::new(items),
        from: 0,
    }
}
