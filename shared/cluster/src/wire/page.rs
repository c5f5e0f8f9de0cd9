//! Lists, page by page.

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::object::message::{Message, Unreadable, read};
use crate::object::{Object, Resource, or_none_at_all};
use crate::wire::arriving::{Arriving, More};
use crate::wire::cause::unreadable;
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::exchange::{ANSWER, Call, LIST};
use crate::wire::listing::{ListMeta, Listing};
use crate::wire::progress::Progress;
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

/// How a list is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// Page by page: the API server holds no long list in its memory.
    #[default]
    Paged,
    /// As current as pages, in one answer, which a server encodes object by object since 1.33. Where
    /// it does not arrive, the list is read in pages.
    Whole,
    /// In one answer from the server's watch cache: the cheapest, and possibly seconds old. Where it
    /// does not arrive, the list is read in pages.
    Cached,
}

/// A list that is read page by page.
#[derive(Debug)]
pub struct Pages<'a, T> {
    cluster: &'a Cluster,
    target: Target,
    query: String,
    reading: Reading,
    limit: u32,
    form: Form<T>,
    state: Paging,
    progress: Progress,
}

/// A step of a list.
#[derive(Debug)]
pub enum Page<T> {
    /// Some items of the list.
    Items(Vec<T>),
    /// The list expired on the server, or the connection broke, and it starts again: forget the
    /// items so far.
    Restarted,
}

#[derive(Debug)]
enum Paging {
    Next {
        token: Option<String>,
        restarts: u32,
    },
    Arriving {
        arriving: Box<Arriving>,
        restarts: u32,
    },
    Done {
        resource_version: String,
    },
}

// The form of a list, and how an object in protobuf is read; in JSON all are read alike.
#[derive(Debug)]
struct Form<T> {
    accept: &'static str,
    list: String,
    read: fn(&[u8]) -> Result<T, Unreadable>,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct ListAnswer<T> {
    kind: String,
    metadata: ListMeta,
    #[serde(deserialize_with = "or_none_at_all")]
    items: Vec<T>,
}

/// kubectl's page size.
const PAGE: u32 = 500;
/// The page size after a page was too large: as many objects of the largest size that etcd takes
/// (1.5 MiB) fit into one answer.
const SMALL_PAGE: u32 = 31;
/// How often a list may expire before it is given up.
const RESTARTS: u32 = 3;
/// A server that has no protobuf of a kind, such as a custom resource, answers in JSON.
const OBJECTS: &str = "application/vnd.kubernetes.protobuf,application/json";
const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                        application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

impl Cluster {
    /// Lists objects, page by page.
    pub fn pages<K: Object>(&self, selection: Selection<'_>) -> Pages<'_, K> {
        let form = Form {
            accept: OBJECTS,
            list: format!("{}List", K::RESOURCE.kind),
            read: read::<K>,
        };
        Pages::new(self, K::RESOURCE, selection, form)
    }

    /// Lists only the metadata of objects; `T` has the fields that are read.
    pub fn metadata_pages<T: DeserializeOwned + Message>(
        &self,
        resource: Resource,
        selection: Selection<'_>,
    ) -> Pages<'_, T> {
        let form = Form {
            accept: METADATA,
            list: format!("{PARTIAL}List"),
            read: read::<T>,
        };
        Pages::new(self, resource, selection, form)
    }

    /// Lists objects of a kind that has no slim type; `T` has the fields that are read.
    pub fn pages_as<T: DeserializeOwned>(
        &self,
        resource: Resource,
        selection: Selection<'_>,
    ) -> Pages<'_, T> {
        let form = Form {
            accept: JSON,
            list: format!("{}List", resource.kind),
            read: |_| Err(Unreadable::OtherForm),
        };
        Pages::new(self, resource, selection, form)
    }
}

/// Reads a list in JSON.
pub(crate) fn json_list<T: DeserializeOwned>(
    bytes: &[u8],
    wanted: &str,
) -> Result<(ListMeta, Vec<T>), String> {
    let ListAnswer {
        kind,
        metadata,
        items,
    } = serde_json::from_slice(bytes).map_err(|error| unreadable(&error))?;
    check_kind(&kind, wanted)?;
    Ok((metadata, items))
}

// === impl Pages ===

