//! What a request asks for, read from its line and its headers.

use http::{Method, header, request::Parts};
use percent_encoding::percent_decode_str;

use crate::{
    refusal::Refusal,
    resource::{Key, Resource},
    selector::{Fields, Selector},
};

/// A request for objects.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    pub(crate) resource: &'static Resource,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: Subresource,
    pub(crate) query: Query,
    /// Only the metadata of what is listed.
    pub(crate) metadata_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subresource {
    None,
    Status,
    Eviction,
    Proxy,
}

/// The parameters that the lab knows.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) labels: Selector,
    pub(crate) fields: Fields,
    pub(crate) limit: usize,
    pub(crate) token: String,
    pub(crate) version: String,
    watch: bool,
    pub(crate) bookmarks: bool,
    pub(crate) timeout: Option<u64>,
    pub(crate) dry_run: bool,
    pub(crate) grace: Option<i64>,
}

/// The names of a resource path, whether or not the lab knows the resource.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) group: String,
    version: String,
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
}

/// What the lab does not know; what no Kubernetes brings is there only with its definition.
pub(crate) fn unknown(group: &str, parts: &Parts) -> Refusal {
    if group.contains('.') && !group.ends_with(".k8s.io") {
        return Refusal::no_such_path();
    }
    Refusal::unsupported(format!("{} {}", parts.method, parts.uri))
}

/// The group and the version of a path that names nothing else.
pub(crate) fn group(path: &str) -> Option<(&str, &str)> {
    let only = |version: &str| !version.contains('/');
    match path.strip_prefix("/apis/") {
        Some(rest) => rest.split_once('/').filter(|(_, version)| only(version)),
        None => path
            .strip_prefix("/api/")
            .filter(|version| only(version))
            .map(|version| ("", version)),
    }
}

fn wants_metadata(parts: &Parts, verb: Verb) -> Result<bool, Refusal> {
    let accept = parts
        .headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    match accept.filter(|accept| accept.contains("as=")) {
        None => Ok(false),
        Some(accept)
            if accept.contains("as=PartialObjectMetadata")
                && matches!(verb, Verb::Get | Verb::List) =>
        {
            Ok(true)
        }
        Some(accept) => Err(Refusal::unsupported(format!("answers as {accept}"))),
    }
}

// === impl Place ===

impl Place {
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut segments: Vec<String> = Vec::new();
        for segment in path.trim_matches('/').split('/') {
            segments.push(percent_decode_str(segment).decode_utf8().ok()?.into_owned());
        }
        let mut segments = segments.into_iter();
        let (group, version) = match segments.next()?.as_str() {
            "api" => (String::new(), segments.next()?),
            "apis" => (segments.next()?, segments.next()?),
            _ => return None,
        };
        let rest: Vec<String> = segments.collect();
        let (namespace, rest) = match &rest[..] {
            [first, namespace, plural, ..] if first == "namespaces" && plural != "status" => {
                (namespace.clone(), &rest[2..])
            }
            _ => (String::new(), &rest[..]),
        };
        let part = |at: usize| rest.get(at).cloned().unwrap_or_default();
        (1..=3).contains(&rest.len()).then(|| Self {
            group,
            version,
            plural: part(0),
            namespace,
            name: part(1),
            subresource: part(2),
        })
    }
}

// === impl Call ===

impl Call {
    pub(crate) fn parse(parts: &Parts) -> Result<Self, Refusal> {
        let place = Place::parse(parts.uri.path()).ok_or_else(|| unknown("", parts))?;
        let Place {
            group,
            version,
            plural,
            ..
        } = &place;
        let resource = Resource::find(group, version, plural);
        let resource = resource.ok_or_else(|| unknown(group, parts))?;
        let subresource = match (place.subresource.as_str(), parts.method == Method::POST) {
            ("", _) => Subresource::None,
            ("status", false) if resource.has_status() => Subresource::Status,
            ("eviction", true) if resource.plural == "pods" => Subresource::Eviction,
            ("proxy", false) if resource.plural == "services" && parts.method == Method::GET => {
                Subresource::Proxy
            }
            (_, _) => return Err(unknown("", parts)),
        };
        let query = Query::parse(resource, parts.uri.query().unwrap_or_default())?;
        let verb = Verb::of(
            &parts.method,
            !place.name.is_empty(),
            subresource,
            query.watch,
        );
        let verb = verb.ok_or_else(|| unknown("", parts))?;
        let metadata_only = wants_metadata(parts, verb)?;
        let many = matches!(verb, Verb::List | Verb::Watch);
        if resource.is_namespaced() && place.namespace.is_empty() && !many {
            return Err(Refusal::no_such_path());
        }
        let Place {
            namespace, name, ..
        } = place;
        Ok(Self {
            verb,
            resource,
            namespace,
            name,
            subresource,
            query,
            metadata_only,
        })
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(self.resource, &self.namespace, &self.name)
    }
}

// === impl Query ===

impl Query {
    fn parse(resource: &Resource, text: &str) -> Result<Self, Refusal> {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let number = || {
                let wrong = |_| Refusal::bad_request(format!("{name} is no number: {value}"));
                value.parse::<u64>().map_err(wrong)
            };
            let yes = matches!(&*value, "true" | "1");
            match &*name {
                "labelSelector" => query.labels = Selector::parse(&value)?,
                "fieldSelector" => query.fields = Fields::parse(resource, &value)?,
                "limit" => query.limit = usize::try_from(number()?).unwrap_or(usize::MAX),
                "continue" => query.token = value.into_owned(),
                "resourceVersion" => query.version = value.into_owned(),
                "watch" => query.watch = yes,
                "allowWatchBookmarks" => query.bookmarks = yes,
                "timeoutSeconds" => query.timeout = Some(number()?),
                "dryRun" if value == "All" => query.dry_run = true,
                "gracePeriodSeconds" => query.grace = i64::try_from(number()?).ok(),
                // Who writes is nothing to the lab: it knows no managed fields.
                "fieldManager" | "force" | "pretty" => {}
                "propagationPolicy" if value == "Background" => {}
                _ => {
                    return Err(Refusal::unsupported(format!(
                        "the parameter {name}={value}"
                    )));
                }
            }
        }
        Ok(query)
    }
}

// === impl Verb ===

impl Verb {
    fn of(method: &Method, named: bool, subresource: Subresource, watch: bool) -> Option<Self> {
        match (method, named) {
            (&Method::GET, true) if !watch => Some(Self::Get),
            (&Method::GET, false) if watch => Some(Self::Watch),
            (&Method::GET, false) => Some(Self::List),
            (&Method::POST, named) if named == (subresource == Subresource::Eviction) => {
                Some(Self::Create)
            }
            (&Method::PUT, true) => Some(Self::Update),
            (&Method::PATCH, true) => Some(Self::Patch),
            (&Method::DELETE, true) => Some(Self::Delete),
            (_, _) => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}
