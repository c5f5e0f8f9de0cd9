//! Calls mutating admission webhooks over TLS, and applies their answers.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::{
    body::Bytes,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::{Client, Config, client::Body};
use serde_json::{Value, json};

use crate::{
    kind::{Key, Kind},
    lab::{Lab, lock},
    object::{count, fresh_uid, items, selector, selects, text},
    patch::apply_json,
    refusal::Refusal,
    store::Store,
};

/// Sends an object that is being created to each webhook that matches it.
pub(crate) async fn admit(
    lab: &Lab,
    key: &Key,
    mut object: Value,
    dry_run: bool,
) -> Result<Value, Refusal> {
    let hooks = matching(&lab.store(), key, &object);
    for hook in hooks {
        let name = text(&hook, "/name");
        let review = review(key, &object, dry_run);
        let response = match ask(lab, &hook, &review).await {
            Ok(response) => response,
            Err(_) if hook["failurePolicy"] == "Ignore" => continue,
            Err(error) => {
                let message = format!("failed calling webhook {name:?}: {error:#}");
                return Err(Refusal::new(500, "InternalError", message));
            }
        };
        if response["allowed"] != true {
            let why = text(&response, "/status/message");
            let message = format!("admission webhook {name:?} denied the request: {why}");
            return Err(Refusal::bad_request(message));
        }
        if let Some(patch) = response["patch"].as_str() {
            let patch = STANDARD.decode(patch).unwrap_or_default();
            let patch = serde_json::from_slice(&patch).unwrap_or_default();
            apply_json(&mut object, patch)?;
        }
    }
    Ok(object)
}

fn matching(store: &Store, key: &Key, object: &Value) -> Vec<Value> {
    let home = store.get(&Key::new(Kind::Namespace, "", &key.namespace));
    let asks = |hook: &&Value| {
        let covers = |rule: &Value| {
            let lists = |list, wanted: &str| items(rule, list).iter().any(|one| one == wanted);
            lists("/operations", "CREATE") && lists("/resources", key.kind.plural())
        };
        items(hook, "/rules").iter().any(covers)
            && home
                .as_ref()
                .is_ok_and(|home| selects(&selector(&hook["namespaceSelector"]), home))
            && selects(&selector(&hook["objectSelector"]), object)
    };
    hooks(store).filter(asks).cloned().collect()
}

fn hooks(store: &Store) -> impl Iterator<Item = &Value> {
    let configurations = store.all(Kind::MutatingWebhookConfiguration, "");
    configurations.flat_map(|configuration| items(configuration, "/webhooks"))
}

fn review(key: &Key, object: &Value, dry_run: bool) -> Value {
    let group = key.kind.group();
    let kind = json!({ "group": group, "version": "v1", "kind": key.kind.name() });
    let resource = json!({ "group": group, "version": "v1", "resource": key.kind.plural() });
    let request = json!({
        "uid": fresh_uid(), "kind": kind, "resource": resource, "operation": "CREATE",
        "name": key.name, "namespace": key.namespace, "object": object, "dryRun": dry_run,
    });
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request })
}

async fn ask(lab: &Lab, hook: &Value, review: &Value) -> anyhow::Result<Value> {
    let path = text(hook, "/clientConfig/service/path").trim_start_matches('/');
    let request = Request::post(format!("/{path}"))
        .header("content-type", "application/json")
        .body(Body::from(review.to_string().into_bytes()))?;
    let limit = Duration::from_secs(u64::try_from(count(hook, "/timeoutSeconds"))?);
    let (status, body) = tokio::time::timeout(limit, exchange(lab, hook, request)).await??;
    ensure!(status.is_success(), "the webhook answered {status}");
    let mut answer: Value = serde_json::from_slice(&body)?;
    Ok(answer["response"].take())
}

/// Sends a request to a Service through its `proxy` subresource, with the certificate authority of
/// its webhook.
pub(crate) async fn relay(lab: &Lab, key: &Key) -> Result<Response, Refusal> {
    let service = key
        .name
        .trim_start_matches("https:")
        .trim_end_matches(":443");
    let service = format!("{service}.{}.svc", key.namespace);
    let hook = hooks(&lab.store())
        .find(|hook| host(hook) == service)
        .cloned();
    let hook = hook.ok_or_else(|| Refusal::unsupported(format!("the proxy of {key}")))?;
    let request = Request::get("/").body(Body::empty()).expect("it is plain");
    let answer = exchange(lab, &hook, request).await.map_err(|error| {
        let message = format!("error trying to reach service: {error:#}");
        Refusal::new(503, "ServiceUnavailable", message)
    });
    Ok(answer?.into_response())
}

/// Returns the DNS name of a webhook's Service.
fn host(hook: &Value) -> String {
    let part = |field: &str| text(&hook["clientConfig"]["service"], field);
    format!("{}.{}.svc", part("/name"), part("/namespace"))
}

/// Sends one request over TLS to a webhook's Service, at the address that the test has set.
async fn exchange(
    lab: &Lab,
    hook: &Value,
    request: Request<Body>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let host = host(hook);
    let address = lock(&lab.routes).get(&host).copied();
    let address = address.context("connection refused")?;
    let bundle = STANDARD.decode(text(hook, "/clientConfig/caBundle"))?;
    let mut config = Config::new(format!("https://{address}").parse()?);
    config.root_cert = Some(vec![pem::parse(bundle)?.into_contents()]);
    config.tls_server_name = Some(host);
    config.default_retry = false;
    let response = Client::try_from(config)?.send(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}
