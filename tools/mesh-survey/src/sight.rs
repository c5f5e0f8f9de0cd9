//! What could be looked at and what could not, and what that means for a survey.

use std::time::Duration;

use mesh_records::{Need, Unseen};
use serde::de::DeserializeOwned;

use mesh_cluster::object::Resource;
use mesh_cluster::wire::connect::Cluster;
use mesh_cluster::wire::error::{Error, Why};
use mesh_cluster::wire::page::{Page, Pages};

/// Why there is no survey: something that it needs could not be read.
#[derive(Debug)]
pub(crate) struct Blocked {
    /// What went wrong.
    pub(crate) error: Box<Error>,
    /// What was forbidden, if that was it.
    pub(crate) unseen: Option<Box<Unseen>>,
}

/// What a request was for, as an RBAC rule would name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// `get` or `list`.
    pub(crate) verb: &'static str,
    /// The resource.
    pub(crate) resource: &'a Resource,
    /// The object, if it was one.
    pub(crate) name: Option<&'a str>,
    /// The namespace, if one was named.
    pub(crate) namespace: Option<&'a str>,
}

/// How often a busy API server will still be asked again.
struct Patience {
    left: u32,
}

/// How often a busy API server is asked again for the same thing.
const PATIENCE: u32 = 5;
/// The most that one of these waits takes.
const PAUSE: Duration = Duration::from_secs(10);

impl Asked<'_> {
    /// The record of having been refused.
    pub(crate) fn unseen(&self, cluster: &Cluster, needed: Need, error: &Error) -> Unseen {
        let Self {
            verb,
            resource,
            name,
            namespace,
        } = *self;
        let group = if resource.group.is_empty() { "" } else { "." };
        let name = name.map(|name| format!("/{name}")).unwrap_or_default();
        Unseen {
            cluster: cluster.label().to_owned(),
            verb: verb.to_owned(),
            resource: format!("{}{group}{}{name}", resource.plural, resource.group),
            namespace: namespace.map(str::to_owned),
            needed,
            reason: error.reason(),
            rule: error
                .rule()
                .map_or_else(|| resource.rule(verb), str::to_owned),
        }
    }

    /// The answer to something that a survey cannot do without.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn required<T>(
        &self,
        cluster: &Cluster,
        answer: Result<T, Error>,
    ) -> Result<T, Blocked> {
        answer.map_err(|error| {
            let forbidden = error.why() == Why::Forbidden;
            let unseen = forbidden.then(|| Box::new(self.unseen(cluster, Need::Required, &error)));
            Blocked {
                error: Box::new(error),
                unseen,
            }
        })
    }

    /// The answer to something that only some rules need; a refusal is noted in `unseen`.
    ///
    /// # Errors
    /// There is none for another reason: then nothing can be trusted to be whole.
    pub(crate) fn optional<T>(
        &self,
        cluster: &Cluster,
        unseen: &mut Vec<Unseen>,
        answer: Result<T, Error>,
    ) -> Result<Option<T>, Blocked> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.why() == Why::Forbidden => {
                unseen.push(self.unseen(cluster, Need::Optional, &error));
                Ok(None)
            }
            Err(error) => self.required(cluster, Err(error)).map(Some),
        }
    }
}

/// The API server's version; a refusal is noted in `unseen`.
///
/// # Errors
/// There is none for another reason.
pub(crate) async fn kubernetes(
    cluster: &Cluster,
    unseen: &mut Vec<Unseen>,
) -> Result<Option<String>, Blocked> {
    match patient(|| cluster.kubernetes()).await {
        Ok(version) => Ok(Some(version)),
        Err(error) if error.why() == Why::Forbidden => {
            unseen.push(Unseen {
                cluster: cluster.label().to_owned(),
                verb: "get".to_owned(),
                resource: "/version".to_owned(),
                namespace: None,
                needed: Need::Optional,
                reason: error.reason(),
                rule: "nonResourceURLs: [\"/version\"], verbs: [get]".to_owned(),
            });
            Ok(None)
        }
        Err(error) => Err(Blocked {
            error: Box::new(error),
            unseen: None,
        }),
    }
}

/// An object that may well not be there.
///
/// # Errors
/// Whether it is there is not known.
pub(crate) async fn if_any<T>(
    request: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, Error> {
    match request.await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.why() == Why::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The answer to a read; a busy API server is asked again, a few times.
///
/// # Errors
/// There is none.
pub(crate) async fn patient<T, F: Future<Output = Result<T, Error>>>(
    mut read: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut patience = Patience::default();
    loop {
        match read().await {
            Ok(answer) => return Ok(answer),
            Err(error) => patience.with(error).await?,
        }
    }
}

/// Every page of a list. When the list has to begin again, `on` is told to forget what came before.
/// A busy API server is asked again, a few times.
///
/// # Errors
/// The list is not whole.
pub(crate) async fn each<T: DeserializeOwned>(
    mut pages: Pages<'_, T>,
    mut on: impl FnMut(Page<T>),
) -> Result<(), Error> {
    let mut patience = Patience::default();
    loop {
        match pages.next_page().await {
            Ok(Some(page)) => {
                patience = Patience::default();
                on(page);
            }
            Ok(None) => return Ok(()),
            Err(error) => patience.with(error).await?,
        }
    }
}

/// A whole list that is short by nature.
///
/// # Errors
/// The list is not whole.
pub(crate) async fn gather<T: DeserializeOwned>(pages: Pages<'_, T>) -> Result<Vec<T>, Error> {
    let mut all = Vec::new();
    let listed = each(pages, |page| match page {
        Page::Items(items) => all.extend(items),
        Page::Restarted => all.clear(),
    });
    listed.await?;
    Ok(all)
}

// === impl Patience ===

impl Default for Patience {
    fn default() -> Self {
        Self { left: PATIENCE }
    }
}

impl Patience {
    /// Waits out a busy server.
    async fn with(&mut self, error: Error) -> Result<(), Error> {
        if error.why() != Why::Busy || self.left == 0 {
            return Err(error);
        }
        self.left -= 1;
        let pause = error.retry_after().unwrap_or(Duration::from_secs(1));
        tokio::time::sleep(pause.min(PAUSE)).await;
        Ok(())
    }
}
