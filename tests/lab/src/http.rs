//! The server: connections, requests, answers.

use std::{convert::Infallible, sync::Arc};

use futures::StreamExt as _;
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    admit::{Origin, relay},
    call::{self, Call, Subresource, Verb},
    core::Core,
    object,
    patch::Patch,
    read,
    record::Pending,
    refusal::Refusal,
    resource::Resource,
    store::Store,
    watch, write,
};

type Body = UnsyncBoxBody<Bytes, Infallible>;
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// A code and a body.
type Done = (u16, Vec<u8>);

/// Serves whoever comes.
pub(crate) async fn serve(core: Arc<Core>, listener: TcpListener) {
    loop {
        // A connection that cannot be taken is its client's loss.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let core = Arc::clone(&core);
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let core = Arc::clone(&core);
                async move { Ok::<_, Infallible>(answer(&core, request).await) }
            });
            let server = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answer);
            // Clients hang up as they like.
            drop(server.await);
        });
    }
}

async fn answer(core: &Arc<Core>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let user = user(&parts);
    let pending = core
        .record
        .arrive(&parts, user["username"].as_str().unwrap_or_default());
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return refuse(core, &pending, &Refusal::bad_request("the body broke off"));
    };
    let call = match plain(core, &parts, &body, &user).transpose() {
        Some(done) => return finish(core, &pending, done),
        None => Call::parse(&parts),
    };
    let call = match call {
        Ok(call) => call,
        Err(refusal) => return refuse(core, &pending, &refusal),
    };
    pending.is_call(&call);
    pending.has_body(&body);
    if call.verb == Verb::Watch {
        pending.answered(200);
        let lines =
            watch::watch(&mut core.store(), call, pending).map(|line| Ok(Frame::data(line)));
        return respond(200, JSON, StreamBody::new(lines).boxed_unsync());
    }
    let done = perform(core, &pending, &parts, &call, &body, &user).await;
    finish(core, &pending, done)
}

fn finish(core: &Core, pending: &Pending, done: Result<Done, Refusal>) -> Response<Body> {
    match done {
        Ok((code, body)) => {
            pending.answered(code);
            respond(code, JSON, Full::new(Bytes::from(body)).boxed_unsync())
        }
        Err(refusal) => refuse(core, pending, &refusal),
    }
}

fn refuse(core: &Core, pending: &Pending, refusal: &Refusal) -> Response<Body> {
    if refusal.code == 501 {
        core.record.note_unknown(&refusal.message);
    }
    pending.answered(refusal.code);
    if refusal.is_plain() {
        let body = Bytes::from(refusal.message.clone());
        return respond(refusal.code, TEXT, Full::new(body).boxed_unsync());
    }
    let body = Bytes::from(refusal.body().to_string());
    respond(refusal.code, JSON, Full::new(body).boxed_unsync())
}

fn respond(code: u16, form: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).expect("the codes are known");
    let form = HeaderValue::from_static(form);
    response.headers_mut().insert(header::CONTENT_TYPE, form);
    response
}

/// Who asks: the administrator, or whoever it acts for.
fn user(parts: &Parts) -> Value {
    let named = |header: &str| {
        let values = parts.headers.get_all(header).iter();
        values
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let (mut groups, acting) = (named("impersonate-group"), named("impersonate-user"));
    let name = acting.into_iter().next().unwrap_or_else(|| {
        groups = vec!["system:masters".to_owned()];
        "testbed-admin".to_owned()
    });
    groups.push("system:authenticated".to_owned());
    json!({ "username": name, "groups": groups })
}

/// Answers what is no object; none where it is for one.
fn plain(core: &Core, parts: &Parts, body: &[u8], user: &Value) -> Result<Option<Done>, Refusal> {
    if parts.method == Method::GET
        && let Some((group, version)) = call::group(parts.uri.path())
    {
        return kinds(parts, group, version).map(Some);
    }
    let status = match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/readyz") => return Ok(Some((200, b"ok".to_vec()))),
        (&Method::GET, "/version") => {
            let mut numbers = core.kubernetes.trim_start_matches('v').split('.');
            let (major, minor) = (numbers.next(), numbers.next());
            let version = json!({ "major": major, "minor": minor, "gitVersion": core.kubernetes });
            return Ok(Some((200, version.to_string().into_bytes())));
        }
        (&Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews") => {
            json!({ "userInfo": user })
        }
        // Everybody may do everything here.
        (&Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews") => {
            json!({ "allowed": true })
        }
        (_, _) => return Ok(None),
    };
    let mut review = read_json(body)?;
    review["status"] = status;
    Ok(Some((201, review.to_string().into_bytes())))
}

/// The kinds of a group.
fn kinds(parts: &Parts, group: &str, version: &str) -> Result<Done, Refusal> {
    let kinds: Vec<Value> = Resource::of_group(group, version)
        .map(|one| json!({ "name": one.plural, "kind": one.kind, "namespaced": one.is_namespaced() }))
        .collect();
    if kinds.is_empty() {
        return Err(call::unknown(group, parts));
    }
    let version = parts
        .uri
        .path()
        .trim_start_matches("/apis/")
        .trim_start_matches("/api/");
    let list = json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": kinds });
    Ok((200, list.to_string().into_bytes()))
}

async fn perform(
    core: &Core,
    pending: &Pending,
    parts: &Parts,
    call: &Call,
    body: &[u8],
    user: &Value,
) -> Result<Done, Refusal> {
    let dry_run = call.query.dry_run;
    let (code, answer) = match (call.verb, call.subresource) {
        (Verb::Get, Subresource::Proxy) => {
            return relay(core, &call.namespace, &call.name).await;
        }
        (Verb::Get, _) => return get(&core.store(), call),
        (Verb::List, _) => return Ok((200, read::list(&mut core.store(), call)?)),
        (Verb::Create, Subresource::Eviction) => {
            let evicted = write::evict(&mut core.store(), call, &read_json(body)?)?;
            (201, Arc::new(evicted))
        }
        (Verb::Create, _) => {
            let (origin, object) = (Origin { user, dry_run }, read_json(body)?);
            let object =
                write::create(core, call.resource, &call.namespace, &object, origin).await?;
            pending.is_named(object::name(&object));
            (201, object)
        }
        (Verb::Update, _) => (
            200,
            write::replace(&mut core.store(), call, &read_json(body)?)?,
        ),
        (Verb::Patch, _) => {
            let form = parts.headers.get(header::CONTENT_TYPE);
            let form = form.and_then(|form| form.to_str().ok()).unwrap_or_default();
            write::patch(core, call, Patch::read(form, body)?, user).await?
        }
        (Verb::Delete, _) => (200, Arc::new(write::delete(&mut core.store(), call, body)?)),
        (Verb::Watch, _) => return Err(Refusal::unsupported("a watch that is no stream")),
    };
    Ok((code, answer.to_string().into_bytes()))
}

fn get(store: &Store, call: &Call) -> Result<Done, Refusal> {
    let key = call.key();
    let object = store.get(&key).ok_or_else(|| Refusal::not_found(&key))?;
    let shown = if call.metadata_only {
        read::metadata(object)
    } else {
        object.to_string().into_bytes()
    };
    Ok((200, shown))
}

fn read_json(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("reading the body: {error}")))
}
