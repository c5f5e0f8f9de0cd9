//! Asks the API server what this user may do (`SelfSubjectAccessReview`).

use std::borrow::Cow;

use futures::stream::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::json;

use crate::object::Resource;
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::request::AT_ONCE;
use crate::wire::target::{Options, Target};

/// A verb on a kind of object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// RBAC's verb, such as `patch`.
    pub verb: &'static str,
    /// The kind; the plural of a subresource is such as `pods/eviction`.
    pub resource: Resource<Cow<'static, str>>,
    /// The namespace; `None` means in every namespace.
    pub namespace: Option<String>,
    /// The object; `None` means every object of the kind.
    pub name: Option<String>,
}

const REVIEW: Resource = Resource {
    group: "authorization.k8s.io",
    version: "v1",
    plural: "selfsubjectaccessreviews",
    kind: "SelfSubjectAccessReview",
};

// === impl Right ===

impl Right {
    /// The right to do this to what a request is about.
    pub fn on(target: &Target, verb: &'static str) -> Self {
        Self {
            verb,
            resource: target.resource.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
        }
    }

    /// Returns the RBAC rule that gives the right.
    pub fn rule(&self) -> String {
        let namespace = self.namespace.as_deref();
        self.resource.rule_in(self.verb, namespace)
    }

    fn everywhere(&self) -> Self {
        Self {
            namespace: None,
            ..self.of_all_objects()
        }
    }

    fn of_all_objects(&self) -> Self {
        Self {
            name: None,
            ..self.clone()
        }
    }
}

// === impl Cluster ===

impl Cluster {
    /// Returns the rights that this user does not have, in their order. A right that the API server
    /// does not tell counts as one that the user has: the request itself will show it.
    ///
    /// One question is enough for a right that the user has everywhere, and one for each namespace
    /// for a right that the user has in all of it.
    ///
    /// # Errors
    /// The API server cannot be reached, or does not know the user.
    pub async fn lacking(&self, rights: Vec<Right>) -> Result<Vec<Right>, Error> {
        let mut open = rights;
        for widened in [Right::everywhere, Right::of_all_objects, Right::clone] {
            let mut questions: Vec<Right> = open.iter().map(widened).collect();
            questions.sort();
            questions.dedup();
            let answers = futures::stream::iter(questions).map(|right| async move {
                let has = self.has(&right).await?;
                Ok::<_, Error>((!has).then_some(right))
            });
            let answers = answers.buffered(AT_ONCE).try_collect::<Vec<_>>().await?;
            open.retain(|right| answers.contains(&Some(widened(right))));
        }
        Ok(open)
    }

    async fn has(&self, right: &Right) -> Result<bool, Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Review {
            status: Status,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Status {
            allowed: bool,
        }
        let Right {
            verb,
            resource,
            namespace,
            name,
        } = right;
        let (plural, subresource) = resource
            .plural
            .split_once('/')
            .unwrap_or((&resource.plural, ""));
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "verb": verb,
                "group": resource.group,
                "resource": plural,
                "subresource": subresource,
                "namespace": namespace.as_deref().unwrap_or_default(),
                "name": name.as_deref().unwrap_or_default(),
            } },
        });
        let reviews = Target::all(REVIEW);
        let asked = self.create::<Review>(&reviews, &body, Options::default());
        match asked.await {
            Ok(review) => Ok(review.status.allowed),
            Err(error) => match error.why() {
                Why::Unreachable | Why::TimedOut | Why::Unauthorized => Err(error),
                Why::Forbidden
                | Why::NotFound
                | Why::Conflict
                | Why::Gone
                | Why::Busy
                | Why::Refused
                | Why::Broken
                | Why::Malformed => Ok(true),
            },
        }
    }
}
