//! Follows a kind: one list and then its changes, by one watch per kind, without polling.

use std::collections::VecDeque;
use std::time::Duration;

use futures::stream::Stream;
use http::StatusCode;
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::core::WatchEvent;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use crate::object::Object;
use crate::wire::cause::unreadable;
use crate::wire::connect::Cluster;
use crate::wire::error::{Error, Why};
use crate::wire::exchange::{ANSWER, Call};
use crate::wire::page::{Page, Pages, Selection};
use crate::wire::request::JSON;
use crate::wire::target::encode;

/// A change of a watched kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<K> {
    /// A list begins: the first one, or one after a gap.
    Began,
    /// An object of the list.
    Seen(K),
    /// The list is complete: objects that were not seen since it began are gone.
    Listed {
        /// The resourceVersion of the list.
        resource_version: String,
    },
    /// An object was created or changed.
    Applied(K),
    /// An object was deleted; the field is its last state.
    Deleted(K),
}

/// Follows all objects of a kind that a selection matches.
///
/// If the version has expired, the list is read again. If the connection breaks, the watch is
/// opened again at the last version, for at most the time of one request. A connection that is
/// silent for [`SILENCE`] counts as broken. The stream ends with the first error.
#[derive(Debug)]
pub struct Watch<'a, K> {
    cluster: &'a Cluster,
    namespace: Option<String>,
    labels: Option<String>,
    fields: Option<&'static str>,
    step: Step<'a, K>,
    ready: VecDeque<Change<K>>,
    broken_since: Option<Instant>,
}

/// The API server sends a bookmark about once a minute; a watch that is silent for longer than this
/// counts as broken.
pub const SILENCE: Duration = Duration::from_secs(90);

/// How long the API server keeps one watch open, in seconds; the watch is then opened again.
const LIFETIME: u32 = 290;
const PAUSE: Duration = Duration::from_millis(200);
/// A watch that was open for so long worked, whatever ended it.
const STEADY: Duration = Duration::from_secs(5);

// The lines of a watch.
struct Events {
    body: Body,
    buffer: Vec<u8>,
    /// Since when the watch is open.
    since: Instant,
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    /// The connection ended, perhaps within a line. What was cut off comes again.
    End,
}

enum Step<'a, K> {
    Start,
    Listing(Box<Pages<'a, K>>),
    Opening { version: String },
    Watching { version: String, events: Events },
}

impl<K> std::fmt::Debug for Step<'_, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Start => "Start",
            Self::Listing(_) => "Listing",
            Self::Opening { .. } => "Opening",
            Self::Watching { .. } => "Watching",
        })
    }
}

impl<K> Change<K> {
    /// Applies `read` to the object of a change.
    pub fn map<T>(self, read: impl FnOnce(K) -> T) -> Change<T> {
        match self {
            Self::Began => Change::Began,
            Self::Seen(object) => Change::Seen(read(object)),
            Self::Listed { resource_version } => Change::Listed { resource_version },
            Self::Applied(object) => Change::Applied(read(object)),
            Self::Deleted(object) => Change::Deleted(read(object)),
        }
    }
}

impl Cluster {
    /// Follows all objects of a kind that `selection` matches.
    pub fn watch<K: Object>(&self, selection: Selection<'_>) -> Watch<'_, K> {
        Watch {
            cluster: self,
            namespace: selection.namespace.map(str::to_owned),
            labels: selection.labels.map(str::to_owned),
            fields: None,
            step: Step::Start,
            ready: VecDeque::new(),
            broken_since: None,
        }
    }
}

impl<'a, K: Object> Watch<'a, K> {
    /// Follows only the objects that a field selector selects. Each kind has few such fields.
    #[must_use]
    pub fn with_fields(self, fields: &'static str) -> Self {
        let fields = Some(fields);
        Self { fields, ..self }
    }

