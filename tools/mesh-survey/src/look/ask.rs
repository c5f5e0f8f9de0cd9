//! Reads from the API server, and records what it refused.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::stream::{StreamExt as _, TryStreamExt as _};
use mesh_cluster::object::{Bare, Namespace, Object, Pod, Resource};
use mesh_cluster::wire::connect::Cluster;
use mesh_cluster::wire::error::{Error, Why};
use mesh_cluster::wire::page::{Page, Pages, Reading, Selection};
use mesh_cluster::wire::target::Target;
use mesh_records::{Need, Unseen};
use serde::de::DeserializeOwned;

use super::patience::{Patience, patient};
use super::wish::Wish;

/// Reads from one API server. A *required* read that fails ends the survey; an *optional* read may
/// be forbidden.
pub(crate) struct Ask<'a> {
    pub(super) cluster: &'a Cluster,
    /// The optional reads that the API server refused.
    pub(super) unseen: Vec<Unseen>,
    /// How often a list expired and was started again.
    pub(super) restarts: u32,
    /// The API server's version, if it may be read.
    pub(super) kubernetes: Option<String>,
    /// How lists are read.
    pub(super) reading: Reading,
    /// How many pods were read.
    pub(super) pods: Arc<AtomicU64>,
}

/// Why a survey failed: something that it requires could not be read.
#[derive(Debug)]
pub(crate) struct Blocked {
    /// The error.
    pub(crate) error: Box<Error>,
    /// The refused request, if the request was forbidden.
    pub(crate) unseen: Option<Box<Unseen>>,
}

/// A request in the terms of an RBAC rule.
#[derive(Clone, Copy)]
struct Request<'a> {
    verb: &'static str,
    resource: &'a Resource,
    name: Option<&'a str>,
    namespace: Option<&'a str>,
}

/// The number of objects that are read at the same time.
pub(super) const AT_A_TIME: usize = 4;

// === impl Ask ===

