//! Watches: a stream of changes as their watcher sees them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{Stream, stream};
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep_until},
};

use crate::{
    call::Call,
    record::Pending,
    refusal::Refusal,
    store::{Event, Store},
};

/// How long a watch stays open that does not say it.
const LIFETIME: Duration = Duration::from_secs(1800);
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// The last bookmark comes so long before the end.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

struct Watching {
    call: Call,
    /// The version up to which the watcher knows everything.
    version: u64,
    ready: VecDeque<Bytes>,
    events: UnboundedReceiver<Arc<Event>>,
    bookmark: Instant,
    end: Instant,
    over: bool,
    _pending: Pending,
}

/// Opens a watch; what it says is read from the stream.
pub(crate) fn watch(
    store: &mut Store,
    call: Call,
    pending: Pending,
) -> impl Stream<Item = Bytes> + use<> {
    let now = Instant::now();
    let end = now + call.query.timeout.map_or(LIFETIME, Duration::from_secs);
    let mut watching = Watching {
        version: store.version(),
        ready: VecDeque::new(),
        events: store.listen(Some(call.resource)),
        bookmark: next_bookmark(now, end),
        end,
        over: false,
        call,
        _pending: pending,
    };
    watching.catch_up(store);
    stream::unfold(watching, |mut watching| async move {
        let line = watching.next().await?;
        Some((line, watching))
    })
}

fn next_bookmark(now: Instant, end: Instant) -> Instant {
    let last = end - LAST_BOOKMARK;
    let usual = now + BOOKMARK_EVERY;
    if last > now { usual.min(last) } else { usual }
}

// === impl Watching ===

impl Watching {
    /// Says what the watcher has missed: everything, where it knows no version.
    fn catch_up(&mut self, store: &Store) {
        let query = &self.call.query;
        if matches!(query.version.as_str(), "" | "0") {
            for (_, object) in store.all(self.call.resource, &self.call.namespace) {
                if self.selects(object) {
                    self.ready.push_back(line("ADDED", object));
                }
            }
            return;
        }
        let missed = query
            .version
            .parse()
            .map_err(|_| Refusal::bad_request("invalid resource version"));
        match missed.and_then(|version| store.since(version)) {
            Ok(events) => events.iter().for_each(|event| self.take(event)),
            Err(refusal) => {
                self.ready.push_back(line("ERROR", &refusal.body()));
                self.over = true;
            }
        }
    }

    fn selects(&self, object: &Value) -> bool {
        self.call.query.labels.matches(object) && self.call.query.fields.matches(object)
    }

    /// An object that comes to match is new to the watcher, and one that ceases to is gone.
    fn take(&mut self, event: &Event) {
        let namespace = &self.call.namespace;
        if event.key.resource != self.call.resource
            || !namespace.is_empty() && event.key.namespace() != namespace
        {
            return;
        }
        let seen =
            |object: &Option<Arc<Value>>| object.clone().filter(|object| self.selects(object));
        let said = match (seen(&event.before), seen(&event.after)) {
            (None, None) => return,
            (None, Some(object)) => line("ADDED", &object),
            (Some(_), Some(object)) => line("MODIFIED", &object),
            (Some(object), None) => {
                let mut last = Value::clone(&object);
                last["metadata"]["resourceVersion"] = event.version.to_string().into();
                line("DELETED", &last)
            }
        };
        self.ready.push_back(said);
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            tokio::select! {
                // What happened before a bookmark is said before it.
                biased;
                event = self.events.recv() => {
                    let event = event?;
                    self.take(&event);
                    self.version = event.version;
                }
                () = sleep_until(self.end) => self.over = true,
                () = sleep_until(self.bookmark), if self.call.query.bookmarks => self.say_bookmark(),
            }
        }
    }

    fn say_bookmark(&mut self) {
        let resource = self.call.resource;
        let meta =
            json!({ "resourceVersion": self.version.to_string(), "creationTimestamp": null });
        let object = json!({ "kind": resource.kind, "apiVersion": resource.api_version(), "metadata": meta });
        self.ready.push_back(line("BOOKMARK", &object));
        self.bookmark = next_bookmark(Instant::now(), self.end);
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut line = json!({ "type": kind, "object": object }).to_string();
    line.push('\n');
    Bytes::from(line)
}
