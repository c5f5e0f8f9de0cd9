//! Tests `mesh-survey`, and `mesh-skewcheck` with its output.

use std::path::Path;
use std::process::Command;

use mesh_testbed::{Bed, Victim};
use mesh_tests::{Toolbox, on_both_beds, toolbox};
use serde_json::Value;

use crate::case::{Address, Case, addresses, all_pairs, diagonal};
use crate::fleet::{NEW, OLD, PEOPLE, people};
use crate::run::{Ran, run};
use crate::tally::{Outcome, Tally, alone, tally};

/// Questions that pass on this cluster.
const QUESTIONS: [&[&str]; 2] = [&[], &["--to", NEW]];
const LANES: usize = 8;

struct Scene {
    bed: Bed,
    tools: Toolbox,
    clean: Ran,
    requests: Vec<Address>,
}

on_both_beds! {
    faults_leave_a_survey_complete_and_right_or_refused
}

fn faults_leave_a_survey_complete_and_right_or_refused(bed: Bed) {
    let _alone = alone();
    let scene = Scene::new(bed);
    let requests = &scene.requests;
    let cases = if scene.bed.as_lab().is_some() {
        all_pairs(requests)
    } else {
        diagonal(requests)
    };
    let tally = scene.strike(cases);
    println!("mesh-survey, {} requests: {tally}", requests.len());
    tally.judge();
}

impl Scene {
    fn new(bed: Bed) -> Self {
        bed.install_linkerd(OLD).unwrap();
        people(&bed, &[PEOPLE]);
        let (tools, proxy) = (toolbox!(), bed.proxy().unwrap());
        let clean = run(survey(&tools, proxy.kubeconfig()), "", &Victim::default());
        assert_eq!(clean.code, Some(0), "{}", clean.summary());
        let scene = Self {
            requests: addresses(proxy.log()),
            bed,
            tools,
            clean,
        };
        for question in QUESTIONS {
            let judged = scene.judge(&scene.clean, question);
            assert_eq!(judged.code, Some(0), "{}", judged.stdout);
        }
        scene
    }

    fn judge(&self, survey: &Ran, question: &[&str]) -> Ran {
        let mut command = self.tools.run("mesh-skewcheck");
        command.args(question);
        run(command, &survey.stdout, &Victim::default())
    }

    fn strike(&self, cases: Vec<Case>) -> Tally {
        tally(vec![(); LANES], cases, |(), case| {
            let (proxy, client) = (self.bed.proxy().unwrap(), Victim::default());
            case.set(&proxy, &client);
            let ran = run(survey(&self.tools, proxy.kubeconfig()), "", &client);
            Outcome::of(&ran, proxy.struck(), self.complaint(case, &ran))
        })
    }

    fn complaint(&self, case: &Case, ran: &Ran) -> Option<String> {
        if let Some(wrong) = ran.misconduct(&[0, 2], case.harm.kills()) {
            return Some(wrong);
        }
        if ran.code == Some(0) {
            let (facts, truth) = (facts(ran), facts(&self.clean));
            let differs = facts.iter().zip(&truth).find(|(is, was)| is != was);
            return (facts != truth).then(|| format!("a wrong survey is complete: {differs:?}"));
        }
        let mut judged = QUESTIONS.iter().map(|question| self.judge(ran, question));
        let fooled = judged.find(|judged| judged.code == Some(0));
        fooled.map(|judged| format!("a verdict on a cut survey: {}", judged.stdout))
    }
}

fn survey(tools: &Toolbox, kubeconfig: &Path) -> Command {
    let mut command = tools.run("mesh-survey");
    command.env("KUBECONFIG", kubeconfig);
    command.args(["--pods", "--request-timeout", "2s"]);
    command
}

/// Returns all facts of a survey.
fn facts(survey: &Ran) -> Vec<Value> {
    let mut records = survey.records.clone();
    records.retain(|record| record["type"] != "stream");
    records
}
