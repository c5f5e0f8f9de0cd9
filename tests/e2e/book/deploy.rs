//! Tests the CronJobs: admitted where only restricted pods are, and what they run with the token and
//! the shipped permissions of their account.

use std::process::Command;

use mesh_testbed::Bed;
use mesh_tests::{Toolbox, on_both_beds, toolbox};
use serde_json::{Value, json};

use crate::{FROM, Said, TO, root};

on_both_beds! {
    [Rbac]
    cron_jobs_are_admitted_where_pods_are_restricted
    drift_job_reports_with_the_rules_of_the_survey
    roll_job_rolls_with_the_rules_of_the_roll_and_the_survey
}

const RULES: [&str; 2] = [
    include_str!("../../../tools/mesh-survey/rbac.yaml"),
    include_str!("../../../tools/mesh-roll/rbac.yaml"),
];

/// Applies the permissions and the CronJobs as the kustomization says.
fn deploy(bed: Bed) -> Bed {
    for rules in RULES {
        bed.apply(rules).unwrap();
    }
    let folder = root("deploy");
    bed.kubectl(["apply", "--server-side", "-k", folder.to_str().unwrap()])
        .unwrap();
    bed
}

/// The pod template of a CronJob, as the API server has it.
fn template(bed: &Bed, name: &str) -> Value {
    let path = format!("/apis/batch/v1/namespaces/linkerd/cronjobs/{name}");
    let job = bed.get(&path).unwrap();
    job["spec"]["jobTemplate"]["spec"]["template"].clone()
}

/// Runs the command of a CronJob's container with its environment, in the toolbox's folder, as its
/// account.
fn run(bed: &Bed, tools: &Toolbox, name: &str, environment: &[(&str, &str)]) -> Said {
    let template = template(bed, name);
    let account = template["spec"]["serviceAccountName"].as_str().unwrap();
    let token = bed
        .kubectl(["-n", "linkerd", "create", "token", account])
        .unwrap();
    let kubeconfig = bed.kubeconfig_with_token(account, token.trim()).unwrap();
    let container = &template["spec"]["containers"][0];
    let words = |field: &str| {
        container[field]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_str().unwrap().to_owned())
    };
    let argv: Vec<String> = words("command").chain(words("args")).collect();
    let mut command: Command = tools.command(&argv[0]);
    command.args(&argv[1..]);
    for variable in container["env"].as_array().unwrap() {
        command.env(
            variable["name"].as_str().unwrap(),
            variable["value"].as_str().unwrap(),
        );
    }
    command
        .env("KUBECONFIG", kubeconfig)
        .env("EVIDENCE", tools.folder())
        .env("TMPDIR", tools.folder())
        .env("METRICS", root("deploy/metrics.jq"))
        .envs(environment.iter().copied());
    Said::of(&mut command)
}

fn cron_jobs_are_admitted_where_pods_are_restricted(bed: Bed) {
    bed.install_linkerd(FROM).unwrap();
    let bed = deploy(bed);
    let label =
        json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    bed.merge("/api/v1/namespaces/linkerd", &label).unwrap();
    for name in ["mesh-drift", "mesh-roll"] {
        let mut pod = template(&bed, name);
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = name.into();
        pod["metadata"]["namespace"] = "linkerd".into();
        let create = ["create", "--dry-run=server", "-f", "-"];
        bed.kubectl_with_input(&create, &pod.to_string()).unwrap();
        let container = &mut pod["spec"]["containers"][0];
        container.as_object_mut().unwrap().remove("securityContext");
        let refused = bed
            .kubectl_with_input(&create, &pod.to_string())
            .unwrap_err();
        assert!(format!("{refused:#}").contains("restricted"), "{refused:#}");
    }
}

fn drift_job_reports_with_the_rules_of_the_survey(bed: Bed) {
    bed.install_linkerd(FROM).unwrap();
    bed.shop().unwrap();
    let bed = deploy(bed);
    let tools = toolbox!();
    let said = run(&bed, &tools, "mesh-drift", &[]).exits(0);
    let ok = "mesh_drift_ok{cluster=\"testbed\",control_plane=\"linkerd\"} 1\n";
    assert!(said.stdout.contains(ok), "{}", said.stdout);
    assert!(
        said.stdout.contains("version=\"stable-2.13.7\"} "),
        "{}",
        said.stdout
    );
    assert!(said.stderr.starts_with("OK  testbed"), "{}", said.stderr);
    let sent = run(&bed, &tools, "mesh-drift", &[("SEND", "cat > sent")]).exits(0);
    assert_eq!(sent.stdout, "");
    let failed = run(&bed, &tools, "mesh-drift", &[("SEND", "exit 7")]);
    assert_eq!(failed.code, Some(7));
    // Without its binding the survey fails, and there are no metrics.
    let binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/mesh-survey";
    bed.delete(binding).unwrap();
    let failed = run(&bed, &tools, "mesh-drift", &[]).exits(2);
    assert_eq!(failed.stdout, "");
}

fn roll_job_rolls_with_the_rules_of_the_roll_and_the_survey(bed: Bed) {
    bed.install_linkerd(FROM).unwrap();
    let shop = bed.shop().unwrap();
    bed.upgrade_linkerd(TO).unwrap();
    let bed = deploy(bed);
    let tools = toolbox!();
    let flags = [("ROLL_FLAGS", "--max-in-flight 6 --settle 0s")];
    let said = run(&bed, &tools, "mesh-roll", &flags).exits(0);
    let proven = said.stdout.matches(r#""outcome":"proven""#).count();
    assert_eq!(proven, shop.workloads.len(), "{}", said.stdout);
    let again = run(&bed, &tools, "mesh-roll", &[]).exits(0);
    assert!(
        !again.stdout.contains(r#""type":"rolled""#),
        "{}",
        again.stdout
    );
}

#[test]
fn metrics_are_of_a_whole_drift_report_or_there_are_none() {
    let tools = toolbox!();
    let line = |input: &str| format!("{input} | jq -rn -f \"$METRICS\"");
    let run = |input: &str| {
        let mut command = tools.shell(&line(input));
        command
            .env("METRICS", root("deploy/metrics.jq"))
            .env("SURVEY", root("docs/example/survey.ndjson"))
            .env("VERDICT", root("docs/example/verdict.ndjson"));
        Said::of(&mut command)
    };
    // The answer is no, which a pipe with pipefail would hand on.
    let whole = run("{ mesh-skewcheck --fail-on warning < \"$SURVEY\" || true; }").exits(0);
    for metric in [
        "# TYPE mesh_drift_ok gauge\nmesh_drift_ok{cluster=\"prod-eu\",control_plane=\"linkerd\"} 0\n",
        "mesh_drift_surveyed_seconds{cluster=\"prod-eu\",control_plane=\"linkerd\"} 1772442904\n",
        "mesh_drift_proxies{cluster=\"prod-eu\",namespace=\"warehouse\",version=\"stable-2.12.6\"} 1\n",
        "role=\"issuer\",name=\"linkerd-identity-issuer\"} 1799107200\n",
    ] {
        assert!(whole.stdout.contains(metric), "{metric}: {}", whole.stdout);
    }
    for cut in [
        "{ mesh-skewcheck < \"$SURVEY\" || true; } | head -n -1",
        "cat \"$SURVEY\"",
        "cat \"$VERDICT\"",
        "true",
    ] {
        let said = run(cut);
        assert_eq!((said.code, &*said.stdout), (Some(5), ""), "{cut}");
    }
}
