use crate::real::{pod, shared};

#[test]
fn the_audit_log_has_a_finished_client_whole() {
    let Some(bed) = shared() else { return };
    bed.namespace("audited", &[]).unwrap();
    bed.kubectl([
        "create",
        "deployment",
        "web",
        "--image=web:1",
        "-n",
        "audited",
    ])
    .unwrap();
    bed.kubectl([
        "scale",
        "deployment",
        "web",
        "--replicas=2",
        "-n",
        "audited",
    ])
    .unwrap();
    bed.kubectl(["rollout", "restart", "deployment/web", "-n", "audited"])
        .unwrap();
    bed.kubectl(["get", "pods", "-n", "audited"]).unwrap();
    let mut events = bed.audit_of("kubectl/").unwrap();
    events.retain(|event| event.namespace == "audited");
    let lines: Vec<_> = events
        .iter()
        .map(|e| {
            (
                e.verb.as_str(),
                e.resource.as_str(),
                e.subresource.as_str(),
                e.code,
            )
        })
        .collect();
    for wanted in [
        ("create", "deployments", "", Some(201)),
        ("patch", "deployments", "scale", Some(200)),
        ("patch", "deployments", "", Some(200)),
        ("list", "pods", "", Some(200)),
    ] {
        assert_eq!(
            lines.iter().filter(|line| **line == wanted).count(),
            1,
            "{wanted:?} in {lines:?}"
        );
    }
    let restart = events
        .iter()
        .find(|event| {
            event.verb == "patch" && event.subresource.is_empty() && event.resource == "deployments"
        })
        .unwrap();
    let body = restart.body.as_ref().unwrap().to_string();
    assert!(body.contains("kubectl.kubernetes.io/restartedAt"), "{body}");
    assert!(restart.writes() && restart.completed >= Some(restart.received));
}

#[test]
fn a_dry_run_is_no_write() {
    let Some(bed) = shared() else { return };
    bed.namespace("dry", &[]).unwrap();
    bed.kubectl_with_input(
        &["create", "--dry-run=server", "-f", "-"],
        &pod("dry", "app", &[], &[]),
    )
    .unwrap();
    let events = bed.audit_of("kubectl/").unwrap();
    let create = events
        .iter()
        .find(|event| event.namespace == "dry" && event.resource == "pods")
        .unwrap();
    assert!(create.dry_run && !create.writes(), "{create:?}");
}

#[test]
fn a_named_context_leads_to_the_same_cluster() {
    let Some(bed) = shared() else { return };
    let path = bed.kubeconfig_named("eu").unwrap();
    let output = bed
        .tool(&bed.assets().kubectl)
        .env("KUBECONFIG", &path)
        .args(["config", "current-context"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "eu");
    let output = bed
        .tool(&bed.assets().kubectl)
        .env("KUBECONFIG", &path)
        .args(["get", "nodes", "-o", "name"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "node/node-1\nnode/node-2\nnode/node-3\n"
    );
}

#[test]
fn two_beds_do_not_meet() {
    let (Some(shared), Some(own)) = (shared(), mesh_testbed::Bed::for_test()) else {
        return;
    };
    own.namespace("only-here", &[]).unwrap();
    let elsewhere = shared.kubectl(["get", "namespaces", "-o", "name"]).unwrap();
    assert!(!elsewhere.contains("only-here"), "{elsewhere}");
    let pids = own.pids();
    drop(own);
    for (name, pid) in pids {
        assert!(
            !std::path::Path::new(&format!("/proc/{pid}")).exists(),
            "{name} outlived its bed"
        );
    }
}
