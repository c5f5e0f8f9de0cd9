//! Tests `mesh-roll`: one run with a fault, then one without.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use mesh_testbed::{Bed, FaultProxy, Victim};
use mesh_tests::{Toolbox, on_both_beds, toolbox};

use crate::case::{Address, Case, addresses, all_pairs, diagonal, every, thinned};
use crate::fleet::{
    NEW, OLD, WORKLOADS, another, another_lab, forget_lock, is_ready, people, proxy,
};
use crate::harm::Harm;
use crate::run::{Ran, run};
use crate::tally::{Outcome, Tally, alone, tally};

/// The number of namespaces per bed. Every watch sees all of them, so several small beds are faster
/// than a large one.
const LAB_BATCH: usize = 4;
const REAL_BATCH: usize = 20;
const LAB_LANES: usize = 6;
const REAL_LANES: usize = 2;
const ARGS: [&str; 5] = ["--yes", "--settle", "0s", "--request-timeout", "2s"];

/// A lane: runs its cases one after the other.
struct Lane<'a> {
    tools: &'a Toolbox,
    new_bed: fn() -> Bed,
    batch: usize,
    bed: Option<Bed>,
    /// Namespaces that were not rolled yet.
    fresh: Vec<String>,
    judged: String,
}

on_both_beds! {
    faults_never_call_a_workload_proven_that_is_not_nor_restart_it_twice
}

fn faults_never_call_a_workload_proven_that_is_not_nor_restart_it_twice(bed: Bed) {
    let _alone = alone();
    let tools = toolbox!();
    let (new_bed, batch, lanes) = match bed.as_lab() {
        Some(_) => (another_lab as fn() -> Bed, LAB_BATCH, LAB_LANES),
        None => (another as fn() -> Bed, REAL_BATCH, REAL_LANES),
    };
    let on_lab = bed.as_lab().is_some();
    let lane = || Lane::new(&tools, new_bed, batch);
    let mut first = lane();
    first.fill(bed);
    let requests = first.requests();
    let cases = match (on_lab, every()) {
        (true, true) => all_pairs(&requests),
        (true, false) => thinned(all_pairs(&requests), 3),
        (false, _) => diagonal(&requests),
    };
    let mut all = vec![first];
    all.resize_with(lanes, lane);
    let tally = strike(all, cases);
    println!("mesh-roll, {} requests: {tally}", requests.len());
    tally.judge();
}

fn strike(lanes: Vec<Lane<'_>>, mut cases: Vec<Case>) -> Tally {
    // These cases mostly wait, so they start first.
    cases.sort_by_key(|case| case.harm != Harm::SilentForGood);
    tally(lanes, cases, |lane, case| lane.strike(case))
}

impl<'a> Lane<'a> {
    fn new(tools: &'a Toolbox, new_bed: fn() -> Bed, batch: usize) -> Self {
        Self {
            tools,
            new_bed,
            batch,
            bed: None,
            fresh: Vec::new(),
            judged: String::new(),
        }
    }

    /// Prepares a bed whose workloads are one release behind.
    fn fill(&mut self, bed: Bed) {
        bed.install_linkerd(OLD).unwrap();
        let names = (0..self.batch).map(|number| format!("people-{number}"));
        self.fresh = names.collect();
        let names: Vec<&str> = self.fresh.iter().map(String::as_str).collect();
        people(&bed, &names);
        bed.upgrade_linkerd(NEW).unwrap();
        self.bed = Some(bed);
        self.judged = self.judged();
    }

    /// Returns a namespace that was not rolled yet.
    fn take(&mut self) -> String {
        if self.fresh.is_empty() {
            self.bed = None;
            self.fill((self.new_bed)());
        }
        self.fresh.pop().unwrap()
    }

    fn bed(&self) -> &Bed {
        self.bed.as_ref().unwrap()
    }

    fn requests(&mut self) -> Vec<Address> {
        let namespace = self.take();
        let proxy = self.bed().proxy().unwrap();
        let ran = self.roll(&namespace, proxy.kubeconfig(), &Victim::default());
        assert_eq!(ran.code, Some(0), "{}", ran.summary());
        assert_eq!(ran.of("rolled").len(), WORKLOADS.len(), "{}", ran.stdout);
        let requests = addresses(proxy.log());
        requests
            .into_iter()
            .map(|request| request.moved(&namespace, "NAMESPACE"))
            .collect()
    }

    /// Returns the verdict on the whole bed.
    fn judged(&self) -> String {
        let pipeline = "mesh-survey | mesh-skewcheck --ask roll";
        let mut judge = self.tools.shell(pipeline);
        judge.env("KUBECONFIG", self.bed().kubeconfig());
        let judged = run(judge, "", &Victim::default());
        assert_eq!(
            judged.code,
            Some(0),
            "{}{}",
            judged.summary(),
            judged.run.stdout
        );
        judged.run.stdout
    }

