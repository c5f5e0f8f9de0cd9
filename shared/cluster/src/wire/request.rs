//! The requests of the tools, and what their answers must be.

use http::Method;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::object::Object;
use crate::wire::cause::unreadable;
use crate::wire::connect::Cluster;
use crate::wire::error::Error;
use crate::wire::exchange::{ANSWER, Call};
use crate::wire::target::{Options, Target};

// What the API server says of a request.
#[derive(Deserialize)]
struct Answered {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    status: String,
    #[serde(default)]
    message: String,
}

/// How many requests about single objects a tool has under way at the same time.
pub const AT_ONCE: usize = 8;

pub(crate) const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
pub(crate) const PARTIAL: &str = "PartialObjectMetadata";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

// The `kind` field of an answer.
#[derive(Deserialize)]
struct Kinded {
    kind: String,
}

/// Checks the kind of an answer. Otherwise a failure with a success status would be read as an
/// object without fields or a list without items.
pub(crate) fn check_kind(kind: &str, wanted: &str) -> Result<(), String> {
    if kind == wanted {
        return Ok(());
    }
    Err(format!("the answer is a {kind}, not a {wanted}"))
}

fn object<T: DeserializeOwned>(wanted: &str, bytes: &[u8]) -> Result<T, String> {
    let malformed = |error: serde_json::Error| unreadable(&error);
    let Kinded { kind } = serde_json::from_slice(bytes).map_err(malformed)?;
    check_kind(&kind, wanted)?;
    serde_json::from_slice(bytes).map_err(malformed)
}

// === impl Cluster ===

impl Cluster {
    /// Reads one object.
    pub async fn get<K: Object>(&self, namespace: Option<&str>, name: &str) -> Result<K, Error> {
        let target = Target::one(K::RESOURCE, namespace, name);
        self.call(Method::GET, &target, "", JSON, None).await
    }

    /// Reads one object of a kind that has no slim type.
    pub async fn get_as<T: DeserializeOwned>(&self, target: &Target) -> Result<T, Error> {
        self.call(Method::GET, target, "", JSON, None).await
    }

    /// Reads nothing but the metadata of one object; `T` is what is read of it.
    pub async fn metadata<T: DeserializeOwned>(&self, target: &Target) -> Result<T, Error> {
        let what = target.say(&Method::GET);
        let bytes = self.fetch(Method::GET, target, "", METADATA, None).await?;
        object(PARTIAL, &bytes).map_err(|cause| Error::malformed(&what, &cause))
    }

    /// Reads a path that is not an object.
    pub async fn get_path<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, Error> {
        self.send(what, None, Method::GET, path, JSON, None).await
    }

    /// Creates an object.
    pub async fn create<T: DeserializeOwned>(
        &self,
        target: &Target,
        body: &impl Serialize,
        options: Options,
    ) -> Result<T, Error> {
        self.write(Method::POST, target, body, JSON, &options.query())
            .await
    }

