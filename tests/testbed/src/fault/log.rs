//! A log of the requests, in the form of the API server's audit log.

use std::sync::Mutex;

use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use jiff::{Timestamp, Zoned};
use mesh_lab::Witness;
use serde_json::Value;

use crate::{event::AuditEvent, lock::lock};

/// The user name of the lab's clients.
const ADMIN: &str = "testbed-admin";

/// The requests so far, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Log {
    seen: Mutex<Vec<Sighting>>,
}

#[derive(Debug)]
struct Sighting {
    event: AuditEvent,
    forwarded: bool,
    served: Option<End>,
    told: Option<End>,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
struct End {
    code: u16,
    at: Timestamp,
}

/// What a request path names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place {
    group: String,
    namespace: String,
    resource: String,
    name: String,
    subresource: String,
}

// === impl Log ===

impl Log {
    /// Logs a request and returns its number.
    pub(super) fn arrive(&self, event: AuditEvent) -> usize {
        let mut seen = lock(&self.seen);
        seen.push(Sighting {
            event,
            forwarded: false,
            served: None,
            told: None,
        });
        seen.len() - 1
    }

    pub(super) fn forwarded(&self, number: usize) {
        self.change(number, |sighting| sighting.forwarded = true);
    }

    pub(super) fn served(&self, number: usize, status: StatusCode) {
        self.change(number, |sighting| sighting.served = Some(End::now(status)));
    }

    pub(super) fn told(&self, number: usize, status: StatusCode) {
        self.change(number, |sighting| sighting.told = Some(End::now(status)));
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut Sighting)) {
        if let Some(sighting) = lock(&self.seen).get_mut(number) {
            change(sighting);
        }
    }

    /// Returns the log with the answers that the clients got.
    pub(super) fn clients(&self) -> Vec<AuditEvent> {
        let seen = lock(&self.seen);
        seen.iter()
            .map(|sighting| sighting.ended(sighting.told))
            .collect()
    }

    /// Returns the log with the answers that the server gave.
    pub(crate) fn servers(&self) -> Vec<AuditEvent> {
        let seen = lock(&self.seen);
        let forwarded = seen.iter().filter(|sighting| sighting.forwarded);
        forwarded
            .map(|sighting| sighting.ended(sighting.served))
            .collect()
    }
}

/// The log of the lab itself, without a proxy.
impl Witness for Log {
    fn arrived(&self, request: &Parts, body: &[u8]) -> usize {
        let mut event = event(request, body);
        if event.user.is_empty() {
            ADMIN.clone_into(&mut event.user);
        }
        let number = self.arrive(event);
        self.forwarded(number);
        number
    }

    fn answered(&self, number: usize, status: StatusCode) {
        self.served(number, status);
    }
}

impl Sighting {
    fn ended(&self, end: Option<End>) -> AuditEvent {
        AuditEvent {
            code: end.map(|end| end.code),
            completed: end.map(|end| end.at),
            ..self.event.clone()
        }
    }
}

impl End {
    fn now(status: StatusCode) -> Self {
        Self {
            code: status.as_u16(),
            at: now(),
        }
    }
}

/// Makes the event of an arriving request. `user` is empty unless the client impersonates somebody,
/// because only the server knows the user.
pub(super) fn event(request: &Parts, body: &[u8]) -> AuditEvent {
    let (path, query) = (request.uri.path(), request.uri.query().unwrap_or_default());
    let place = Place::of(path);
    let is_resource = place.is_some();
    let mut place = place.unwrap_or_default();
    let one = parameter(query, "fieldSelector").and_then(|fields| {
        let name = fields.strip_prefix("metadata.name")?.strip_prefix('=')?;
        Some(name.trim_start_matches('=').to_owned())
    });
    let verb = if is_resource {
        verb(&request.method, &place, query)
    } else {
        request.method.as_str().to_lowercase()
    };
    if place.name.is_empty() {
        place.name = match verb.as_str() {
            "list" | "watch" | "deletecollection" => one.unwrap_or_default(),
            "create" => name_of(body),
            _ => String::new(),
        };
    }
    let has_body = verb == "patch" && place.group == "apps" || place.subresource == "eviction";
    let uri = request.uri.path_and_query();
    AuditEvent {
        id: String::new(),
        user: text(&request.headers, "impersonate-user"),
        user_agent: text(&request.headers, header::USER_AGENT.as_str()),
        verb,
        group: place.group,
        resource: place.resource,
        subresource: place.subresource,
        namespace: place.namespace,
        name: place.name,
        uri: uri.map_or_else(String::new, ToString::to_string),
        dry_run: parameter(query, "dryRun").is_some(),
        received: now(),
        completed: None,
        code: None,
        body: has_body
            .then(|| serde_json::from_slice(body).ok())
            .flatten(),
    }
}

