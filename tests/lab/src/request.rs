//! Parses a request from its line and headers.

use axum::extract::Query;
use http::{header, request::Parts};
use kube::core::{Expression, Selector};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::{
    kind::{Key, Kind},
    object::{selects, text},
    refusal::Refusal,
};

#[derive(Debug)]
pub(crate) struct Request {
    /// The key; without a name for a list, and without a namespace for all namespaces.
    pub(crate) key: Key,
    pub(crate) subresource: String,
    pub(crate) query: Parameters,
    pub(crate) labels: Selector,
    /// Whether only the metadata was asked for.
    pub(crate) metadata_only: bool,
}

/// The parameters that the lab knows.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Parameters {
    label_selector: String,
    field_selector: String,
    pub(crate) limit: usize,
    pub(crate) r#continue: String,
    pub(crate) resource_version: String,
    pub(crate) watch: String,
    pub(crate) allow_watch_bookmarks: bool,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) dry_run: String,
    #[serde(rename = "fieldManager")]
    _field_manager: IgnoredAny,
    #[serde(rename = "force")]
    _force: IgnoredAny,
}

/// Makes the answer to an unknown path. For a kind that Kubernetes itself does not have, the answer
/// is 404, because it needs a definition.
pub(crate) fn unknown(parts: &Parts, group: &str) -> Refusal {
    if group.contains('.') && !group.ends_with(".k8s.io") {
        return Refusal::no_such_path();
    }
    Refusal::unsupported(format!("{} {}", parts.method, parts.uri))
}

pub(crate) fn header<'a>(parts: &'a Parts, name: &str) -> &'a str {
    let value = parts
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// Reads the forms of label selectors that are used: `key`, `key=value` and `key in (value,value)`.
fn labels(selector: &str) -> Result<Selector, Refusal> {
    let mut needs = Vec::new();
    let mut rest = selector;
    while !rest.is_empty() {
        // A comma between parentheses is no end.
        let is_set = rest
            .find([',', '('])
            .is_some_and(|at| rest[at..].starts_with('('));
        let from = rest.find(')').filter(|_| is_set).unwrap_or(0);
        let end = rest[from..].find(',').map_or(rest.len(), |at| from + at);
        needs.push(need(&rest[..end])?);
        rest = rest[end..].trim_start_matches(',');
    }
    Ok(needs.into_iter().collect())
}

fn need(need: &str) -> Result<Expression, Refusal> {
    let set = need
        .split_once(" in (")
        .and_then(|(key, set)| Some((key, set.strip_suffix(')')?)));
    if let Some((key, set)) = set {
        let values = set.split(',').map(str::to_owned).collect();
        return Ok(Expression::In(key.to_owned(), values));
    }
    if need.contains(['!', '(', ' ']) {
        return Err(Refusal::unsupported(format!("the label selector {need:?}")));
    }
    Ok(match need.split_once('=') {
        Some((key, value)) => Expression::Equal(key.to_owned(), value.replace('=', "")),
        None => Expression::Exists(need.to_owned()),
    })
}

// === impl Request ===

impl Request {
    pub(crate) fn parse(parts: &Parts) -> Result<Self, Refusal> {
        let path = parts.uri.path().trim_matches('/');
        let segments: Vec<&str> = path.split('/').collect();
        let (group, rest) = match &segments[..] {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, "v1", rest @ ..] => (*group, rest),
            ["apis", group, ..] => return Err(unknown(parts, group)),
            _ => return Err(unknown(parts, "")),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            _ => ("", rest),
        };
        let part = |at: usize| rest.get(at).copied().unwrap_or_default();
        let kind = Kind::all().find(|kind| (kind.group(), kind.plural()) == (group, part(0)));
        let kind = kind.ok_or_else(|| unknown(parts, group))?;
        if kind.is_namespaced() && namespace.is_empty() && rest.len() > 1 {
            return Err(Refusal::no_such_path());
        }
        let query = Query::<Parameters>::try_from_uri(&parts.uri);
        let unknown = |error| Refusal::unsupported(format!("{}: {error}", parts.uri));
        let query = query.map_err(unknown)?.0;
        Ok(Self {
            key: Key::new(kind, namespace, part(1)),
            subresource: part(2).to_owned(),
            labels: labels(&query.label_selector)?,
            query,
            metadata_only: header(parts, header::ACCEPT.as_str()).contains("as=PartialObject"),
        })
    }

    /// Returns true if a list or a watch asks for this object.
    pub(crate) fn selects(&self, object: &Value) -> bool {
        let mut fields = self.query.field_selector.split_terminator(',');
        let holds = |field: &str| {
            let (field, value) = field.split_once('=').unwrap_or((field, ""));
            let pointer = field.trim_end_matches('!').replace('.', "/");
            (text(object, &format!("/{pointer}")) == value) != field.ends_with('!')
        };
        selects(&self.labels, object) && fields.all(holds)
    }
}
