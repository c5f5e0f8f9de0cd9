//! Tests that the proxy's log equals the server's audit log.

use mesh_testbed::{AuditEvent, Bed, Victim};
use mesh_tests::{Toolbox, on_both_beds, toolbox};

use crate::fleet::{NEW, OLD, PEOPLE, people};
use crate::run::run;

/// Returns the facts about a request that both logs have.
fn line(event: &AuditEvent) -> String {
    let AuditEvent {
        user_agent,
        verb,
        group,
        resource,
        subresource,
        namespace,
        name,
        uri,
        dry_run,
        code,
        body,
        ..
    } = event;
    format!(
        "{verb} {group}/{resource}/{subresource} {namespace}/{name} {uri} {dry_run} {code:?} {user_agent} {body:?}"
    )
}

on_both_beds! {
    [Helm]
    fault_proxy_log_is_the_audit_log
}

fn fault_proxy_log_is_the_audit_log(bed: Bed) {
    let tools = toolbox!();
    tools.link("helm", bed.helm());
    bed.install_linkerd(OLD).unwrap();
    people(&bed, &[PEOPLE]);
    let charts = bed.charts(NEW).unwrap();
    let upgrade = format!(
        "mesh-survey | mesh-skewcheck --to {NEW} | mesh-cp-upgrade --chart {} --crds-chart {} -f {} --yes",
        charts.control_plane.display(),
        charts.crds.display(),
        charts.values.display(),
    );
    agree(&bed, &tools, &upgrade);
    agree(
        &bed,
        &tools,
        "mesh-survey | mesh-skewcheck --ask roll | mesh-roll --yes",
    );
}

#[track_caller]
fn agree(bed: &Bed, tools: &Toolbox, pipeline: &str) {
    let proxy = bed.proxy().unwrap();
    let before = bed.audit().unwrap().len();
    let mut command = tools.shell(pipeline);
    command.env("KUBECONFIG", proxy.kubeconfig());
    let ran = run(command, "", &Victim::default());
    assert_eq!(ran.code, Some(0), "{}{}", ran.summary(), ran.stdout);
    let ours = |event: &AuditEvent| {
        let agents = ["mesh-", "Helm/", "helm"];
        agents
            .iter()
            .any(|agent| event.user_agent.starts_with(agent))
    };
    let audit = bed.audit().unwrap();
    let mut audit: Vec<String> = audit[before..]
        .iter()
        .filter(|it| ours(it))
        .map(line)
        .collect();
    let mut served: Vec<String> = proxy.served().iter().map(line).collect();
    audit.sort();
    served.sort();
    let missing: Vec<&String> = audit.iter().filter(|line| !served.contains(line)).collect();
    let more: Vec<&String> = served.iter().filter(|line| !audit.contains(line)).collect();
    assert_eq!((&missing, &more), (&vec![], &vec![]));
    assert_eq!(audit, served);
    let told: Vec<Option<u16>> = proxy.log().iter().map(|event| event.code).collect();
    let said: Vec<Option<u16>> = proxy.served().iter().map(|event| event.code).collect();
    assert_eq!(
        told, said,
        "without a fault the client is told what the server says"
    );
}
