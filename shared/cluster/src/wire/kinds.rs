//! Kinds that are known only at run time, because a manifest names them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::object::Resource;
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::target::Target;

/// The kinds that the API server serves, read group by group as they are asked for: an APIService
/// whose backend is down fails no other group.
#[derive(Debug, Default)]
pub struct Kinds {
    groups: BTreeMap<String, Vec<Kind>>,
}

/// A kind that the API server serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    resource: Resource<Cow<'static, str>>,
    is_namespaced: bool,
}

#[derive(Deserialize)]
struct KindList {
    resources: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    kind: String,
    namespaced: bool,
}

impl Cluster {
    /// Finds `kind` of `api_version`; none if the API server does not serve it.
    pub async fn kind(
        &self,
        kinds: &mut Kinds,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Kind>, Error> {
        if !kinds.groups.contains_key(api_version) {
            let served = self.served(api_version).await?;
            kinds.groups.insert(api_version.to_owned(), served);
        }
        let mut served = kinds.groups.get(api_version).into_iter().flatten();
        Ok(served.find(|it| it.resource.kind == kind).cloned())
    }

    /// Returns true if the API server serves some version of `group`, or hides whether it does.
    pub async fn has_group(&self, group: &str) -> Result<bool, Error> {
        let path = format!("/apis/{group}");
        match self
            .get_path::<IgnoredAny>(&format!("reading {path}"), &path)
            .await
        {
            Ok(_) => Ok(true),
            // Everybody may read it, unless somebody took that away.
            Err(error) if error.why() == Why::Forbidden => Ok(true),
            Err(error) if error.why() == Why::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn served(&self, api_version: &str) -> Result<Vec<Kind>, Error> {
        let root = if api_version.contains('/') {
            "/apis"
        } else {
            "/api"
        };
        let what = format!("reading the kinds of {api_version}");
        let path = format!("{root}/{api_version}");
        match self.get_path::<KindList>(&what, &path).await {
            Ok(list) => Ok(list.kinds(api_version)),
            Err(error) if error.why() == Why::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl KindList {
    fn kinds(self, api_version: &str) -> Vec<Kind> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        // Subresources are left out: one may have the same kind as its parent.
        let own = self
            .resources
            .into_iter()
            .filter(|it| !it.name.contains('/'));
        let kind = |listed: Listed| Kind {
            resource: Resource {
                group: group.to_owned().into(),
                version: version.to_owned().into(),
                plural: listed.name.into(),
                kind: listed.kind.into(),
            },
            is_namespaced: listed.namespaced,
        };
        own.map(kind).collect()
    }
}

impl Kind {
    /// Where an object of this kind lives; `default_namespace` serves where it names none.
    pub fn target(&self, object: &Value, default_namespace: &str) -> Target {
        let text = |key| {
            let text = object
                .get("metadata")
                .and_then(|meta| meta.get(key)?.as_str());
            text.filter(|text| !text.is_empty())
        };
        let namespace = text("namespace").unwrap_or(default_namespace);
        let namespace = self.is_namespaced.then_some(namespace);
        Target::one(
            self.resource.clone(),
            namespace,
            text("name").unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_has_the_path_of_the_objects_kind() {
        let here = json!({ "metadata": { "name": "web" } });
        let there = json!({ "metadata": { "name": "a b", "namespace": "shop" } });
        let crd = json!({ "metadata": { "name": "x.y" } });
        let table = [
            (
                &here,
                ("apps/v1", "deployments", true),
                "/apis/apps/v1/namespaces/linkerd/deployments/web",
            ),
            (
                &there,
                ("v1", "secrets", true),
                "/api/v1/namespaces/shop/secrets/a%20b",
            ),
            (
                &crd,
                ("apiextensions.k8s.io/v1", "crds", false),
                "/apis/apiextensions.k8s.io/v1/crds/x.y",
            ),
        ];
        for (object, (api_version, plural, namespaced), path) in table {
            let listed = Listed {
                name: plural.to_owned(),
                kind: "K".to_owned(),
                namespaced,
            };
            let list = KindList {
                resources: vec![listed],
            };
            let kinds = list.kinds(api_version);
            assert_eq!(kinds[0].target(object, "linkerd").path(), path);
        }
    }
}
