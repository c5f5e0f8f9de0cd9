//! Servers that are silent, busy or forgetful.

use http::StatusCode;
use mesh_testbed::{Bed, Match, On, When};
use mesh_tests::{Run, on_both_beds, run, toolbox};
use serde_json::json;

use crate::{brackets, ghost, survey};

on_both_beds! {
    sharing crate::CLUSTER;
    request_timeout_gives_up_a_silent_server
    list_that_expires_410_is_begun_again_from_nothing
    too_many_requests_429_is_asked_again
    list_that_lacks_its_second_half_is_an_error
    cached_lists_are_asked_for_and_said
    verdict_on_cached_lists_says_so
    whole_list_that_does_not_arrive_is_read_in_pages
}

fn request_timeout_gives_up_a_silent_server(bed: &Bed) {
    let proxy = bed.proxy().unwrap();
    let held = proxy
        .on(Match::any().path("/api/v1/pods"))
        .hold(When::BeforeForward);
    let output = survey(
        &toolbox!(),
        proxy.kubeconfig(),
        &["--request-timeout", "1s"],
    );
    let (stream, end, errors) = brackets(&output, 2);
    assert!(stream["cluster_uid"].is_string());
    assert_eq!(end["outcome"], "failed");
    assert!(
        errors.contains("listing pods") && errors.contains("within 1s"),
        "{errors}"
    );
    held.release();
}

fn list_that_expires_410_is_begun_again_from_nothing(bed: &Bed) {
    let tools = toolbox!();
    let proxy = bed.proxy().unwrap();
    let page = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": "more"}, "items": [ghost(1)]});
    let list = || Match::any().path("/api/v1/pods");
    proxy
        .on(list().nth(1))
        .answer_with(http::StatusCode::OK, &page.to_string());
    proxy
        .on(Match::any().path("continue=more"))
        .answer(http::StatusCode::GONE);
    let output = survey(&tools, proxy.kubeconfig(), &[]);
    let (_, end, errors) = brackets(&output, 0);
    assert_eq!(end["outcome"], "complete");
    assert!(errors.contains("again from the start"), "{errors}");
    assert!(!output.stdout.contains("ghost"), "{}", output.stdout);
}

fn list_that_lacks_its_second_half_is_an_error(bed: &Bed) {
    let proxy = bed.proxy().unwrap();
    proxy.on(Match::any().path("/api/v1/pods")).halve();
    let (_, _, errors) = brackets(&survey(&toolbox!(), proxy.kubeconfig(), &[]), 2);
    assert!(errors.contains("it breaks off"), "{errors}");
    // Only text has lines: a real server answers in protobuf.
    assert_eq!(errors.contains("line"), bed.as_lab().is_some(), "{errors}");
}

fn cached_lists_are_asked_for_and_said(bed: &Bed) {
    let proxy = bed.proxy().unwrap();
    for (flags, expected) in [
        (&[][..], "current"),
        (&["--consistency", "cached"], "cached"),
    ] {
        let before = proxy.log().len();
        let (stream, _, _) = brackets(&survey(&toolbox!(), proxy.kubeconfig(), flags), 0);
        assert_eq!(stream["consistency"], expected);
        let asked = proxy.log();
        let lists = asked[before..].iter().filter(|it| it.verb == "list");
        let mut cached = lists.map(|it| it.uri.contains("resourceVersion=0"));
        assert!(cached.all(|it| it == (expected == "cached")));
    }
}

fn too_many_requests_429_is_asked_again(bed: &Bed) {
    let tools = toolbox!();
    let proxy = bed.proxy().unwrap();
    for path in ["namespaces/kube-system", "/api/v1/pods", "linkerd-config"] {
        let busy = Match::any().path(path).nth(1);
        proxy.on(busy).answer(http::StatusCode::TOO_MANY_REQUESTS);
    }
    let (_, end, errors) = brackets(&survey(&tools, proxy.kubeconfig(), &[]), 0);
    assert_eq!((&end["outcome"], errors.as_str()), (&json!("complete"), ""));
    let asked = proxy.log();
    let pods = asked.iter().filter(|it| it.uri.starts_with("/api/v1/pods"));
    assert_eq!(pods.count(), 2, "once too busy, once answered");
}

fn verdict_on_cached_lists_says_so(bed: &Bed) {
    let tools = toolbox!();
    let survey = survey(&tools, bed.kubeconfig(), &["--consistency", "cached"]);
    for (question, severity) in [
        (&["--to", "stable-2.14.10"][..], "warning"),
        (&["--ask", "drift"], "info"),
        (&["--ask", "roll"], "warning"),
        (&["--ask", "done", "--to", "stable-2.13.7"], "error"),
    ] {
        let mut command = tools.run("mesh-skewcheck");
        command.args(question);
        let judged = run(command, &survey.stdout);
        let findings = judged.of("finding");
        let said = findings.iter().find(|it| it["id"] == "survey-cached");
        assert_eq!(said.unwrap()["severity"], severity, "{question:?}");
        let blocks = &judged.of("verdict")[0]["blocking"];
        let blocks = blocks.as_array().unwrap().contains(&json!("survey-cached"));
        assert_eq!(blocks, severity == "error", "{question:?}");
    }
}

// A server since Kubernetes 1.33 is asked for whole lists; of an older one, the lists of the cache are
// whole.
fn whole_list_that_does_not_arrive_is_read_in_pages(bed: &Bed) {
    let tools = toolbox!();
    let args = ["--consistency", "cached", "--request-timeout", "2s"];
    let facts = |run: &Run| {
        let mut facts = run.records.clone();
        facts.retain(|it| it["type"] != "stream");
        facts
    };
    let clean = facts(&survey(&tools, bed.kubeconfig(), &args));
    let faults: [fn(On<'_>); 5] = [
        |on| on.answer(StatusCode::GATEWAY_TIMEOUT),
        |on| on.answer(StatusCode::PAYLOAD_TOO_LARGE),
        |on| on.answer(StatusCode::INTERNAL_SERVER_ERROR),
        |on| on.hang_up(When::BeforeForward),
        |on| on.silence(When::AfterForward),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let proxy = bed.proxy().unwrap();
        fault(proxy.on(Match::any().path("/api/v1/pods?resourceVersion=0")));
        let output = survey(&tools, proxy.kubeconfig(), &args);
        let (_, _, errors) = brackets(&output, 0);
        assert_eq!(
            (facts(&output), errors.as_str()),
            (clean.clone(), ""),
            "{number}"
        );
        let asked = proxy.log();
        let lists = asked.iter().filter(|it| it.uri.starts_with("/api/v1/pods"));
        let lists: Vec<&str> = lists.map(|it| it.uri.as_str()).collect();
        assert!(
            lists[1].contains("limit=500") && lists.len() == 2,
            "{lists:?}"
        );
        // Where the pages fail as well, there is no survey.
        fault(proxy.on(Match::any().path("/api/v1/pods?limit=")));
        let (_, end, errors) = brackets(&survey(&tools, proxy.kubeconfig(), &args), 2);
        assert_eq!(end["outcome"], "failed", "{number}");
        assert!(errors.contains("listing pods"), "{number}: {errors}");
    }
}