    fn roll(&self, namespace: &str, kubeconfig: &Path, client: &Victim) -> Ran {
        let mut command: Command = self.tools.run("mesh-roll");
        command.env("KUBECONFIG", kubeconfig).args(ARGS);
        command.args(["-n", namespace]);
        run(command, &self.judged, client)
    }

    fn strike(&mut self, case: &Case) -> Outcome {
        let namespace = self.take();
        let (struck, calm) = (self.bed().proxy().unwrap(), self.bed().proxy().unwrap());
        let client = Victim::default();
        let moved = Case {
            request: case.request.moved("NAMESPACE", &namespace),
            harm: case.harm,
        };
        moved.set(&struck, &client);
        forget_lock(self.bed());
        let first = self.roll(&namespace, struck.kubeconfig(), &client);
        let complaint = self.complaint(&namespace, case, &first);
        let complaint = if complaint.is_none() && restarts(&namespace, &[&struck]).is_empty() {
            // Nothing was changed, so the namespace is used again.
            self.fresh.push(namespace);
            None
        } else {
            forget_lock(self.bed());
            let second = self.roll(&namespace, calm.kubeconfig(), &Victim::default());
            let complaint = complaint.or_else(|| self.unfinished(&namespace, &second));
            complaint.or_else(|| twice(&namespace, &[&struck, &calm]))
        };
        Outcome::of(&first, struck.struck(), complaint)
    }

    fn complaint(&self, namespace: &str, case: &Case, ran: &Ran) -> Option<String> {
        // With a silent proxy the tool cannot know that a workload failed, so exit code 1 is not
        // expected.
        let codes: &[i32] = if case.harm.silences() {
            &[0, 2, 3]
        } else {
            &[0, 1, 2, 3]
        };
        if let Some(wrong) = ran.misconduct(codes, case.harm.kills()) {
            return Some(wrong);
        }
        let pods = self.pods(namespace);
        let proven = ran.of("rolled").into_iter();
        let proven: Vec<String> = proven
            .filter(|rolled| rolled["outcome"] == "proven")
            .map(|rolled| rolled["name"].as_str().unwrap().to_owned())
            .collect();
        let lie = proven.iter().find(|name| !is_at_target(&pods, name));
        if let Some(lie) = lie {
            return Some(format!("{lie} is said to be proven: {:?}", told(&pods)));
        }
        let all = WORKLOADS.iter().all(|(name, ..)| is_at_target(&pods, name));
        (ran.code == Some(0) && !all).then(|| format!("done, it says: {:?}", told(&pods)))
    }

    fn unfinished(&self, namespace: &str, second: &Ran) -> Option<String> {
        let pods = self.pods(namespace);
        let all = WORKLOADS.iter().all(|(name, ..)| is_at_target(&pods, name));
        (second.code != Some(0) || !all).then(|| {
            let summary = second.summary();
            format!("the next run did not end it: {summary}: {:?}", told(&pods))
        })
    }

    fn pods(&self, namespace: &str) -> Vec<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.bed().client(), namespace);
        let listed = self.bed().block_on(pods.list(&ListParams::default()));
        let mut pods = listed.unwrap().items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods
    }
}

fn of<'p>(pods: &'p [Pod], name: &str) -> Vec<&'p Pod> {
    let own = pods
        .iter()
        .filter(|pod| pod.labels().get("app").is_some_and(|app| app == name));
    own.collect()
}

fn is_at_target(pods: &[Pod], name: &str) -> bool {
    let wanted = WORKLOADS
        .iter()
        .find(|(workload, ..)| *workload == name)
        .unwrap()
        .2;
    let own = of(pods, name);
    own.len() == wanted
        && own
            .iter()
            .all(|pod| is_ready(pod) && proxy(pod) == Some(NEW))
}

fn told(pods: &[Pod]) -> BTreeMap<String, String> {
    let tell = |pod: &Pod| {
        (
            pod.name_any(),
            format!("{:?}, ready: {}", proxy(pod), is_ready(pod)),
        )
    };
    pods.iter().map(tell).collect()
}

/// Returns how often each workload was restarted.
fn restarts(namespace: &str, proxies: &[&FaultProxy]) -> BTreeMap<String, usize> {
    let mut restarts = BTreeMap::new();
    for event in proxies.iter().flat_map(|proxy| proxy.served()) {
        let patch = event.verb == "patch" && event.group == "apps" && !event.dry_run;
        if patch && event.namespace == namespace && event.code == Some(200) {
            let workload = format!("{} {}", event.resource, event.name);
            *restarts.entry(workload).or_default() += 1;
        }
    }
    restarts
}

fn twice(namespace: &str, proxies: &[&FaultProxy]) -> Option<String> {
    let restarts = restarts(namespace, proxies);
    let twice = restarts.values().any(|times| *times > 1);
    twice.then(|| format!("restarted more than once: {restarts:?}"))
}
