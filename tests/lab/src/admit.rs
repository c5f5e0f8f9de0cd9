//! Mutating admission webhooks: which are asked, over TLS where their Service is, and what comes
//! of their answers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::{
    core::Core,
    defaults, fill,
    object::{self, count, fresh_uid, items, text},
    patch,
    refusal::Refusal,
    resource::{Key, MUTATING_WEBHOOKS, NAMESPACES},
    selector::Selector,
    store::Store,
};

type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Who creates an object, and whether in earnest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) user: &'a Value,
    pub(crate) dry_run: bool,
}

/// Leads an object that is being created through the webhooks that ask for it.
pub(crate) async fn admit(
    core: &Core,
    key: &Key,
    mut object: Value,
    origin: Origin<'_>,
) -> Result<Value, Refusal> {
    let hooks = matching(&core.store(), key, &object);
    for hook in hooks {
        let review = review(key, &object, origin);
        let response = match ask(core, &hook, &review).await {
            Ok(response) => response,
            Err(_) if hook["failurePolicy"] == "Ignore" => continue,
            Err(error) => {
                let name = text(&hook, "/name");
                let message = format!(
                    "Internal error occurred: failed calling webhook {name:?}: failed to call webhook: {error}"
                );
                return Err(Refusal::new(500, "InternalError", message));
            }
        };
        if response["allowed"] != true {
            let why = text(&response, "/status/message");
            let message = format!(
                "admission webhook {:?} denied the request: {why}",
                text(&hook, "/name")
            );
            return Err(Refusal::new(400, "BadRequest", message));
        }
        if let Some(operations) = response["patch"].as_str() {
            let operations = STANDARD.decode(operations).ok();
            let operations = operations.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let operations: Value =
                operations.ok_or_else(|| Refusal::unsupported("such a patch of a webhook"))?;
            patch::apply_json(&mut object, &operations)?;
        }
    }
    defaults::fill(key.resource, &mut object);
    fill::check(key, &object, None)?;
    Ok(object)
}

fn matching(store: &Store, key: &Key, object: &Value) -> Vec<Value> {
    let home = store.get(&Key::new(&NAMESPACES, "", key.namespace()));
    let mut hooks = Vec::new();
    for (_, configuration) in store.all(&MUTATING_WEBHOOKS, "") {
        for hook in items(configuration, "/webhooks") {
            let asks = items(hook, "/rules").iter().any(|rule| covers(rule, key));
            let home =
                home.is_none_or(|home| Selector::of(&hook["namespaceSelector"]).matches(home));
            if asks && home && Selector::of(&hook["objectSelector"]).matches(object) {
                hooks.push(hook.clone());
            }
        }
    }
    hooks
}

fn covers(rule: &Value, key: &Key) -> bool {
    let resource = key.resource;
    let has = |list: &str, wanted: &str| {
        items(rule, list)
            .iter()
            .any(|value| value == wanted || value == "*")
    };
    has("/operations", "CREATE")
        && has("/apiGroups", resource.group)
        && has("/apiVersions", resource.version)
        && has("/resources", resource.plural)
}

fn review(key: &Key, object: &Value, origin: Origin<'_>) -> Value {
    let resource = key.resource;
    let kind =
        json!({ "group": resource.group, "version": resource.version, "kind": resource.kind });
    let place = json!({ "group": resource.group, "version": resource.version, "resource": resource.plural });
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": fresh_uid(),
        "kind": kind,
        "requestKind": kind,
        "resource": place,
        "requestResource": place,
        "name": object::name(object),
        "namespace": key.namespace(),
        "operation": "CREATE",
        "userInfo": origin.user,
        "object": object,
        "oldObject": null,
        "dryRun": origin.dry_run,
    } })
}

async fn ask(core: &Core, hook: &Value, review: &Value) -> Result<Value, Broken> {
    let limit = u64::try_from(count(hook, "/timeoutSeconds"))?;
    let answer =
        tokio::time::timeout(Duration::from_secs(limit), send(core, hook, review)).await??;
    let answer: Value = serde_json::from_slice(&answer)?;
    if answer["response"]["uid"] != review["request"]["uid"] {
        return Err("the answer is to another review".into());
    }
    Ok(answer["response"].clone())
}

async fn send(core: &Core, hook: &Value, review: &Value) -> Result<Bytes, Broken> {
    let service = |field: &str| text(&hook["clientConfig"]["service"], field);
    let path = match service("/path") {
        "" => "/",
        path => path,
    };
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(review.to_string())))?;
    let bundle = text(hook, "/clientConfig/caBundle");
    let (namespace, name) = (service("/namespace"), service("/name"));
    let (status, body) = exchange(core, namespace, name, bundle, request).await?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("the webhook answered {status}").into())
    }
}

/// Asks a Service through its `proxy` subresource, trusting whom its webhook trusts.
pub(crate) async fn relay(
    core: &Core,
    namespace: &str,
    name: &str,
) -> Result<(u16, Vec<u8>), Refusal> {
    let unknown = || Refusal::unsupported(format!("the proxy of {namespace}/{name}"));
    let service = name
        .strip_prefix("https:")
        .and_then(|name| name.strip_suffix(":443"));
    let service = service.ok_or_else(unknown)?;
    let bundle = bundle(&core.store(), namespace, service).ok_or_else(unknown)?;
    let request = Request::get("/")
        .body(Full::default())
        .expect("a plain request is one");
    match exchange(core, namespace, service, &bundle, request).await {
        Ok((status, body)) => Ok((status.as_u16(), body.to_vec())),
        Err(error) => {
            let message = format!("error trying to reach service: {error}");
            Err(Refusal::new(503, "ServiceUnavailable", message))
        }
    }
}

fn bundle(store: &Store, namespace: &str, service: &str) -> Option<String> {
    let configurations = store.all(&MUTATING_WEBHOOKS, "").map(|(_, one)| one);
    let mut hooks = configurations.flat_map(|one| items(one, "/webhooks"));
    let hook = hooks.find(|hook| {
        let of = &hook["clientConfig"]["service"];
        of["namespace"] == namespace && of["name"] == service
    });
    hook.map(|hook| text(hook, "/clientConfig/caBundle").to_owned())
}

/// One request to a Service over TLS, to where it was said to be.
async fn exchange(
    core: &Core,
    namespace: &str,
    name: &str,
    bundle: &str,
    mut request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Broken> {
    let address: SocketAddr = core.route(namespace, name).ok_or("connection refused")?;
    let host = format!("{name}.{namespace}.svc");
    request
        .headers_mut()
        .insert(header::HOST, HeaderValue::from_str(&host)?);
    let connector = connector(&STANDARD.decode(bundle)?)?;
    let stream = TcpStream::connect(address).await?;
    let stream = connector
        .connect(ServerName::try_from(host)?, stream)
        .await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    driver.abort();
    Ok((status, body))
}

fn connector(bundle: &[u8]) -> Result<TlsConnector, Broken> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
