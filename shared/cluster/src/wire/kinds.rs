//! Objects of any kind, written for the sake of the API server's opinion only.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::request::JSON;
use crate::wire::target::encode;

/// The kinds that the API server serves, read group by group as they are asked for.
#[derive(Debug, Default)]
pub struct Kinds {
    groups: BTreeMap<String, BTreeMap<String, Kind>>,
}

/// How a kind is addressed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Kind {
    #[serde(rename = "kind")]
    name: String,
    #[serde(rename = "name")]
    pub(crate) plural: String,
    namespaced: bool,
}

/// What the API server makes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It would take it.
    Accepted,
    /// It would not; this is what it said.
    Refused(String),
}

#[derive(Deserialize)]
struct KindList {
    resources: Vec<Kind>,
}

#[derive(Deserialize)]
struct Existing {
    metadata: ExistingMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExistingMeta {
    resource_version: String,
}

pub(crate) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

impl Cluster {
    /// How `kind` of `api_version` is addressed; none if the API server does not serve it.
    pub async fn kind(
        &self,
        kinds: &mut Kinds,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Kind>, Error> {
        if !kinds.groups.contains_key(api_version) {
            let what = format!("reading the kinds of {api_version}");
            let list = match self.get_path::<KindList>(&what, &root(api_version)).await {
                Ok(list) => list.resources,
                Err(error) if error.why() == Why::NotFound => Vec::new(),
                Err(error) => return Err(error),
            };
            // A subresource has its parent's kind or one of its own.
            let own = list.into_iter().filter(|kind| !kind.plural.contains('/'));
            let by_name = own.map(|kind| (kind.name.clone(), kind)).collect();
            kinds.groups.insert(api_version.to_owned(), by_name);
        }
        let group = kinds.groups.get(api_version);
        Ok(group.and_then(|group| group.get(kind)).cloned())
    }

    /// Has the API server check `object` with `dryRun=All`, as the update of what is there under
    /// its name, or as a new object; `manager` is whose fields they would be.
    ///
    /// Nothing of an existing object but its metadata is read.
    ///
    /// # Errors
    /// The API server cannot be reached, or this is not allowed to ask.
    pub async fn rehearse(
        &self,
        kind: &Kind,
        object: &Value,
        default_namespace: &str,
        manager: &str,
    ) -> Result<Opinion, Error> {
        let address = Address::of(kind, object, default_namespace);
        let one = address.one();
        let what = format!("reading {}", address.said());
        let rule = Some(address.rule("get"));
        let existing = self
            .send::<Existing>(&what, rule, Method::GET, &one, METADATA, None)
            .await;
        let (method, path, verb, version) = match existing {
            Ok(existing) => (
                Method::PUT,
                one,
                "update",
                Some(existing.metadata.resource_version),
            ),
            Err(error) if error.why() == Why::NotFound => {
                (Method::POST, address.all(), "create", None)
            }
            Err(error) => return Err(error),
        };
        let body = address.body(object, version);
        let what = format!("rehearsing {}", address.said());
        let path = format!("{path}?dryRun=All&fieldManager={}", encode(manager));
        let rule = Some(address.rule(verb));
        match self
            .send::<IgnoredAny>(&what, rule, method, &path, JSON, Some(body))
            .await
        {
            Ok(_) => Ok(Opinion::Accepted),
            Err(error) => address.opinion(&error).ok_or(error),
        }
    }
}

/// Where an object of any kind lives.
pub(crate) struct Address<'a> {
    pub(crate) kind: &'a Kind,
    root: String,
    group: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
}

fn root(api_version: &str) -> String {
    let prefix = if api_version.contains('/') {
        "/apis"
    } else {
        "/api"
    };
    format!("{prefix}/{api_version}")
}

// === impl Address ===

impl<'a> Address<'a> {
    pub(crate) fn of(kind: &'a Kind, object: &'a Value, default_namespace: &'a str) -> Self {
        let text = |value: Option<&'a Value>| value.and_then(Value::as_str).unwrap_or_default();
        let api_version = text(object.get("apiVersion"));
        let metadata = |key| {
            text(
                object
                    .get("metadata")
                    .and_then(|metadata| metadata.get(key)),
            )
        };
        let own = Some(metadata("namespace")).filter(|namespace| !namespace.is_empty());
        Self {
            kind,
            root: root(api_version),
            group: api_version.split_once('/').map_or("", |(group, _)| group),
            namespace: kind.namespaced.then(|| own.unwrap_or(default_namespace)),
            name: metadata("name"),
        }
    }