impl<'a, T: DeserializeOwned> Pages<'a, T> {
    fn new(
        cluster: &'a Cluster,
        resource: Resource,
        selection: Selection<'_>,
        form: Form<T>,
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
            reading: Reading::Paged,
            limit: PAGE,
            form,
            state,
            progress: Progress::default(),
        }
    }

    /// Selects by fields as well, such as `spec.nodeName=n1`.
    pub fn with_fields(mut self, fields: Option<&str>) -> Self {
        if let Some(fields) = fields {
            self.query.push_str("&fieldSelector=");
            self.query.extend(encode(fields));
        }
        self
    }

    /// Chooses how the list is read.
    pub fn reading(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    /// Returns the next step, or `None` after the last page.
    ///
    /// # Errors
    /// A request fails; [`Why`] gives the reason. The items so far are then only a part of the
    /// list.
    pub async fn next_page(&mut self) -> Result<Option<Page<T>>, Error> {
        if let Paging::Next { token, restarts } = &self.state {
            let (token, restarts) = (token.clone(), *restarts);
            if let Some(page) = self.ask(token.as_deref(), restarts).await? {
                return Ok(Some(page));
            }
        }
        let Paging::Arriving { arriving, restarts } = &mut self.state else {
            return Ok(None);
        };
        let restarts = *restarts;
        let what = self.target.say(&Method::GET);
        match arriving.more(self.cluster, &what, self.form.read).await {
            Ok(More::Items(items)) => Ok(Some(Page::Items(items))),
            Ok(More::End(meta, count)) => {
                let turned = self.turn(meta, count == 0, restarts);
                turned.map_err(|cause| Error::malformed(&what, cause))?;
                Ok(Some(Page::Items(Vec::new())))
            }
            // An API server ends an answer that takes it longer than a minute.
            Err(error) if self.asks_too_much(&error) && restarts < RESTARTS => {
                self.reading = Reading::Paged;
                Ok(Some(self.restart(restarts)))
            }
            Err(error) => Err(error),
        }
    }

    // Asks for a page; `None` if it arrives in protobuf.
    async fn ask(&mut self, token: Option<&str>, restarts: u32) -> Result<Option<Page<T>>, Error> {
        match self.answer(token).await {
            Ok(Ok(arriving)) => {
                let arriving = Box::new(arriving);
                self.state = Paging::Arriving { arriving, restarts };
                Ok(None)
            }
            Ok(Err((meta, items))) => {
                let turned = self.turn(meta, items.is_empty(), restarts);
                turned.map_err(|cause| Error::malformed(&self.target.say(&Method::GET), cause))?;
                Ok(Some(Page::Items(items)))
            }
            Err(error) if error.why() == Why::Gone && token.is_some() && restarts < RESTARTS => {
                Ok(Some(self.restart(restarts)))
            }
            Err(error) if self.asks_too_much(&error) => {
                self.reading = Reading::Paged;
                Ok(Some(Page::Items(Vec::new())))
            }
            Err(error) if error.is_oversized() && self.limit > SMALL_PAGE => {
                self.limit = SMALL_PAGE;
                Ok(Some(Page::Items(Vec::new())))
            }
            Err(error) => Err(error),
        }
    }

    // Whether pages may arrive where the whole list does not.
    fn asks_too_much(&self, error: &Error) -> bool {
        error.may_be_too_long() && self.reading != Reading::Paged
    }

    fn restart(&mut self, restarts: u32) -> Page<T> {
        self.progress = Progress::default();
        self.state = Paging::Next {
            token: None,
            restarts: restarts + 1,
        };
        Page::Restarted
    }

    // Goes to the next page, or to the end.
    fn turn(&mut self, meta: ListMeta, is_empty: bool, restarts: u32) -> Result<(), &'static str> {
        let ListMeta {
            resource_version,
            token,
        } = meta;
        if token.is_empty() {
            self.state = Paging::Done { resource_version };
            return Ok(());
        }
        self.progress.page(&token, is_empty)?;
        let token = Some(token);
        self.state = Paging::Next { token, restarts };
        Ok(())
    }

    async fn answer(
        &self,
        token: Option<&str>,
    ) -> Result<Result<Arriving, (ListMeta, Vec<T>)>, Error> {
        let (path, what) = (self.path(token), self.target.say(&Method::GET));
        let call = Call::get(&path, self.form.accept);
        let deadline = self.cluster.deadline;
        let opened = self.cluster.open(&what, &call, deadline).await?;
        if !opened.status().is_success() {
            let rule = self.target.rule(&Method::GET);
            return Err(opened.whole(ANSWER).await?.error(&what, Some(rule)));
        }
        if opened.is_protobuf() {
            let listing = Listing::new(self.form.list.clone(), ANSWER);
            let limit = opened.limit();
            let arriving = Arriving::new(opened.into_body(), listing, PAGE, limit);
            return Ok(Ok(arriving));
        }
        // What no server streams is read in pages where it is long.
        let cap = match self.reading {
            Reading::Paged => LIST,
            Reading::Whole | Reading::Cached => ANSWER,
        };
        let answer = opened.whole(cap).await?;
        let list = json_list(&answer.bytes, &self.form.list);
        Ok(Err(list.map_err(|cause| Error::malformed(&what, &cause))?))
    }

    fn path(&self, token: Option<&str>) -> String {
        let start = match self.reading {
            Reading::Paged => format!("?limit={}", self.limit),
            // Without a limit and a version: all, as of now.
            Reading::Whole => "?".to_owned(),
            Reading::Cached => "?resourceVersion=0".to_owned(),
        };
        let mut path = format!("{}{start}{}", self.target.path(), self.query);
        if let Some(token) = token {
            path.push_str("&continue=");
            path.extend(encode(token));
        }
        path
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
            Paging::Next { .. } | Paging::Arriving { .. } => None,
            Paging::Done { resource_version } => Some(resource_version),
        }
    }
}
