//! Servers that are silent, busy or forgetful.

use mesh_testbed::{Bed, Match, When};
use mesh_tests::{on_both_beds, toolbox};
use serde_json::json;

use crate::{brackets, ghost, survey};

on_both_beds! {
    sharing crate::CLUSTER;
    a_silent_server_is_given_up_after_the_request_timeout
    a_list_that_expires_is_begun_again_and_what_came_before_is_forgotten
    a_busy_server_is_asked_again
}

fn a_silent_server_is_given_up_after_the_request_timeout(bed: &Bed) {
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

fn a_list_that_expires_is_begun_again_and_what_came_before_is_forgotten(bed: &Bed) {
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
    assert!(errors.contains("begun again"), "{errors}");
    let names = String::from_utf8(output.stdout).unwrap();
    assert!(!names.contains("ghost"), "{names}");
}

fn a_busy_server_is_asked_again(bed: &Bed) {
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
