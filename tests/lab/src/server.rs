//! The HTTP server.

use std::{io, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header, request::Parts};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    admit::relay,
    discovery,
    kind::Kind,
    lab::{Lab, lock},
    list,
    refusal::Refusal,
    request::{self, Request},
    watch, write,
};

pub(crate) async fn serve(lab: Arc<Lab>, listener: TcpListener) -> io::Result<()> {
    axum::serve(listener, Router::new().fallback(answer).with_state(lab)).await
}

async fn answer(State(lab): State<Arc<Lab>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Refusal::bad_request("the body broke off").into_response();
    };
    let number = lab.witness.arrived(&parts, &body);
    let response = respond(&lab, &parts, &body)
        .await
        .unwrap_or_else(|refusal| {
            if refusal.code == 501 {
                lock(&lab.unknown).push(refusal.message.clone());
            }
            refusal.into_response()
        });
    lab.witness.answered(number, response.status());
    response
}

async fn respond(lab: &Arc<Lab>, parts: &Parts, body: &[u8]) -> Result<Response, Refusal> {
    let body = match body {
        [] => Value::Null,
        body => serde_json::from_slice(body)
            .map_err(|error| Refusal::bad_request(format!("reading the body: {error}")))?,
    };
    if let Some(response) = no_object(parts, &body)? {
        return Ok(response);
    }
    let request = Request::parse(parts)?;
    let Request { key, query, .. } = &request;
    let dry = !query.dry_run.is_empty();
    let method = parts.method.as_str();
    let (code, object) = match (method, key.name.as_str(), request.subresource.as_str()) {
        ("GET", "", "") if matches!(query.watch.as_str(), "true" | "1") => {
            let lines = Body::from_stream(watch::watch(lab, request)?);
            return Ok(([(header::CONTENT_TYPE, "application/json")], lines).into_response());
        }
        ("GET", "", "") => (200, Arc::new(list::list(&mut lab.store(), &request)?)),
        ("GET", _, "proxy") if key.kind == Kind::Service => return relay(lab, key).await,
        ("GET", _, "") if request.metadata_only => {
            (200, Arc::new(list::metadata(lab.store().get(key)?)))
        }
        ("GET", _, "") => (200, Arc::clone(lab.store().get(key)?)),
        ("POST", "", "") => (201, write::create(lab, key, &body, dry).await?),
        ("POST", _, "eviction") if key.kind == Kind::Pod => {
            let options = &body["deleteOptions"];
            let dry = dry || !options["dryRun"].is_null();
            let evict = lab.write(dry, |store| write::evict(store, key, options));
            (201, evict?)
        }
        ("PUT", _, "") | ("PATCH", _, "" | "status") => {
            let form = request::header(parts, header::CONTENT_TYPE.as_str());
            write::patch(lab, key, &request.subresource, (form, body), dry).await?
        }
        ("DELETE", _, "") => (
            200,
            lab.write(dry, |store| write::delete(store, key, &body))?,
        ),
        (_, _, _) => return Err(request::unknown(parts, "")),
    };
    let code = StatusCode::from_u16(code).expect("the codes are known");
    Ok((code, Json(&*object)).into_response())
}

/// Answers requests that are not for an object; returns `None` for the others.
fn no_object(parts: &Parts, body: &Value) -> Result<Option<Response>, Refusal> {
    let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    let status = match path[..] {
        ["version"] => {
            let version = json!({ "major": "1", "minor": "34", "gitVersion": "v1.34.5" });
            return Ok(Some(Json(version).into_response()));
        }
        ["api"] => return Ok(Some(discovery::versions())),
        ["apis"] => return Ok(Some(discovery::groups())),
        ["api", version] => return discovery::kinds(parts, "", version).map(Some),
        ["apis", group, version] => return discovery::kinds(parts, group, version).map(Some),
        // kubectl works without schemas.
        ["openapi", ..] => return Err(Refusal::no_such_path()),
        ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"] => {
            json!({ "userInfo": { "username": "testbed-admin" } })
        }
        // The lab has no access control.
        ["apis", _, "v1", "selfsubjectaccessreviews"] => json!({ "allowed": true }),
        _ => return Ok(None),
    };
    let mut review = body.clone();
    review["status"] = status;
    Ok(Some((StatusCode::CREATED, Json(review)).into_response()))
}