    /// Posts to a subresource whose answer says only whether it was done.
    pub(crate) async fn post(
        &self,
        target: &Target,
        body: &impl Serialize,
        options: Options,
    ) -> Result<(), Error> {
        let what = target.say(&Method::POST);
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::malformed(&what, &unreadable(&error)))?;
        let rule = Some(target.rule(&Method::POST));
        let path = format!("{}{}", target.path(), options.query());
        self.send::<IgnoredAny>(&what, rule, Method::POST, &path, JSON, Some(body))
            .await?;
        Ok(())
    }

    /// Merges `body` into an object (RFC 7386); a resourceVersion in it is a precondition.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        target: &Target,
        body: &impl Serialize,
        options: Options,
    ) -> Result<T, Error> {
        self.write(Method::PATCH, target, body, MERGE, &options.query())
            .await
    }

    /// Like [`Cluster::patch`], but the items of a list are merged too, by the keys that Kubernetes
    /// declares. No custom resource can be patched so.
    pub async fn patch_lists<T: DeserializeOwned>(
        &self,
        target: &Target,
        body: &impl Serialize,
        options: Options,
    ) -> Result<T, Error> {
        self.write(Method::PATCH, target, body, STRATEGIC, &options.query())
            .await
    }

    /// Replaces an object; a resourceVersion in `body` is a precondition.
    pub async fn replace<T: DeserializeOwned>(
        &self,
        target: &Target,
        body: &impl Serialize,
        options: Options,
    ) -> Result<T, Error> {
        self.write(Method::PUT, target, body, JSON, &options.query())
            .await
    }

    /// Applies an object on the server. The fields of `body` are taken over from other managers;
    /// the API server refuses `options` without a field manager.
    pub async fn apply(
        &self,
        target: &Target,
        body: &impl Serialize,
        options: Options,
    ) -> Result<(), Error> {
        let query = format!("{}&force=true", options.query());
        self.applied(target, body, &query).await
    }

    /// Like [`Cluster::apply`], but a field that another manager has set otherwise is a conflict.
    pub async fn apply_unforced(
        &self,
        target: &Target,
        body: &impl Serialize,
        options: Options,
    ) -> Result<(), Error> {
        self.applied(target, body, &options.query()).await
    }

    async fn applied(
        &self,
        target: &Target,
        body: &impl Serialize,
        query: &str,
    ) -> Result<(), Error> {
        self.write::<IgnoredAny>(Method::PATCH, target, body, APPLY, query)
            .await
            .map(drop)
    }

    /// Deletes an object if it still has this uid and resourceVersion.
    pub async fn delete(
        &self,
        target: &Target,
        uid: &str,
        resource_version: &str,
    ) -> Result<(), Error> {
        let body = serde_json::json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": { "uid": uid, "resourceVersion": resource_version },
        });
        let body = serde_json::to_vec(&body).expect("it has no keys but text");
        let rule = Some(target.rule(&Method::DELETE));
        let (what, path) = (target.say(&Method::DELETE), target.path());
        // The answer may be the deleted object or a Status, so its kind is not checked.
        self.send::<IgnoredAny>(&what, rule, Method::DELETE, &path, JSON, Some(body))
            .await?;
        Ok(())
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &Target,
        body: &impl Serialize,
        form: &str,
        query: &str,
    ) -> Result<T, Error> {
        let what = target.say(&method);
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::malformed(&what, &unreadable(&error)))?;
        self.call(method, target, query, form, Some(body)).await
    }

    /// Sends a request and checks that the answer has the target's kind.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &Target,
        query: &str,
        form: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, Error> {
        let what = target.say(&method);
        let bytes = self.fetch(method, target, query, form, body).await?;
        object(target.kind(), &bytes).map_err(|cause| Error::malformed(&what, &cause))
    }

    pub(crate) async fn fetch(
        &self,
        method: Method,
        target: &Target,
        query: &str,
        form: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, Error> {
        let what = target.say(&method);
        let rule = target.rule(&method);
        let path = format!("{}{query}", target.path());
        self.bytes(&what, Some(rule), method, &path, form, body)
            .await
    }

    /// Sends a request; any answer with a success status is accepted.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        what: &str,
        rule: Option<String>,
        method: Method,
        path: &str,
        form: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, Error> {
        let bytes = self.bytes(what, rule, method, path, form, body).await?;
        match serde_json::from_slice(&bytes) {
            Ok(Answered {
                status, message, ..
            }) if status == "Failure" => Err(Error::malformed(what, &message)),
            Ok(_) | Err(_) => serde_json::from_slice(&bytes)
                .map_err(|error| Error::malformed(what, &unreadable(&error))),
        }
    }

    async fn bytes(
        &self,
        what: &str,
        rule: Option<String>,
        method: Method,
        path: &str,
        form: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, Error> {
        let call = Call {
            method,
            path,
            accept: if body.is_some() { JSON } else { form },
            body: body.as_deref().map(|body| (form, body)),
        };
        let answer = self.exchange(what, &call, self.deadline, ANSWER).await?;
        if !answer.status.is_success() {
            return Err(answer.error(what, rule));
        }
        Ok(answer.bytes)
    }
}
