//! Sends one request and reads one answer, within one time limit.

use std::time::Duration;

use http::{Method, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::object::{Object, Resource};
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, chain};
use crate::wire::target::{Options, Target};

/// RBAC's name for requests through a Service.
pub const SERVICE_PROXY: Resource = Resource {
    group: "",
    version: "v1",
    plural: "services/proxy",
    kind: "ServiceProxyOptions",
};

/// How long the API server waits for an admission webhook by default.
const ADMISSION_PATIENCE: Duration = Duration::from_secs(10);

// An answer of the API server itself, as opposed to one that it passes on from a Service.
#[derive(Deserialize)]
struct Answered {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    status: String,
    #[serde(default)]
    message: String,
}

/// How the API server's message begins if no pod behind a Service can be reached.
const UNREACHED: [&str; 3] = [
    "error trying to reach service",
    "no endpoints available for service",
    "no service port",
];

pub(crate) const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
pub(crate) const PARTIAL: &str = "PartialObjectMetadata";
const MERGE: &str = "application/merge-patch+json";

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
    let malformed = |error: serde_json::Error| error.to_string();
    let Kinded { kind } = serde_json::from_slice(bytes).map_err(malformed)?;
    check_kind(&kind, wanted)?;
    serde_json::from_slice(bytes).map_err(malformed)
}

// === impl Answered ===

impl Answered {
    // 503 alone is not enough: an overloaded API server also answers 503.
    fn misses_the_service(&self, status: StatusCode) -> bool {
        let unreached = || {
            UNREACHED
                .iter()
                .any(|begin| self.message.starts_with(begin))
        };
        status == StatusCode::NOT_FOUND || status == StatusCode::SERVICE_UNAVAILABLE && unreached()
    }
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
        self.write::<IgnoredAny>(Method::PATCH, target, body, APPLY, &query)
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

    /// Asks whether a Service answers the API server over HTTPS, through the Service's `proxy`
    /// subresource: a read, on the same path that admission reviews take. Any answer from the
    /// Service counts. A timeout is tried once more, because the first may be the connection's
    /// fault; after two, the Service does not answer.
    ///
    /// # Errors
    /// The API server cannot be reached, does not allow the request, or fails itself.
    pub async fn answers(&self, namespace: &str, service: &str, port: u16) -> Result<bool, Error> {
        let what = format!("checking whether the Service {namespace}/{service} answers");
        let path = format!("/api/v1/namespaces/{namespace}/services/https:{service}:{port}/proxy/");
        let patience = self.deadline.min(ADMISSION_PATIENCE);
        for _ in 0..2 {
            let request = http::Request::get(&path).body(Body::empty());
            let request = request.map_err(|error| Error::malformed(&what, &error.to_string()))?;
            let (status, retry_after, bytes) =
                match tokio::time::timeout(patience, self.exchange(request)).await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(cause)) => return Err(Error::unreachable(&what, self.server(), &cause)),
                    Err(_) => continue,
                };
            let said = serde_json::from_slice::<Answered>(&bytes).ok();
            return match said {
                None if status != StatusCode::TOO_MANY_REQUESTS => Ok(true),
                Some(said) if said.misses_the_service(status) => Ok(false),
                Some(_) | None => {
                    let rule = Some(SERVICE_PROXY.rule_in("get", Some(namespace)));
                    Err(Error::answered(&what, rule, status, retry_after, &bytes))
                }
            };
        }
        Ok(false)
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
            .map_err(|error| Error::malformed(&what, &error.to_string()))?;
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
                .map_err(|error| Error::malformed(what, &error.to_string())),
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
        let request = http::Request::builder().method(method).uri(path);
        let request = match body {
            Some(body) => request
                .header(header::ACCEPT, JSON)
                .header(header::CONTENT_TYPE, form)
                .body(Body::from(body)),
            None => request.header(header::ACCEPT, form).body(Body::empty()),
        };
        let request = request.map_err(|error| Error::malformed(what, &error.to_string()))?;
        let answer = tokio::time::timeout(self.deadline, self.exchange(request)).await;
        let (status, retry_after, bytes) = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(cause)) => return Err(Error::unreachable(what, self.server(), &cause)),
            Err(_) => return Err(Error::timed_out(what, self.server(), self.deadline)),
        };
        if !status.is_success() {
            return Err(Error::answered(what, rule, status, retry_after, &bytes));
        }
        Ok(bytes)
    }

    async fn exchange(
        &self,
        request: http::Request<Body>,
    ) -> Result<(StatusCode, Option<Duration>, Vec<u8>), String> {
        let answer = self
            .client
            .send(request)
            .await
            .map_err(|error| chain(&error))?;
        self.read_clock(answer.headers());
        let status = answer.status();
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        // A page of pods has megabytes. Reading it frame by frame keeps one copy in memory instead
        // of three.
        let mut bytes = Vec::new();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| chain(&error))?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
        }
        Ok((status, retry_after.map(Duration::from_secs), bytes))
    }
}
