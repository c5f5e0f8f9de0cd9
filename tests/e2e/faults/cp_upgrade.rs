//! Tests `mesh-cp-upgrade`: one run with a fault, then runs without faults until the upgrade is
//! done.
//!
//! Uses helm on the real servers, and the CLI's stand-in on the lab.

use std::path::Path;

use mesh_testbed::{AuditEvent, Bed, FaultProxy, Victim};
use mesh_tests::{Toolbox, on_both_beds, toolbox};
use serde_json::Value;

use crate::case::{
    Address, Case, addresses, all_pairs, diagonal, every, one_of_each_kind, thinned,
};
use crate::control_plane::{await_components, is_at_target, judge, judged, upgrade};
use crate::fleet::{DEFINITIONS, OLD, another, another_lab, forget_lock};
use crate::harm::Harm;
use crate::run::{Ran, run};
use crate::tally::{Outcome, Tally, alone, tally};

const ARGS: [&str; 7] = [
    "--yes",
    "--request-timeout",
    "4s",
    "--timeout",
    "30s",
    "--pending-timeout",
    "3s",
];
/// After this many runs without faults the upgrade must be done.
const TRIES: usize = 3;
const LAB_LANES: usize = 8;
const REAL_LANES: usize = 3;

/// A lane: runs its cases one after the other.
struct Lane<'a> {
    tools: &'a Toolbox,
    new_bed: fn() -> Bed,
    /// A bed that was not upgraded yet, with its verdict.
    fresh: Option<(Bed, String)>,
}

on_both_beds! {
    faults_never_call_an_upgrade_done_that_is_not
}

fn faults_never_call_an_upgrade_done_that_is_not(bed: Bed) {
    let _alone = alone();
    let tools = toolbox!();
    let (new_bed, lanes) = match bed.as_lab() {
        Some(_) => (another_lab as fn() -> Bed, LAB_LANES),
        None => (another as fn() -> Bed, REAL_LANES),
    };
    let on_lab = bed.as_lab().is_some();
    if !on_lab {
        tools.link("helm", bed.helm());
    }
    let lane = || Lane::new(&tools, new_bed);
    let mut first = lane();
    first.settle(bed);
    let requests = first.requests();
    let cases = match (on_lab, every()) {
        (true, true) => all_pairs(&requests),
        (true, false) => thinned(all_pairs(&one_of_each_kind(&requests)), 8),
        (false, true) => diagonal(&requests),
        (false, false) => {
            let cases = diagonal(&one_of_each_kind(&requests)).into_iter();
            cases.step_by(3).collect()
        }
    };
    let mut all = vec![first];
    all.resize_with(lanes, lane);
    let tally = strike(all, cases);
    println!("mesh-cp-upgrade, {} requests: {tally}", requests.len());
    tally.judge();
}

fn strike(lanes: Vec<Lane<'_>>, mut cases: Vec<Case>) -> Tally {
    // These cases mostly wait, so they start first.
    cases.sort_by_key(|case| case.harm != Harm::SilentForGood);
    tally(lanes, cases, Lane::strike)
}

impl<'a> Lane<'a> {
    fn new(tools: &'a Toolbox, new_bed: fn() -> Bed) -> Self {
        Self {
            tools,
            new_bed,
            fresh: None,
        }
    }

    fn settle(&mut self, bed: Bed) {
        bed.install_linkerd(OLD).unwrap();
        if bed.as_lab().is_some() {
            bed.apply_definitions(DEFINITIONS).unwrap();
        }
        let judged = judged(&bed, self.tools);
        self.fresh = Some((bed, judged));
    }

    fn take(&mut self) -> (Bed, String) {
        if self.fresh.is_none() {
            self.settle((self.new_bed)());
        }
        self.fresh.take().unwrap()
    }

    /// Installs the old release again on real servers; for the lab a new bed is cheaper.
    fn renew(&mut self, bed: Bed) {
        if bed.as_lab().is_none() {
            for release in ["linkerd-control-plane", "linkerd-crds"] {
                let args = ["uninstall", release, "-n", "linkerd", "--wait"];
                bed.run_helm(args).unwrap();
            }
            self.settle(bed);
        }
    }