    /// Returns the changes as a stream that ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Change<K>, Error>> + 'a {
        futures::stream::try_unfold(self, |mut watch| async move {
            let change = watch.next_change().await?;
            Ok(Some((change, watch)))
        })
    }

    /// Waits for the next change, without a time limit.
    ///
    /// Cancelling the future loses a part of a list or an event. Keep it until it is ready, as
    /// [`Watch::into_stream`] does.
    ///
    /// # Errors
    /// The API server refuses, or cannot be reached for the time of one request.
    pub async fn next_change(&mut self) -> Result<Change<K>, Error> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(change);
            }
            self.step = match std::mem::replace(&mut self.step, Step::Start) {
                Step::Start => self.begin(),
                Step::Listing(pages) => self.list(pages).await?,
                Step::Opening { version } => self.open(version).await?,
                Step::Watching { version, events } => self.follow(version, events).await?,
            };
        }
    }

    fn begin(&mut self) -> Step<'a, K> {
        self.ready.push_back(Change::Began);
        let selection = Selection {
            namespace: self.namespace.as_deref(),
            labels: self.labels.as_deref(),
        };
        let pages = self.cluster.pages(selection);
        Step::Listing(Box::new(pages.with_fields(self.fields)))
    }

    async fn list(&mut self, mut pages: Box<Pages<'a, K>>) -> Result<Step<'a, K>, Error> {
        match pages.next_page().await {
            Ok(Some(Page::Items(items))) => {
                self.ready.extend(items.into_iter().map(Change::Seen));
                Ok(Step::Listing(pages))
            }
            Ok(Some(Page::Restarted)) => {
                self.ready.push_back(Change::Began);
                Ok(Step::Listing(pages))
            }
            Ok(None) => {
                self.broken_since = None;
                let version = pages.resource_version().unwrap_or_default().to_owned();
                self.ready.push_back(Change::Listed {
                    resource_version: version.clone(),
                });
                Ok(Step::Opening { version })
            }
            Err(error) => {
                self.wait_after(error).await?;
                Ok(Step::Start)
            }
        }
    }

    async fn open(&mut self, version: String) -> Result<Step<'a, K>, Error> {
        let error = match self.request(&version).await {
            Ok(events) => return Ok(Step::Watching { version, events }),
            Err(error) => error,
        };
        if error.why() == Why::Gone {
            return Ok(Step::Start);
        }
        self.wait_after(error).await?;
        Ok(Step::Opening { version })
    }

    async fn request(&self, version: &str) -> Result<Events, Error> {
        let path = K::RESOURCE.path(self.namespace.as_deref());
        let version = encode(version);
        let mut uri = format!(
            "{path}?watch=true&allowWatchBookmarks=true&timeoutSeconds={LIFETIME}&resourceVersion={version}"
        );
        if let Some(labels) = &self.labels {
            uri.push_str("&labelSelector=");
            uri.extend(encode(labels));
        }
        if let Some(fields) = self.fields {
            uri.push_str("&fieldSelector=");
            uri.extend(encode(fields));
        }
        let (what, call) = (Self::what(), Call::get(&uri, JSON));
        let deadline = self.cluster.deadline();
        let opened = self.cluster.open(&what, &call, deadline).await?;
        let status = opened.status();
        if status.is_success() {
            return Ok(Events::new(opened.into_body()));
        }
        // What the API server says may be missing, but not that it refuses.
        let said = opened.whole(ANSWER).await.map(|answer| answer.bytes);
        Err(self.answered(status, &said.unwrap_or_default()))
    }

    async fn follow(&mut self, version: String, mut events: Events) -> Result<Step<'a, K>, Error> {
        let event = match tokio::time::timeout(SILENCE, events.next()).await {
            // The watch was silent or ended. Nothing is lost: the next watch continues from the
            // same version.
            Err(_) => return self.reopen(version).await,
            Ok(Line::End) => {
                // A gateway ends a watch in which nothing comes for some time. That it was open, and ended
                // in order, shows that the API server answers.
                if events.since.elapsed() >= STEADY {
                    self.broken_since = None;
                }
                return self.reopen(version).await;
            }
            Ok(Line::TooLong) => return Err(Error::oversized(&Self::what(), ANSWER)),
            Ok(Line::Whole(line)) => serde_json::from_slice(&line),
        };
        match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                Ok(self.advance(Change::Applied, object, events))
            }
            Ok(WatchEvent::Deleted(object)) => Ok(self.advance(Change::Deleted, object, events)),
            Ok(WatchEvent::Bookmark(bookmark)) => {
                self.broken_since = None;
                Ok(Step::Watching {
                    version: bookmark.metadata.resource_version,
                    events,
                })
            }
            Ok(WatchEvent::Error(status)) if status.code == 410 => Ok(Step::Start),
            Ok(WatchEvent::Error(status)) => {
                let code = StatusCode::from_u16(status.code);
                let code = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let error = self.answered(code, &serde_json::to_vec(&status).unwrap_or_default());
                self.wait_after(error).await?;
                Ok(Step::Start)
            }
            Err(error) => Err(Error::malformed(&Self::what(), &unreadable(&error))),
        }
    }

    fn advance(&mut self, change: fn(K) -> Change<K>, object: K, events: Events) -> Step<'a, K> {
        self.broken_since = None;
        let version = object.meta().resource_version.clone();
        self.ready.push_back(change(object));
        Step::Watching { version, events }
    }

    async fn reopen(&mut self, version: String) -> Result<Step<'a, K>, Error> {
        let error = Error::unreachable(&Self::what(), self.cluster.server(), "the watch ended");
        self.wait_after(error).await?;
        Ok(Step::Opening { version })
    }

    // Waits a moment before the next attempt; returns the error once attempts have failed for
    // longer than one request may take.
    async fn wait_after(&mut self, error: Error) -> Result<(), Error> {
        let lasting = matches!(
            error.why(),
            Why::Unauthorized | Why::Forbidden | Why::NotFound | Why::Refused | Why::Malformed
        );
        let since = *self.broken_since.get_or_insert_with(Instant::now);
        if lasting || since.elapsed() >= self.cluster.deadline() {
            return Err(error);
        }
        tokio::time::sleep(
            error
                .retry_after()
                .unwrap_or(PAUSE)
                .min(self.cluster.deadline()),
        )
        .await;
        Ok(())
    }

    fn answered(&self, code: StatusCode, body: &[u8]) -> Error {
        let rule = K::RESOURCE.rule_in("watch", self.namespace.as_deref());
        Error::answered(&Self::what(), Some(rule), code, None, body)
    }

    fn what() -> String {
        format!("watching {}", K::RESOURCE.plural)
    }
}

// === impl Events ===

impl Events {
    fn new(body: Body) -> Self {
        Self {
            body,
            buffer: Vec::new(),
            since: Instant::now(),
        }
    }

    async fn next(&mut self) -> Line {
        let mut searched = 0;
        loop {
            let end = self.buffer[searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let rest = self.buffer.split_off(searched + end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                if line.iter().all(u8::is_ascii_whitespace) {
                    searched = 0;
                    continue;
                }
                return Line::Whole(line);
            }
            if self.buffer.len() > ANSWER {
                return Line::TooLong;
            }
            searched = self.buffer.len();
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    let data: &[u8] = frame.data_ref().map_or(&[], |data| data.as_ref());
                    self.buffer.extend_from_slice(data);
                }
                // Without a newline at the end, a whole last event is told from a part by its form.
                None if serde_json::from_slice::<IgnoredAny>(&self.buffer).is_ok() => {
                    return Line::Whole(std::mem::take(&mut self.buffer));
                }
                Some(Err(_)) | None => return Line::End,
            }
        }
    }
}
