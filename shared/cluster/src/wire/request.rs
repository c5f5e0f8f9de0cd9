//! Sends one request and reads one answer, within one time limit.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::object::{Object, Resource};
use crate::wire::cause::{cause, unreadable};
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
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
/// The longest answer but for a list. The API server takes no larger request than 3 MiB and etcd no
/// larger object than 1.5 MiB, so no object, and no list of kinds, comes near it.
pub(crate) const ANSWER: usize = 8 << 20;
/// The longest page of a list: 500 objects of 128 KiB, many times a usual pod. A list with larger
/// objects is read in smaller pages.
pub(crate) const LIST: usize = 64 << 20;
const APPLY: &str = "application/apply-patch+yaml";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
pub(crate) const PARTIAL: &str = "PartialObjectMetadata";
const MERGE: &str = "application/merge-patch+json";

/// A request before it has credentials.
pub(crate) struct Call<'a> {
    method: Method,
    path: &'a str,
    accept: &'a str,
    /// Its form and its bytes.
    body: Option<(&'a str, &'a [u8])>,
}

/// The credentials of one request.
pub(crate) struct Pass {
    header: Option<HeaderValue>,
    is_renewed: bool,
}

// A whole answer.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    bytes: Vec<u8>,
}

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

// === impl Call ===

impl<'a> Call<'a> {
    /// A read.
    pub(crate) fn get(path: &'a str, accept: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            accept,
            body: None,
        }
    }
}

// === impl Answer ===

impl Answer {
    fn error(&self, what: &str, rule: Option<String>) -> Error {
        Error::answered(what, rule, self.status, self.retry_after, &self.bytes)
    }
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
            let call = Call::get(&path, JSON);
            let answer = match self.exchange(&what, &call, patience, ANSWER).await {
                Ok(answer) => answer,
                Err(error) if error.why() == Why::TimedOut => continue,
                // The API server's own words are short, so the Service spoke.
                Err(error) if error.is_oversized() => return Ok(true),
                Err(error) => return Err(error),
            };
            let said = serde_json::from_slice::<Answered>(&answer.bytes).ok();
            return match said {
                None if answer.status != StatusCode::TOO_MANY_REQUESTS => Ok(true),
                Some(said) if said.misses_the_service(answer.status) => Ok(false),
                Some(_) | None => {
                    let rule = Some(SERVICE_PROXY.rule_in("get", Some(namespace)));
                    Err(answer.error(&what, rule))
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

    /// Reads a page of a list, which may be larger than any other answer.
    pub(crate) async fn page(
        &self,
        target: &Target,
        query: &str,
        form: &str,
    ) -> Result<Vec<u8>, Error> {
        let what = target.say(&Method::GET);
        let path = format!("{}{query}", target.path());
        let call = Call::get(&path, form);
        let answer = self.exchange(&what, &call, self.deadline, LIST).await?;
        if !answer.status.is_success() {
            return Err(answer.error(&what, Some(target.rule(&Method::GET))));
        }
        Ok(answer.bytes)
    }

    /// Sends a request with the user's credentials and reads the whole answer.
    async fn exchange(
        &self,
        what: &str,
        call: &Call<'_>,
        patience: Duration,
        cap: usize,
    ) -> Result<Answer, Error> {
        let mut pass = self.pass(what).await?;
        loop {
            let exchange = async {
                let head = self.head(what, call, &pass).await?;
                let status = head.status();
                let retry_after = head.headers().get(header::RETRY_AFTER);
                let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
                let bytes = self.body(what, head.into_body(), cap).await?;
                Ok(Answer {
                    status,
                    retry_after: retry_after.map(Duration::from_secs),
                    bytes,
                })
            };
            let answer = tokio::time::timeout(patience, exchange).await;
            let Ok(answer) = answer else {
                return Err(Error::timed_out(what, self.server(), patience));
            };
            let answer = answer?;
            if answer.status != StatusCode::UNAUTHORIZED || !self.renew(what, &mut pass).await? {
                return Ok(answer);
            }
        }
    }

    /// Returns the credentials for a request.
    pub(crate) async fn pass(&self, what: &str) -> Result<Pass, Error> {
        let header = self.credentials.header(self.now()).await;
        let header = header.map_err(|error| Error::without_credentials(what, error))?;
        Ok(Pass {
            header,
            is_renewed: false,
        })
    }

    /// Renews credentials that the API server refused, once for a request.
    pub(crate) async fn renew(&self, what: &str, pass: &mut Pass) -> Result<bool, Error> {
        if std::mem::replace(&mut pass.is_renewed, true) {
            return Ok(false);
        }
        let renewed = self.credentials.renewed(pass.header.as_ref()).await;
        let renewed = renewed.map_err(|error| Error::without_credentials(what, error))?;
        let is_new = renewed.is_some();
        pass.header = renewed.or_else(|| pass.header.take());
        Ok(is_new)
    }

    /// Sends a request and waits for the head of its answer, without a time limit.
    pub(crate) async fn head(
        &self,
        what: &str,
        call: &Call<'_>,
        pass: &Pass,
    ) -> Result<http::Response<Body>, Error> {
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(call.path)
            .header(header::ACCEPT, call.accept);
        if let Some(header) = &pass.header {
            request = request.header(header::AUTHORIZATION, header);
        }
        let request = match call.body {
            Some((form, body)) => request
                .header(header::CONTENT_TYPE, form)
                .body(Body::from(body.to_vec())),
            None => request.body(Body::empty()),
        };
        let request = request.map_err(|_| Error::malformed(what, "the request has no address"))?;
        let answer = self.client.send(request).await;
        let answer =
            answer.map_err(|error| Error::unreachable(what, self.server(), cause(&error)))?;
        self.read_clock(answer.headers());
        Ok(answer)
    }

    /// Reads a body that is no longer than `cap` after it was decompressed.
    pub(crate) async fn body(
        &self,
        what: &str,
        mut body: Body,
        cap: usize,
    ) -> Result<Vec<u8>, Error> {
        // A page of pods has megabytes. Reading it frame by frame keeps one copy in memory instead
        // of three.
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Error::unreachable(what, self.server(), cause(&error)))?;
            let data: &[u8] = frame.data_ref().map_or(&[], |data| data.as_ref());
            if bytes.len().saturating_add(data.len()) > cap {
                return Err(Error::oversized(what, cap));
            }
            bytes.extend_from_slice(data);
        }
        Ok(bytes)
    }
}
