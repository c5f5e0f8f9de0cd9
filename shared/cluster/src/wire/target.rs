//! The object or list that a request is about, and the options of a write.

use std::borrow::Cow;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::object::Resource;

/// The object or list that a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(super) resource: Resource<Cow<'static, str>>,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    subresource: Option<&'static str>,
}

/// The options of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether the API server only checks the write and stores nothing (`dryRun=All`).
    pub dry_run: bool,
    /// The field manager.
    pub field_manager: Option<&'static str>,
}

// === impl Target ===

impl Target {
    /// All objects of a kind.
    pub fn all(resource: impl Into<Resource<Cow<'static, str>>>) -> Self {
        Self {
            resource: resource.into(),
            namespace: None,
            name: None,
            subresource: None,
        }
    }

    /// The objects of a kind in a namespace; a create is sent to this path.
    pub fn within(resource: impl Into<Resource<Cow<'static, str>>>, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..Self::all(resource)
        }
    }

    /// One object.
    pub fn one(
        resource: impl Into<Resource<Cow<'static, str>>>,
        namespace: Option<&str>,
        name: &str,
    ) -> Self {
        Self {
            namespace: namespace.map(str::to_owned),
            name: Some(name.to_owned()),
            ..Self::all(resource)
        }
    }

    /// Where an object is created: its kind and namespace, without its name.
    pub fn collection(&self) -> Self {
        Self {
            name: None,
            ..self.clone()
        }
    }

    /// Where the API server keeps the kind.
    pub fn resource(&self) -> &Resource<Cow<'static, str>> {
        &self.resource
    }

    /// The namespace; none for all of them or for a cluster-wide kind.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// A subresource of the object, such as `eviction`.
    pub fn subresource(self, subresource: &'static str) -> Self {
        Self {
            subresource: Some(subresource),
            ..self
        }
    }

    pub(crate) fn kind(&self) -> &str {
        &self.resource.kind
    }

    pub(crate) fn path(&self) -> String {
        let mut path = self.resource.path(self.namespace.as_deref());
        for part in [self.name.as_deref(), self.subresource]
            .into_iter()
            .flatten()
        {
            path.push('/');
            path.extend(encode(part));
        }
        path
    }

    pub(crate) fn say(&self, method: &Method) -> String {
        let verb = match *method {
            Method::GET if self.name.is_none() => "listing",
            Method::GET => "reading",
            Method::POST if self.subresource.is_some() => "posting to",
            Method::POST => "creating",
            Method::DELETE => "deleting",
            _ => "writing",
        };
        let Self {
            resource,
            namespace,
            name,
            subresource,
        } = self;
        let place = [namespace.as_deref(), name.as_deref(), *subresource];
        let place: Vec<&str> = place.into_iter().flatten().collect();
        format!("{verb} {} {}", resource.plural, place.join("/"))
            .trim_end()
            .to_owned()
    }

    pub(crate) fn rule(&self, method: &Method) -> String {
        let verb = match *method {
            Method::GET if self.name.is_none() => "list",
            Method::GET => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::DELETE => "delete",
            _ => "patch",
        };
        let mut resource = self.resource.clone();
        if let Some(subresource) = self.subresource {
            resource.plural = format!("{}/{subresource}", resource.plural).into();
        }
        resource.rule_in(verb, self.namespace.as_deref())
    }
}

// === impl Options ===

impl Options {
    pub(crate) fn query(self) -> String {
        let Self {
            dry_run,
            field_manager,
        } = self;
        let mut parts = Vec::new();
        if dry_run {
            parts.push("dryRun=All".to_owned());
        }
        if let Some(manager) = field_manager {
            parts.push(format!("fieldManager={}", encode(manager)));
        }
        if parts.is_empty() {
            String::new()
        } else {
            format!("?{}", parts.join("&"))
        }
    }
}

/// Percent-encodes a path segment or a query value: all but RFC 3986's unreserved characters.
pub(crate) fn encode(text: &str) -> PercentEncode<'_> {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, RESERVED)
}
