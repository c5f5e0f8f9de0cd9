//! Watches: streams of changes.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::body::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::{
    sync::watch::Receiver,
    time::{Instant, Interval, interval_at, sleep_until},
};

use crate::{lab::Lab, refusal::Refusal, request::Request, store::Event};

const LIFETIME: Duration = Duration::from_secs(1800);
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
const LAST_BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);

struct Watching {
    lab: Arc<Lab>,
    request: Request,
    /// The version up to which the watcher has everything.
    version: u64,
    ready: VecDeque<Bytes>,
    changes: Receiver<u64>,
    bookmarks: Interval,
    end: Instant,
}

/// Opens a watch and returns its stream.
pub(crate) fn watch(
    lab: &Arc<Lab>,
    request: Request,
) -> Result<impl Stream<Item = Result<Bytes, Infallible>> + use<>, Refusal> {
    let lifetime = request.query.timeout_seconds;
    let lifetime = lifetime.map_or(LIFETIME, Duration::from_secs);
    let last = lifetime.saturating_sub(LAST_BOOKMARK_BEFORE_END);
    let pause = last.clamp(Duration::from_secs(1), BOOKMARK_EVERY);
    let now = Instant::now();
    let later = |duration: Duration| now.checked_add(duration).unwrap_or(now);
    let mut watching = Watching {
        lab: Arc::clone(lab),
        version: 0,
        ready: VecDeque::new(),
        changes: lab.changed.subscribe(),
        bookmarks: interval_at(later(pause), pause),
        end: later(lifetime),
        request,
    };
    watching.begin()?;
    Ok(stream::unfold(watching, |mut watching| async move {
        let line = watching.next().await?;
        Some((Ok(line), watching))
    }))
}

// === impl Watching ===

impl Watching {
    /// Sends what the watcher has missed; if it has no version, everything.
    fn begin(&mut self) -> Result<(), Refusal> {
        let from = &self.request.query.resource_version;
        if !matches!(from.as_str(), "" | "0") {
            let from = from.parse();
            self.version = from.map_err(|_| Refusal::bad_request("invalid resource version"))?;
            self.catch_up();
            return Ok(());
        }
        let (store, key) = (self.lab.store(), &self.request.key);
        let all = store.all(key.kind, &key.namespace);
        let chosen = all.filter(|object| self.request.selects(object));
        self.ready = chosen.map(|object| line("ADDED", object)).collect();
        self.version = store.version;
        Ok(())
    }

    fn catch_up(&mut self) {
        let missed = self.lab.store().since(self.version);
        match missed {
            Ok(events) => events.iter().for_each(|event| self.take(event)),
            Err(refusal) => {
                self.ready.push_back(line("ERROR", &refusal.body()));
                self.end = Instant::now();
            }
        }
    }

    /// Sends an event. An object that begins to match is sent as added, and one that stops matching
    /// as deleted.
    fn take(&mut self, event: &Event) {
        self.version = event.version;
        let key = &self.request.key;
        let elsewhere = !key.namespace.is_empty() && key.namespace != event.key.namespace;
        if event.key.kind != key.kind || elsewhere {
            return;
        }
        let seen = |state: &Option<Arc<Value>>| {
            let state = state.clone();
            state.filter(|object| self.request.selects(object))
        };
        self.ready
            .extend(match (seen(&event.before), seen(&event.after)) {
                (None, None) => None,
                (None, Some(object)) => Some(line("ADDED", &object)),
                (Some(_), Some(object)) => Some(line("MODIFIED", &object)),
                (Some(object), None) => {
                    let mut last = Value::clone(&object);
                    last["metadata"]["resourceVersion"] = event.version.to_string().into();
                    Some(line("DELETED", &last))
                }
            });
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            tokio::select! {
                // The end has priority, and changes are sent before a bookmark.
                biased;
                () = sleep_until(self.end) => return None,
                changed = self.changes.changed() => {
                    changed.ok()?;
                    self.catch_up();
                }
                _ = self.bookmarks.tick(), if self.request.query.allow_watch_bookmarks => {
                    let kind = self.request.key.kind;
                    let meta = json!({ "resourceVersion": self.version.to_string() });
                    let (kind, version) = (kind.name(), kind.api_version());
                    let object = json!({ "kind": kind, "apiVersion": version, "metadata": meta });
                    return Some(line("BOOKMARK", &object));
                }
            }
        }
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({ "type": kind, "object": object })))
}