fn now() -> Timestamp {
    Zoned::now().timestamp()
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// Reads the name of an object to create, from JSON or protobuf.
fn name_of(body: &[u8]) -> String {
    if let Some(unknown) = body.strip_prefix(b"k8s\0") {
        // The path in the message: `raw` of runtime.Unknown, `metadata` of the object, `name`.
        let name = field(unknown, 2).and_then(|raw| field(field(raw, 1)?, 1));
        return String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
    }
    let object: Value = serde_json::from_slice(body).unwrap_or_default();
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Returns a length-delimited field of a protobuf message.
fn field(mut message: &[u8], number: u64) -> Option<&[u8]> {
    loop {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => drop(varint(&mut message)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (value, rest) = message.split_at_checked(length)?;
                if key >> 3 == number {
                    return Some(value);
                }
                message = rest;
            }
            _ => return None,
        }
    }
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn verb(method: &Method, place: &Place, query: &str) -> String {
    let watches = parameter(query, "watch").is_some_and(|it| matches!(it.as_str(), "true" | "1"));
    let named = !place.name.is_empty();
    let verb = match method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if named => "delete",
        "DELETE" => "deletecollection",
        _ if named => "get",
        _ if watches => "watch",
        _ => "list",
    };
    verb.to_owned()
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(value.replace("%3D", "=").replace("%3d", "="))
}

// === impl Place ===

impl Place {
    /// Parses a path; returns `None` for a path that is not a resource, such as `/version` or
    /// `/apis/apps/v1`.
    fn of(path: &str) -> Option<Self> {
        let path = path.trim_matches('/').replace("%3A", ":");
        let segments: Vec<&str> = path.split('/').collect();
        let (group, rest) = match segments[..] {
            ["api", _, ref rest @ ..] => ("", rest),
            ["apis", group, _, ref rest @ ..] => (group, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            // Subresources of a namespace belong to the resource `namespaces`.
            ["namespaces", namespace, rest @ ..]
                if !matches!(rest, [] | ["status" | "finalize"]) =>
            {
                (*namespace, rest)
            }
            ["namespaces", namespace, ..] => (*namespace, rest),
            _ => ("", rest),
        };
        let part = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
        (!rest.is_empty()).then(|| Self {
            group: group.to_owned(),
            namespace: namespace.to_owned(),
            resource: part(0),
            name: part(1),
            subresource: part(2),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_what_the_server_says_it_names() {
        let table = [
            ("/version", None),
            ("/apis", None),
            ("/apis/apps/v1", None),
            ("/api/v1/pods", Some(["", "", "pods", "", ""])),
            (
                "/api/v1/namespaces/shop",
                Some(["", "shop", "namespaces", "shop", ""]),
            ),
            (
                "/api/v1/namespaces/shop/status",
                Some(["", "shop", "namespaces", "shop", "status"]),
            ),
            (
                "/apis/apps/v1/namespaces/shop/deployments/web/scale",
                Some(["apps", "shop", "deployments", "web", "scale"]),
            ),
            (
                "/api/v1/namespaces/linkerd/services/https:injector:443/proxy/",
                Some(["", "linkerd", "services", "https:injector:443", "proxy"]),
            ),
        ];
        for (path, expected) in table {
            let place = Place::of(path).map(|place| {
                let Place {
                    group,
                    namespace,
                    resource,
                    name,
                    subresource,
                } = place;
                [group, namespace, resource, name, subresource]
            });
            let expected = expected.map(|parts| parts.map(str::to_owned));
            assert_eq!(place, expected, "{path}");
        }
    }
}
