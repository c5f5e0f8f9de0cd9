//! Looks on with watches of its own, and keeps every version that it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Deserializer, Value};

use crate::scene::{Scene, is_ready, owner};

const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
const KINDS: [&str; 4] = ["Pod", "Deployment", "StatefulSet", "DaemonSet"];
const MARK: &str = "onlooker";

/// Watches that are open, and what they showed.
pub(crate) struct Onlooker<'a> {
    scene: &'a Scene,
    watches: Vec<Child>,
    told: Receiver<Value>,
    objects: Vec<Value>,
}

/// A workload's rollout, by the API server's versions: from the write that began it to the last of
/// its new pods that got ready.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

impl<'a> Onlooker<'a> {
    pub(crate) fn new(scene: &'a Scene) -> Self {
        let (tell, told) = channel();
        let watches = KINDS.map(|kind| {
            let args = ["get", kind, "-A", "--watch", "-o", "json"];
            let kubectl = &scene.bed.assets().kubectl;
            let mut command = scene.bed.tool(kubectl);
            let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
            let stdout = child.stdout.take().unwrap();
            let tell = tell.clone();
            std::thread::spawn(move || {
                let objects = Deserializer::from_reader(stdout).into_iter::<Value>();
                // The last one is torn when the watch is ended.
                for object in objects.map_while(Result::ok) {
                    if tell.send(object).is_err() {
                        return;
                    }
                }
            });
            child
        });
        let mut onlooker = Self {
            scene,
            watches: watches.into(),
            told,
            objects: Vec::new(),
        };
        onlooker.catch_up("begins");
        onlooker
    }

    /// What was seen up to now.
    pub(crate) fn rollouts(mut self) -> BTreeMap<String, Rollout> {
        self.catch_up("ends");
        let mut pods = Vec::new();
        let mut began: BTreeMap<String, (u64, String)> = BTreeMap::new();
        for object in &self.objects {
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

    // Marks an object of each kind, and looks on until every watch has shown its mark.
    fn catch_up(&mut self, mark: &str) {
        for kind in KINDS {
            let all = self.scene.kubectl_json(&["get", kind, "-A"]);
            let meta = &all["items"][0]["metadata"];
            let text = |field: &str| meta[field].as_str().unwrap();
            let mark = format!("{MARK}={mark}");
            let args = [
                "annotate",
                kind,
                text("name"),
                "-n",
                text("namespace"),
                &mark,
                "--overwrite",
            ];
            self.scene.bed.kubectl(args).unwrap();
        }
        let mut marked = BTreeSet::new();
        while marked.len() < KINDS.len() {
            let object = self.told.recv().unwrap();
            if object["metadata"]["annotations"][MARK] == mark {
                marked.insert(object["kind"].as_str().unwrap().to_owned());
            }
            self.objects.push(object);
        }
    }
}

impl Drop for Onlooker<'_> {
    fn drop(&mut self) {
        for child in &mut self.watches {
            // One that has ended is what is wanted.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The most rollouts that were under way at once.
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
