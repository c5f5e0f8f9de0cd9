//! Waits for states of the cluster by watching it.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        utils::Backoff,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

/// Long enough for a loaded machine; a correct test needs less than a tenth of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pause before a broken watch is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Soon;

/// Watches the objects that `config` selects until `done` is true, and returns them.
pub(crate) async fn until<K>(
    api: Api<K>,
    config: watcher::Config,
    what: &str,
    mut done: impl FnMut(&BTreeMap<String, K>) -> bool,
) -> anyhow::Result<BTreeMap<String, K>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let mut seen = Seen {
        objects: BTreeMap::new(),
        whole: false,
    };
    let mut trouble = None;
    let watching = async {
        let mut events = std::pin::pin!(watcher(api, config).backoff(Soon));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => seen.take(event),
                Err(error) => trouble = Some(error),
            }
            if seen.whole && done(&seen.objects) {
                return Ok(());
            }
        }
        bail!("the watch ended")
    };
    let result = tokio::time::timeout(PATIENCE, watching).await;
    let names: Vec<&String> = seen.objects.keys().collect();
    result
        .with_context(|| {
            format!("gave up after {PATIENCE:?}; last seen: {names:?}; errors: {trouble:?}")
        })
        .and_then(|result| result)
        .with_context(|| format!("waiting for {what}"))?;
    Ok(seen.objects)
}

/// Calls `told` with all objects that `config` selects after each change. Returns only with an
/// error.
pub(crate) async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    mut told: impl FnMut(&BTreeMap<String, K>),
) -> anyhow::Result<()>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let mut seen = Seen {
        objects: BTreeMap::new(),
        whole: false,
    };
    let mut events = std::pin::pin!(watcher(api, config).backoff(Soon));
    while let Some(event) = events.next().await {
        // A broken watch is opened again, with a new list if needed.
        let Ok(event) = event else { continue };
        seen.take(event);
        if seen.whole {
            told(&seen.objects);
        }
    }
    bail!("the watch ended")
}

struct Seen<K> {
    objects: BTreeMap<String, K>,
    /// Whether the first list is complete.
    whole: bool,
}

impl<K: Resource> Seen<K> {
    fn take(&mut self, event: Event<K>) {
        let name = |object: &K| {
            format!(
                "{}/{}",
                object.namespace().unwrap_or_default(),
                object.name_any()
            )
        };
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                self.objects.insert(name(&object), object);
            }
            Event::Delete(object) => {
                self.objects.remove(&name(&object));
            }
            Event::Init => {
                self.objects.clear();
                self.whole = false;
            }
            Event::InitDone => self.whole = true,
        }
    }
}

// === impl Soon ===

impl Iterator for Soon {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(100))
    }
}

impl Backoff for Soon {
    fn reset(&mut self) {}
}
