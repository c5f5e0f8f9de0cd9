//! Watches a run from outside and keeps every version of every object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::scene::{Scene, is_ready, owner};

const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
const KINDS: [&str; 4] = [
    "/api/v1/pods",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/statefulsets",
    "/apis/apps/v1/daemonsets",
];
const MARK: &str = "onlooker";

/// Watches each kind from the version that it had at the start.
pub(crate) struct Onlooker<'a> {
    scene: &'a Scene,
    from: [String; 4],
}

/// A workload's rollout as resourceVersions: from the write that began it to the last new pod that
/// became ready.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

impl<'a> Onlooker<'a> {
    pub(crate) fn new(scene: &'a Scene) -> Self {
        let from = KINDS.map(|path| {
            let list = scene.bed.get(path).unwrap();
            list["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .to_owned()
        });
        Self { scene, from }
    }

    /// Returns the rollouts so far.
    pub(crate) fn rollouts(self) -> BTreeMap<String, Rollout> {
        let objects = self.objects();
        let mut pods = Vec::new();
        let mut began: BTreeMap<String, (u64, String)> = BTreeMap::new();
        for object in &objects {
            let version = version(object);
            if object["kind"] == "Pod" {
                pods.push((version, object.clone()));
            } else if let Some(value) = restarted_at(&object["spec"]["template"]) {
                let name = name(object, object["kind"].as_str().unwrap());
                began.entry(name).or_insert((version, value.to_owned()));
            }
        }
        began
            .into_iter()
            .map(|(name, (began, value))| {
                let mine = pods.iter().filter(|(_, pod)| {
                    owner(pod).is_some_and(|it| in_namespace(pod, &it) == name)
                        && restarted_at(pod) == Some(&value)
                });
                let mut ready: BTreeMap<&str, u64> = BTreeMap::new();
                for (version, pod) in mine.filter(|(_, pod)| is_ready(pod)) {
                    let uid = pod["metadata"]["uid"].as_str().unwrap();
                    ready.entry(uid).or_insert(*version);
                }
                let ended = ready.into_values().max().unwrap_or(u64::MAX);
                (name, Rollout { began, ended })
            })
            .collect()
    }

    // Returns every version of every object, up to a marker object that is created now.
    fn objects(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for (path, from) in KINDS.iter().zip(&self.from) {
            let meta = &self.scene.bed.get(path).unwrap()["items"][0]["metadata"];
            let text = |field: &str| meta[field].as_str().unwrap().to_owned();
            let (root, plural) = path.rsplit_once('/').unwrap();
            let (namespace, name) = (text("namespace"), text("name"));
            let one = format!("{root}/namespaces/{namespace}/{plural}/{name}");
            let mark = json!({ "metadata": { "annotations": { MARK: "here" } } });
            self.scene.bed.merge(&one, &mark).unwrap();
            let watch = format!("{path}?watch=1&resourceVersion={from}");
            let marked = |events: &[Value]| {
                let mut objects = events.iter().map(|event| &event["object"]);
                objects.any(|object| object["metadata"]["annotations"][MARK] == "here")
            };
            let events = self.scene.bed.events(&watch, marked).unwrap();
            assert!(marked(&events), "{path}: the watch ended early");
            all.extend(events.into_iter().map(|event| event["object"].clone()));
        }
        all
    }
}

/// Returns the largest number of rollouts at the same time.
pub(crate) fn most_at_once(rollouts: &BTreeMap<String, Rollout>) -> usize {
    let at = rollouts.values().map(|rollout| rollout.began);
    at.map(|at| {
        let under_way = rollouts
            .values()
            .filter(|it| it.began <= at && at < it.ended);
        under_way.count()
    })
    .max()
    .unwrap_or(0)
}

fn version(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str().unwrap();
    version.parse().unwrap()
}

fn restarted_at(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][RESTARTED_AT].as_str()
}

fn name(object: &Value, kind: &str) -> String {
    let name = object["metadata"]["name"].as_str().unwrap();
    in_namespace(object, &format!("{kind}/{name}"))
}

fn in_namespace(object: &Value, name: &str) -> String {
    format!(
        "{}/{name}",
        object["metadata"]["namespace"].as_str().unwrap()
    )
}
