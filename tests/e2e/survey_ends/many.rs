//! Clusters with many pods: what the API server is asked, and what happens if it stops in between.

use std::process::Stdio;

use mesh_testbed::{Bed, Match, Server, When};
use mesh_tests::{Run, of_type, on_both_beds, toolbox};
use serde_json::Value;

use crate::{brackets, command, survey};

on_both_beds! {
    [Servers]
    number_of_requests_does_not_grow_with_namespaces_or_workloads
    api_server_that_stops_in_the_middle_of_a_list_leaves_a_whole_survey_or_none
}

/// A list of so many pods is longer than what a connection keeps while nobody reads.
const MANY: usize = 2000;

fn with_linkerd(bed: Bed) -> Bed {
    bed.install_linkerd("stable-2.13.7").unwrap();
    bed
}

fn number_of_requests_does_not_grow_with_namespaces_or_workloads(bed: Bed) {
    let bed = with_linkerd(bed);
    bed.shop().unwrap();
    let tools = toolbox!();
    let survey = |asked_before: usize| {
        let (_, end, _) = brackets(&survey(&tools, bed.kubeconfig(), &[]), 0);
        let workloads = end["totals"]["workload"].as_u64().unwrap();
        let asked = bed.audit_of("mesh-survey/").unwrap();
        let lists = asked[asked_before..].iter().filter(|it| it.verb == "list");
        let mut lists: Vec<&str> = lists.map(|it| it.uri.as_str()).collect();
        lists.sort_unstable();
        lists.dedup();
        let of_pods = lists.iter().filter(|it| it.starts_with("/api/v1/pods"));
        assert_eq!(of_pods.count(), 1, "{lists:?}");
        (workloads, asked.len())
    };
    let (few, asked) = survey(0);
    bed.load(MANY).unwrap();
    let (many, all) = survey(asked);
    assert_eq!(many, few + MANY as u64 / 10);
    assert_eq!(all, 2 * asked);
}

fn api_server_that_stops_in_the_middle_of_a_list_leaves_a_whole_survey_or_none(bed: Bed) {
    let bed = with_linkerd(bed);
    bed.load(MANY).unwrap();
    let tools = toolbox!();
    let clean = survey(&tools, bed.kubeconfig(), &[]);
    brackets(&clean, 0);
    let whole = facts(&clean);
    assert_eq!(of_type(&whole, "workload").len(), MANY / 10);
    // Does something while the API server has sent the beginning of the list.
    let amid = |patience: &str, happens: &dyn Fn(), then: &dyn Fn()| -> Run {
        let proxy = bed.proxy().unwrap();
        let held = proxy
            .on(Match::any().path("/api/v1/pods").nth(1))
            .hold(When::AfterForward);
        let mut survey = command(&tools, proxy.kubeconfig(), &["--request-timeout", patience]);
        let survey = survey.stdout(Stdio::piped()).stderr(Stdio::piped());
        let survey = survey.spawn().unwrap();
        held.arrived();
        happens();
        held.release();
        then();
        survey.wait_with_output().unwrap().into()
    };
    let pause = || bed.pause(Server::ApiServer).unwrap();
    let resume = || bed.resume(Server::ApiServer).unwrap();
    let stopped = amid("2s", &pause, &|| {});
    resume();
    let (_, end, errors) = brackets(&stopped, 2);
    assert_eq!(end["outcome"], "failed");
    assert!(
        errors.contains("listing pods") && errors.contains("within 2s"),
        "{errors}"
    );
    assert!(of_type(&stopped.records, "workload").is_empty());
    let paused = amid("60s", &pause, &resume);
    brackets(&paused, 0);
    assert_eq!(facts(&paused), whole);
    let restart = || bed.restart(Server::ApiServer).unwrap();
    let killed = amid("60s", &restart, &|| bed.await_ready().unwrap());
    match killed.code {
        Some(0) => assert_eq!(facts(&killed), whole),
        _ => drop(brackets(&killed, 2)),
    }
}

/// All but the first record, which has a time.
fn facts(survey: &Run) -> Vec<Value> {
    let mut facts = survey.records.clone();
    facts.retain(|record| record["type"] != "stream");
    facts
}