    pub(crate) fn all(&self) -> String {
        let Self {
            kind,
            root,
            namespace,
            ..
        } = self;
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{}/{}", encode(namespace), kind.plural),
            None => format!("{root}/{}", kind.plural),
        }
    }

    pub(crate) fn one(&self) -> String {
        format!("{}/{}", self.all(), encode(self.name))
    }

    pub(crate) fn said(&self) -> String {
        let Self {
            kind,
            namespace,
            name,
            ..
        } = self;
        match namespace {
            Some(namespace) => format!("{} {namespace}/{name}", kind.plural),
            None => format!("{} {name}", kind.plural),
        }
    }

    pub(crate) fn rule(&self, verb: &str) -> String {
        let Self { kind, group, .. } = self;
        let place = self
            .namespace
            .map_or("cluster-wide".to_owned(), |namespace| {
                format!("in namespace {namespace}")
            });
        let plural = &kind.plural;
        format!(
            "{{apiGroups: [\"{group}\"], resources: [\"{plural}\"], verbs: [\"{verb}\"]}} {place}"
        )
    }

    pub(crate) fn body(&self, object: &Value, version: Option<String>) -> Vec<u8> {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            if let Some(namespace) = self.namespace {
                metadata.insert("namespace".to_owned(), Value::from(namespace));
            }
            if let Some(version) = version {
                metadata.insert("resourceVersion".to_owned(), Value::from(version));
            }
        }
        object.to_string().into_bytes()
    }

    // None where the server was not asked after all. What it says of a Secret may quote it.
    pub(crate) fn opinion(&self, error: &Error) -> Option<Opinion> {
        match error.why() {
            Why::Refused if self.kind.plural == "secrets" => {
                Some(Opinion::Refused("it is not valid".to_owned()))
            }
            Why::Refused | Why::Conflict | Why::Forbidden | Why::Broken | Why::NotFound => {
                Some(Opinion::Refused(error.reason()))
            }
            Why::Unreachable
            | Why::TimedOut
            | Why::Unauthorized
            | Why::Gone
            | Why::Busy
            | Why::Malformed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(plural: &str, namespaced: bool) -> Kind {
        Kind {
            name: "K".to_owned(),
            plural: plural.to_owned(),
            namespaced,
        }
    }

    #[test]
    fn an_object_is_addressed_where_its_kind_lives() {
        let here = json!({ "apiVersion": "apps/v1", "metadata": { "name": "web" } });
        let there =
            json!({ "apiVersion": "v1", "metadata": { "name": "a b", "namespace": "shop" } });
        let crd = json!({ "apiVersion": "apiextensions.k8s.io/v1", "metadata": { "name": "x.y" } });
        let table = [
            (
                &here,
                kind("deployments", true),
                "/apis/apps/v1/namespaces/linkerd/deployments/web",
            ),
            (
                &there,
                kind("secrets", true),
                "/api/v1/namespaces/shop/secrets/a%20b",
            ),
            (
                &crd,
                kind("crds", false),
                "/apis/apiextensions.k8s.io/v1/crds/x.y",
            ),
        ];
        for (object, kind, path) in table {
            assert_eq!(Address::of(&kind, object, "linkerd").one(), path);
        }
    }

    #[test]
    fn what_the_server_says_of_a_secret_is_kept_back() {
        let secret = json!({ "apiVersion": "v1", "metadata": { "name": "s" } });
        let kind = kind("secrets", true);
        let address = Address::of(&kind, &secret, "linkerd");
        let said = Error::new("w", Why::Refused, "Invalid value: \"PRIVATE\"", "");
        let Some(Opinion::Refused(text)) = address.opinion(&said) else {
            panic!()
        };
        assert!(!text.contains("PRIVATE"), "{text}");
    }
}