    fn upgrade(&self, bed: &Bed, judged: &str, kubeconfig: &Path, client: &Victim) -> Ran {
        let mut command = upgrade(bed, self.tools, kubeconfig);
        command.args(ARGS);
        run(command, judged, client)
    }

    fn requests(&mut self) -> Vec<Address> {
        let (bed, judged) = self.take();
        let proxy = bed.proxy().unwrap();
        let ran = self.upgrade(&bed, &judged, proxy.kubeconfig(), &Victim::default());
        assert_eq!(ran.code, Some(0), "{}", ran.summary());
        assert!(is_at_target(&bed), "{}", ran.stdout);
        let requests = addresses(proxy.log());
        self.renew(bed);
        requests
    }

    fn strike(&mut self, case: &Case) -> Outcome {
        let (bed, judged) = self.take();
        let (proxy, client) = (bed.proxy().unwrap(), Victim::default());
        case.set(&proxy, &client);
        forget_lock(&bed);
        let first = self.upgrade(&bed, &judged, proxy.kubeconfig(), &client);
        let complaint = complaint(&bed, case, &first);
        if complaint.is_none() && first.code.is_some() && !has_written(&proxy) {
            // Nothing was changed, so the bed is used again.
            self.fresh = Some((bed, judged));
            return Outcome::of(&first, proxy.struck(), None);
        }
        let unfinished = self.finish(&bed);
        match unfinished {
            None => self.renew(bed),
            Some(_) => drop(bed),
        }
        Outcome::of(&first, proxy.struck(), complaint.or(unfinished))
    }

    /// Runs the same pipeline until the upgrade is done, and runs the commands that its hints name.
    fn finish(&self, bed: &Bed) -> Option<String> {
        let mut said = Vec::new();
        for _ in 0..TRIES {
            forget_lock(bed);
            await_components(bed);
            let judged = judge(bed, self.tools).run.stdout;
            let ran = self.upgrade(bed, &judged, bed.kubeconfig(), &Victim::default());
            if ran.code == Some(0) {
                let truth = is_at_target(bed);
                return (!truth).then(|| "the next run says that it is done".to_owned());
            }
            said.push(ran.summary());
            let next = ran.last_word().map(|end| end["next"].clone());
            if let Some((program, args)) = next.as_ref().and_then(way_out) {
                let args = args.split(' ');
                match program {
                    "helm" => drop(bed.run_helm(args).unwrap()),
                    "kubectl" => drop(bed.kubectl(args).unwrap()),
                    _ => said.push(self.go_back(bed, args)),
                }
            }
        }
        Some(format!("the next runs did not end it: {said:?}"))
    }

    /// Goes back with the tool itself, as its hint says, and returns how that ended.
    fn go_back<'b>(&self, bed: &Bed, args: impl Iterator<Item = &'b str>) -> String {
        forget_lock(bed);
        let mut command = self.tools.run("mesh-cp-upgrade");
        command.arg("--settle=0s");
        command.env("KUBECONFIG", bed.kubeconfig()).args(args);
        command.args(ARGS);
        run(command, "", &Victim::default()).summary()
    }
}

/// Returns the program and its arguments, if the next command is not the pipeline itself.
fn way_out(next: &Value) -> Option<(&str, &str)> {
    let (program, args) = next.as_str()?.split_once(' ')?;
    let is_alone = match program {
        "helm" | "kubectl" => true,
        "mesh-cp-upgrade" => args.starts_with("--rollback "),
        _ => false,
    };
    is_alone.then_some((program, args))
}

fn complaint(bed: &Bed, case: &Case, ran: &Ran) -> Option<String> {
    let codes: &[i32] = if case.harm.silences() {
        &[0, 2, 3]
    } else {
        &[0, 1, 2, 3]
    };
    if let Some(wrong) = ran.misconduct(codes, case.harm.kills()) {
        return Some(wrong);
    }
    (ran.code == Some(0) && !is_at_target(bed)).then(|| "done, it says".to_owned())
}

fn has_written(proxy: &FaultProxy) -> bool {
    let write = |event: &AuditEvent| {
        event.writes() && event.resource != "leases" && event.code.is_none_or(|code| code < 300)
    };
    proxy.served().iter().any(write)
}