impl<'a> Ask<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        Self {
            cluster,
            pods: Arc::default(),
            unseen: Vec::new(),
            restarts: 0,
            kubernetes: None,
            reading: Reading::default(),
        }
    }

    /// Counts the pods that are read.
    pub(crate) fn counting(self, pods: Arc<AtomicU64>) -> Self {
        Self { pods, ..self }
    }

    /// Reads the cluster's identity.
    pub(crate) async fn uid(&self) -> Result<String, Blocked> {
        let request = Request::get(&Namespace::RESOURCE, None, Some("kube-system"));
        self.required(request, patient(|| self.cluster.uid()).await)
    }

    /// Reads a required object; returns `None` if it does not exist.
    pub(super) async fn object<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<K>, Blocked> {
        let request = Request::get(&K::RESOURCE, namespace, Some(name));
        let read = patient(|| self.cluster.get::<K>(namespace, name));
        self.required(request, if_any(read).await)
    }

    /// Reads a required object that must exist.
    pub(super) async fn existing<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<K, Blocked> {
        let request = Request::get(&K::RESOURCE, namespace, Some(name));
        let read = patient(|| self.cluster.get::<K>(namespace, name)).await;
        self.required(request, read)
    }

    /// Reads a required list page by page into an accumulator.
    pub(super) async fn list<K: Object, A: Default>(
        &mut self,
        selection: Selection<'_>,
        add: impl FnMut(&mut A, K),
    ) -> Result<A, Blocked> {
        let folded = self.fold(self.cluster.pages(selection), add).await;
        self.required(Request::list(&K::RESOURCE, selection), folded)
    }

    /// Reads the metadata of a required list page by page into an accumulator.
    pub(super) async fn metadata<A: Default>(
        &mut self,
        resource: &Resource,
        selection: Selection<'_>,
        add: impl FnMut(&mut A, Bare),
    ) -> Result<A, Blocked> {
        let pages = self.cluster.metadata_pages(*resource, selection);
        let folded = self.fold(pages, add).await;
        self.required(Request::list(resource, selection), folded)
    }

    /// Reads an optional object. The outer option is `None` if reading is forbidden, the inner if
    /// the object does not exist.
    pub(super) async fn optional_object<T: DeserializeOwned>(
        &mut self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Option<T>>, Blocked> {
        let target = Target::one(*resource, namespace, name);
        let read = if_any(patient(|| self.cluster.get_as(&target))).await;
        let request = Request::get(resource, namespace, Some(name));
        self.optional(request, read)
    }

    /// Reads optional objects of one cluster-wide kind; skips objects that are gone.
    pub(super) async fn optional_objects<T: DeserializeOwned>(
        &mut self,
        resource: &Resource,
        names: Vec<String>,
    ) -> Result<Option<Vec<T>>, Blocked> {
        let cluster = self.cluster;
        let reads = names.into_iter().map(|name| async move {
            let target = Target::one(*resource, None, &name);
            if_any(patient(|| cluster.get_as(&target))).await
        });
        let reads = futures::stream::iter(reads).buffered(AT_A_TIME);
        let read: Result<Vec<Option<T>>, Error> = reads.try_collect().await;
        let read = self.optional(Request::get(resource, None, None), read)?;
        Ok(read.map(|read| read.into_iter().flatten().collect()))
    }

    /// Reads an optional list into an accumulator.
    pub(super) async fn optional_list<K: Object, A: Default>(
        &mut self,
        selection: Selection<'_>,
        add: impl FnMut(&mut A, K),
    ) -> Result<Option<A>, Blocked> {
        let folded = self.fold(self.cluster.pages(selection), add).await;
        self.optional(Request::list(&K::RESOURCE, selection), folded)
    }

    /// Reads the metadata of an optional list.
    pub(super) async fn optional_metadata(
        &mut self,
        resource: &Resource,
        selection: Selection<'_>,
    ) -> Result<Option<Vec<Bare>>, Blocked> {
        let pages = self.cluster.metadata_pages(*resource, selection);
        let listed = self.fold(pages, Vec::push).await;
        self.optional(Request::list(resource, selection), listed)
    }

    /// Counts the objects of an optional list; `None` if that is forbidden, or if the API server serves
    /// other versions of the group than the one that is read.
    pub(super) async fn optional_count(
        &mut self,
        resource: &Resource,
        selection: Selection<'_>,
    ) -> Result<Option<usize>, Blocked> {
        let pages = self.cluster.metadata_pages(*resource, selection);
        match self.fold(pages, |count, _: Bare| *count += 1).await {
            Err(error) if error.why() == Why::NotFound => {
                let other = patient(|| self.cluster.has_group(resource.group)).await?;
                Ok((!other).then_some(0))
            }
            counted => self.optional(Request::list(resource, selection), counted),
        }
    }

    /// Takes the answers to dry-run pods; `None` if this user may not create any.
    pub(super) fn optional_probes<T>(
        &mut self,
        answer: Result<T, Error>,
    ) -> Result<Option<T>, Blocked> {
        let request = Request {
            verb: "create",
            resource: &Pod::RESOURCE,
            name: None,
            namespace: None,
        };
        self.optional(request, answer)
    }

    /// Asks which rights the survey requires and this user does not have, after a first refusal.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub(crate) async fn lacking(&self, wish: &Wish) -> Result<Vec<Unseen>, Error> {
        let lacking = self.cluster.lacking(wish.required()).await?;
        let unseen = lacking.into_iter().map(|right| Unseen {
            cluster: self.cluster.label().to_owned(),
            verb: right.verb.to_owned(),
            resource: named(&right.resource, right.name.as_deref()),
            namespace: right.namespace.clone(),
            needed: Need::Required,
            reason: "the access review says that this user lacks the right".to_owned(),
            rule: right.rule(),
        });
        Ok(unseen.collect())
    }

    /// Reads the API server's version; returns `None` if that is forbidden.
    pub(super) async fn kubernetes(&mut self) -> Result<Option<String>, Blocked> {
        match patient(|| self.cluster.kubernetes()).await {
            Ok(version) => Ok(Some(version)),
            Err(error) if error.why() == Why::Forbidden => {
                self.unseen.push(Unseen {
                    cluster: self.cluster.label().to_owned(),
                    verb: "get".to_owned(),
                    resource: "/version".to_owned(),
                    namespace: None,
                    needed: Need::Optional,
                    reason: error.reason(),
                    rule: "nonResourceURLs: [\"/version\"], verbs: [get]".to_owned(),
                });
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    // If a list expires and starts again, the accumulator starts again too.
    async fn fold<T: DeserializeOwned, A: Default>(
        &mut self,
        mut pages: Pages<'_, T>,
        mut add: impl FnMut(&mut A, T),
    ) -> Result<A, Error> {
        pages = pages.reading(self.reading);
        let mut folded = A::default();
        let mut patience = Patience::default();
        loop {
            match pages.next_page().await {
                Ok(Some(Page::Items(items))) => {
                    patience = Patience::default();
                    items.into_iter().for_each(|item| add(&mut folded, item));
                }
                Ok(Some(Page::Restarted)) => {
                    self.restarts += 1;
                    folded = A::default();
                }
                Ok(None) => return Ok(folded),
                Err(error) => patience.with(error).await?,
            }
        }
    }

    fn required<T>(&self, request: Request<'_>, answer: Result<T, Error>) -> Result<T, Blocked> {
        answer.map_err(|error| {
            let forbidden = error.why() == Why::Forbidden;
            let unseen = forbidden.then(|| request.unseen(self.cluster, Need::Required, &error));
            Blocked {
                error: Box::new(error),
                unseen: unseen.map(Box::new),
            }
        })
    }

    fn optional<T>(
        &mut self,
        request: Request<'_>,
        answer: Result<T, Error>,
    ) -> Result<Option<T>, Blocked> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.why() == Why::Forbidden => {
                let unseen = request.unseen(self.cluster, Need::Optional, &error);
                self.unseen.push(unseen);
                Ok(None)
            }
            Err(error) => self.required(request, Err(error)).map(Some),
        }
    }
}

