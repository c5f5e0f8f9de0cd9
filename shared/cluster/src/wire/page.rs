//! Lists, page by page.

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::object::{Object, Resource, or_none_at_all};
use crate::wire::cause::unreadable;
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::request::{JSON, PARTIAL, check_kind};
use crate::wire::target::{Target, encode};

/// What a list selects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    /// The namespace; all namespaces if absent.
    pub namespace: Option<&'a str>,
    /// A label selector.
    pub labels: Option<&'a str>,
}

/// A list that is read page by page.
#[derive(Debug)]
pub struct Pages<'a, T> {
    cluster: &'a Cluster,
    target: Target,
    query: String,
    limit: u32,
    metadata: bool,
    state: Paging,
    progress: Progress,
    item: std::marker::PhantomData<T>,
}

/// A step of a list.
#[derive(Debug)]
pub enum Page<T> {
    /// Some items of the list.
    Items(Vec<T>),
    /// The list expired on the server and starts again: forget the items so far.
    Restarted,
}

#[derive(Debug)]
enum Paging {
    Next {
        token: Option<String>,
        restarts: u32,
    },
    Done {
        resource_version: String,
    },
}

// Whether a list gets nearer to its end: a broken server or proxy may answer with one page for ever.
#[derive(Debug, Default)]
struct Progress {
    pages: u64,
    // A token of an earlier page. It is replaced ever more rarely, so that a circle of any length
    // comes back to it.
    landmark: Option<String>,
    empty: u32,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct ListAnswer<T> {
    kind: String,
    metadata: ListMeta,
    #[serde(deserialize_with = "or_none_at_all")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    token: Option<String>,
}

/// kubectl's page size.
const PAGE: u32 = 500;
/// The page size after a page was too large: as many objects of the largest size that etcd takes
/// (1.5 MiB) fit into one answer.
const SMALL_PAGE: u32 = 31;
/// How many pages without an object may follow each other before the last one.
const EMPTY: u32 = 3;
/// How often a list may expire before it is given up.
const RESTARTS: u32 = 3;
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

impl Cluster {
    /// Lists objects, page by page.
    pub fn pages<K: Object>(&self, selection: Selection<'_>) -> Pages<'_, K> {
        Pages::new(self, K::RESOURCE, selection, false)
    }

    /// Lists only the metadata of objects; `T` has the fields that are read.
    pub fn metadata_pages<T: DeserializeOwned>(
        &self,
        resource: Resource,
        selection: Selection<'_>,
    ) -> Pages<'_, T> {
        Pages::new(self, resource, selection, true)
    }

    /// Lists objects of a kind that has no slim type; `T` has the fields that are read.
    pub fn pages_as<T: DeserializeOwned>(
        &self,
        resource: Resource,
        selection: Selection<'_>,
    ) -> Pages<'_, T> {
        Pages::new(self, resource, selection, false)
    }
}

// === impl Pages ===

impl<'a, T: DeserializeOwned> Pages<'a, T> {
    pub(crate) fn new(
        cluster: &'a Cluster,
        resource: Resource,
        selection: Selection<'_>,
        metadata: bool,
    ) -> Self {
        let Selection { namespace, labels } = selection;
        let target = match namespace {
            Some(namespace) => Target::within(resource, namespace),
            None => Target::all(resource),
        };
        let mut query = String::new();
        if let Some(labels) = labels {
            query.push_str("&labelSelector=");
            query.extend(encode(labels));
        }
        let state = Paging::Next {
            token: None,
            restarts: 0,
        };
        Self {
            cluster,
            target,
            query,
            limit: PAGE,
            metadata,
            state,
            progress: Progress::default(),
            item: std::marker::PhantomData,
        }
    }

    /// Returns the next step, or `None` after the last page.
    ///
    /// # Errors
    /// A request fails; [`Why`] gives the reason. The items so far are then only a part of the
    /// list.
    pub async fn next_page(&mut self) -> Result<Option<Page<T>>, Error> {
        let Paging::Next { token, restarts } = &self.state else {
            return Ok(None);
        };
        let restarts = *restarts;
        let mut query = format!("?limit={}{}", self.limit, self.query);
        if let Some(token) = token {
            query.push_str("&continue=");
            query.extend(encode(token));
        }
        match self.list(&query).await {
            Ok((
                ListMeta {
                    resource_version,
                    token,
                },
                items,
            )) => {
                let token = token.filter(|token| !token.is_empty());
                if let Some(token) = &token
                    && let Err(cause) = self.progress.page(token, items.is_empty())
                {
                    return Err(Error::malformed(&self.target.say(&Method::GET), cause));
                }
                self.state = match token {
                    Some(_) => Paging::Next { token, restarts },
                    None => Paging::Done { resource_version },
                };
                Ok(Some(Page::Items(items)))
            }
            Err(error) if error.why() == Why::Gone && token.is_some() && restarts < RESTARTS => {
                self.progress = Progress::default();
                self.state = Paging::Next {
                    token: None,
                    restarts: restarts + 1,
                };
                Ok(Some(Page::Restarted))
            }
            Err(error) if error.is_oversized() && self.limit > SMALL_PAGE => {
                self.limit = SMALL_PAGE;
                Ok(Some(Page::Items(Vec::new())))
            }
            Err(error) => Err(error),
        }
    }

    async fn list(&self, query: &str) -> Result<(ListMeta, Vec<T>), Error> {
        let form = if self.metadata { METADATA } else { JSON };
        let bytes = self.cluster.page(&self.target, query, form).await?;
        let malformed = |cause: &str| Error::malformed(&self.target.say(&Method::GET), cause);
        let ListAnswer {
            kind,
            metadata,
            items,
        } = serde_json::from_slice(&bytes).map_err(|error| malformed(&unreadable(&error)))?;
        let wanted = if self.metadata {
            PARTIAL
        } else {
            self.target.kind()
        };
        check_kind(&kind, &format!("{wanted}List")).map_err(|cause| malformed(&cause))?;
        Ok((metadata, items))
    }

    /// Reads the whole list at once; for short lists.
    pub async fn all(mut self) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        while let Some(page) = self.next_page().await? {
            match page {
                Page::Items(items) => all.extend(items),
                Page::Restarted => all.clear(),
            }
        }
        Ok(all)
    }

    /// Returns the resourceVersion of the list, or `None` before the last page.
    pub fn resource_version(&self) -> Option<&str> {
        match &self.state {
            Paging::Next { .. } => None,
            Paging::Done { resource_version } => Some(resource_version),
        }
    }
}

// === impl Progress ===

impl Progress {
    fn page(&mut self, token: &str, is_empty: bool) -> Result<(), &'static str> {
        if self.landmark.as_deref() == Some(token) {
            return Err("the list has no end: a continue token was repeated");
        }
        self.empty = if is_empty { self.empty + 1 } else { 0 };
        if self.empty >= EMPTY {
            return Err("the list has no end: pages have a continue token and no objects");
        }
        self.pages += 1;
        if self.pages.is_power_of_two() {
            self.landmark = Some(token.to_owned());
        }
        Ok(())
    }
}