impl From<Error> for Blocked {
    fn from(error: Error) -> Self {
        Self {
            error: Box::new(error),
            unseen: None,
        }
    }
}

// === impl Request ===

impl<'a> Request<'a> {
    fn get(resource: &'a Resource, namespace: Option<&'a str>, name: Option<&'a str>) -> Self {
        Self {
            verb: "get",
            resource,
            name,
            namespace,
        }
    }

    fn list(resource: &'a Resource, selection: Selection<'a>) -> Self {
        Self {
            verb: "list",
            resource,
            name: None,
            namespace: selection.namespace,
        }
    }

    /// Makes the record of a refused request.
    fn unseen(self, cluster: &Cluster, needed: Need, error: &Error) -> Unseen {
        let Self {
            verb,
            resource,
            name,
            namespace,
        } = self;
        Unseen {
            cluster: cluster.label().to_owned(),
            verb: verb.to_owned(),
            resource: named(resource, name),
            namespace: namespace.map(str::to_owned),
            needed,
            reason: error.reason(),
            rule: error
                .rule()
                .map_or_else(|| resource.rule(verb), str::to_owned),
        }
    }
}

fn named<S: AsRef<str>>(resource: &Resource<S>, name: Option<&str>) -> String {
    let (plural, of) = (resource.plural.as_ref(), resource.group.as_ref());
    let group = if of.is_empty() { "" } else { "." };
    let name = name.map(|name| format!("/{name}")).unwrap_or_default();
    format!("{plural}{group}{of}{name}")
}

async fn if_any<T>(read: impl Future<Output = Result<T, Error>>) -> Result<Option<T>, Error> {
    match read.await {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.why() == Why::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
