//! Tests each rule under each question.

use mesh_records::{Ask, Decided, Rule};
use serde_json::{Value, json};

use super::world::{World, judge, workload};
use crate::rule::{Weight, severity};

const TARGET: &str = "stable-2.14.10";
/// The question, its arguments, the minor version that proxies are compared with, and the version
/// that runs. Upgrade goes from 2.13 to 2.14; drift and roll are about 2.13; done is about 2.14.
const QUESTIONS: [(&str, &[&str], u32, &str); 4] = [
    ("upgrade", &["--to", TARGET], 14, "stable-2.13.7"),
    ("drift", &[], 13, "stable-2.13.7"),
    ("roll", &["--ask", "roll"], 13, "stable-2.13.7"),
    ("done", &["--ask", "done", "--to", TARGET], 14, TARGET),
];

/// Makes one fault in a world. The number is the X of the 2.X that proxies are compared with.
type Bend = fn(&mut World, u32);

fn of_minor(minor: u32) -> &'static str {
    match minor {
        11 => "stable-2.11.5",
        12 => "stable-2.12.6",
        13 => "stable-2.13.7",
        14 => TARGET,
        15 => "edge-24.2.4",
        16 => "edge-24.8.2",
        _ => unreachable!("no test needs 2.{minor}"),
    }
}

fn proxy(world: &mut World, version: &str) {
    world.workloads[0]["proxies"][0]["version"] = json!(version);
}

fn job(world: &mut World, version: &str) {
    let mut job = workload("nightly", version);
    job["kind"] = json!("Job");
    job["roll"] = json!({"by": "itself", "reason": "job"});
    world.workloads.push(job);
}

// One container of the third component, `linkerd-destination`, has another version.
fn policy(world: &mut World, version: Option<&str>) {
    let running = world.plane["version"].clone();
    let component = &mut world.plane["components"][2];
    let mut policy = json!({"container": "policy"});
    if let Some(version) = version {
        policy["version"] = json!(version);
        component["version"] = json!(version);
    } else {
        component.as_object_mut().unwrap().remove("version");
    }
    component["versions"] = json!([{"container": "destination", "version": running}, policy]);
}

fn certificate(world: &mut World, role: usize, end: &str) {
    world.plane["certificates"][role]["not_after"] = json!(end);
}

// The issuer does not stand on the first anchor; a second one is valid.
fn beside(world: &mut World, signs: bool) {
    let all = world.plane["certificates"].as_array_mut().unwrap();
    let mut second = all[0].clone();
    all[0]["signs_issuer"] = json!(false);
    second["signs_issuer"] = json!(signs);
    all.push(second);
}

// Makes the pods on their way out.
fn leaving(world: &mut World, version: &str) {
    let proxy = json!({"version": version, "source": "image", "native": false, "count": 1});
    world.workloads[0]["pods"]["terminating"] = json!(1);
    world.workloads[0]["terminating_proxies"] = json!([proxy]);
}

// Adds an expired certificate that a webhook's object holds.
fn webhook(world: &mut World, holder: &str) {
    let expired = json!({"role": "webhook", "name": holder, "not_after": "2026-07-01T00:00:00Z",
        "readable": true});
    let all = world.plane["certificates"].as_array_mut().unwrap();
    all.push(expired);
}

fn extension(world: &mut World, name: &str, version: Option<&str>) {
    let mut record = json!({"type": "extension", "cluster": "eu", "name": name, "namespace": "x"});
    if let Some(version) = version {
        record["version"] = json!(version);
    }
    world.others.push(record);
}

/// A fault, the rule that it breaks, its grade for each question, and how to make it. `?` stands for
/// "cannot tell", `-` for no finding.
const FAULTS: &[(&str, &str, [&str; 4], Bend)] = &[
    (
        "two 2.x behind",
        "proxy-too-old",
        ["E", "E", "I", "E"],
        |world, base| {
            proxy(world, of_minor(base - 2));
        },
    ),
    (
        "one 2.x behind",
        "proxy-behind",
        ["I", "I", "I", "E"],
        |world, base| {
            proxy(world, of_minor(base - 1));
        },
    ),
    (
        "a patch behind",
        "proxy-behind",
        ["I", "I", "I", "E"],
        |world, base| {
            proxy(world, &format!("stable-2.{base}.0"));
        },
    ),
    (
        "ahead",
        "proxy-ahead",
        ["E", "E", "I", "E"],
        |world, base| {
            proxy(world, of_minor(base + 1));
        },
    ),
    (
        "no version",
        "proxy-unknown",
        ["E", "E", "W", "E"],
        |world, _| {
            world.workloads[0]["proxies"] =
                json!([{"source": "none", "native": false, "count": 2, "tag": "acme-7"}]);
        },
    ),
    (
        "proxies that are not listed",
        "proxy-unknown",
        ["E", "E", "W", "E"],
        |world, _| {
            world.workloads[0]["proxies"] = json!([]);
        },
    ),
    (
        "an annotation counts",
        "proxy-unknown",
        ["-", "-", "-", "-"],
        |world, _| {
            world.workloads[0]["proxies"][0]["source"] = json!("annotation");
        },
    ),
    (
        "newer than the file",
        "newer-than-known",
        ["E", "W", "I", "W"],
        |world, _| {
            proxy(world, "edge-99.1.1");
        },
    ),
    (
        "another channel",
        "mixed-channels",
        ["W", "W", "I", "W"],
        |world, base| {
            proxy(world, &format!("enterprise-2.{base}.1"));
        },
    ),
    (
        "a bad edge",
        "edge-not-recommended",
        ["W", "W", "I", "I"],
        |world, _| {
            proxy(world, "edge-25.6.1");
        },
    ),
    (
        "a pinned workload",
        "version-pinned",
        ["W", "W", "I", "W"],
        |world, _| {
            world.workloads[0]["pins"] = json!([{"where": "template", "version": "x"}]);
        },
    ),
    (
        "a pinned configuration",
        "version-pinned",
        ["W", "W", "I", "W"],
        |world, _| {
            world.plane["injects"] = json!("stable-2.13.1");
        },
    ),
    (
        "old anchors",
        "trust-anchor-stale",
        ["E", "W", "I", "E"],
        |world, _| {
            world.workloads[0]["trust_anchors"] = json!("stale");
        },
    ),
    (
        "unknown anchors",
        "trust-anchor-unknown",
        ["W", "W", "I", "W"],
        |world, _| {
            world.workloads[0]["trust_anchors"] = json!("unknown");
        },
    ),
    (
        "a webhook whose certificate is not trusted",
        "injector-bypassed",
        ["W", "W", "E", "E"],
        |world, _| {
            world.plane["webhooks"][0]["trusted"] = json!(false);
        },
    ),
    (
        "a webhook with conditions",
        "injector-bypassed",
        ["W?", "W?", "W?", "W?"],
        |world, _| {
            world.plane["webhooks"][0]["selects"] = json!({"conditions": ["not-all"]});
        },
    ),
    (
        "a webhook with conditions that was asked",
        "injector-bypassed",
        ["-", "-", "-", "-"],
        |world, _| {
            world.plane["webhooks"][0]["selects"] = json!({"conditions": ["not-all"]});
            world.plane["webhooks"][0]["answers"] = json!(true);
        },
    ),
    (
        "a webhook for no pod of the mesh",
        "injector-bypassed",
        ["W", "W", "E", "E"],
        |world, _| {
            world.plane["facts"]["injector_bypassed"] = json!(true);
        },
    ),
    (
        "no pod",
        "pods-missing",
        ["W", "W", "I", "E"],
        |world, _| {
            world.workloads[0]["pods"] = json!({"wanted": 2, "total": 0, "ready": 0, "meshed": 0});
            world.workloads[0]["proxies"] = json!([]);
        },
    ),
    (
        "a pod too few, which is refused",
        "pods-missing",
        ["W", "W", "I", "E"],
        |world, _| {
            world.workloads[0]["pods"]["wanted"] = json!(3);
            world.workloads[0]["pods"]["refused"] = json!(true);
        },
    ),
    (
        "enough pods, but a new one would be refused",
        "pods-missing",
        ["-", "-", "-", "-"],
        |world, _| {
            world.workloads[0]["pods"]["wanted"] = json!(2);
            world.workloads[0]["pods"]["refused"] = json!(true);
        },
    ),
    (
        "a new pod would get no proxy",
        "would-lose-proxy",
        ["W", "I", "I", "E"],
        |world, _| {
            world.workloads[0]["roll"] = json!({"by": "none", "reason": "would-lose-proxy"});
        },
    ),
    (
        "another reason not to restart it",
        "would-lose-proxy",
        ["-", "-", "-", "-"],
        |world, _| {
            world.workloads[0]["roll"] = json!({"by": "none", "reason": "foreign-owner"});
        },
    ),
    (
        "a pod too few",
        "pods-missing",
        ["W", "W", "I", "W"],
        |world, _| {
            world.workloads[0]["pods"]["wanted"] = json!(3);
        },
    ),
    (
        "a pod without proxy",
        "unmeshed-but-annotated",
        ["W", "W", "I", "E"],
        |world, _| {
            world.workloads[0]["pods"]["meshed"] = json!(1);
            world.workloads[0]["proxies"][0]["count"] = json!(1);
        },
    ),
    (
        "no proxy at all",
        "unmeshed-but-annotated",
        ["W", "W", "I", "E"],
        |world, _| {
            world.workloads[0]["pods"]["meshed"] = json!(0);
            world.workloads[0]["proxies"] = json!([]);
        },
    ),
    (
        "would go down",
        "downtime-outage",
        ["-", "-", "W", "-"],
        |world, _| {
            world.workloads[0]["trust_anchors"] = json!("stale");
            world.workloads[0]["downtime"] = json!({"grade": "outage"});
        },
    ),
    (
        "pods not ready",
        "workload-unhealthy",
        ["W", "W", "I", "W"],
        |world, _| {
            world.workloads[0]["pods"]["ready"] = json!(1);
        },
    ),
    (
        "no pod is ready",
        "workload-unhealthy",
        ["W", "W", "I", "E"],
        |world, _| {
            world.workloads[0]["pods"]["ready"] = json!(0);
        },
    ),
    (
        "a Job with a pod that is not ready",
        "workload-unhealthy",
        ["W", "W", "I", "W"],
        |world, base| {
            world.workloads.clear();
            job(world, of_minor(base));
            world.workloads[0]["pods"]["ready"] = json!(0);
        },
    ),
    (
        "an old Job",
        "job-holds-back",
        ["E", "I", "I", "I"],
        |world, base| {
            job(world, of_minor(base - 2));
        },
    ),
    (
        "an old Job is no proxy to roll",
        "proxy-too-old",
        ["-", "E", "I", "W"],
        |world, base| {
            job(world, of_minor(base - 2));
        },
    ),
    (
        "a Job a 2.x behind",
        "proxy-behind",
        ["I", "I", "I", "W"],
        |world, base| {
            world.workloads.clear();
            job(world, of_minor(base - 1));
        },
    ),
    (
        "anchor expired",
        "certificate-expired",
        ["E", "E", "E", "E"],
        |world, _| {
            certificate(world, 0, "2026-08-01T12:00:00Z");
        },
    ),
    (
        "issuer not valid yet",
        "certificate-expired",
        ["E", "E", "E", "E"],
        |world, _| {
            world.plane["certificates"][1]["not_before"] = json!("2026-08-02T00:00:00Z");
        },
    ),
    (
        "issuer not readable",
        "certificate-unreadable",
        ["E", "W", "E", "W"],
        |world, _| {
            world.plane["certificates"][1] = json!({"role": "issuer", "readable": false});
        },
    ),
    (
        "no anchor seen",
        "certificate-unreadable",
        ["E", "W", "E", "W"],
        |world, _| {
            world.plane["certificates"]
                .as_array_mut()
                .unwrap()
                .remove(0);
        },
    ),
    (
        "issuer not readable in a dump",
        "certificate-unreadable",
        ["W", "W", "W", "W"],
        |world, _| {
            world.stream["source"] = json!("dump");
            world.plane["certificates"][1] = json!({"role": "issuer", "readable": false});
        },
    ),
    (
        "a webhook's certificate that is not readable",
        "certificate-unreadable",
        ["-", "-", "-", "-"],
        |world, _| {
            let all = world.plane["certificates"].as_array_mut().unwrap();
            all.push(json!({"role": "webhook", "readable": false}));
        },
    ),
    (
        "a definition is missing",
        "crds-behind",
        ["I", "W", "W", "E"],
        |world, _| {
            world.plane["crds"].as_array_mut().unwrap().remove(0);
        },
    ),
    (
        "a definition lacks a version",
        "crds-behind",
        ["I", "W", "W", "E"],
        |world, _| {
            world.plane["crds"][6]["served"] = json!(["v1alpha1", "v1beta1"]);
        },
    ),
    (
        "no definition at all",
        "crds-behind",
        ["I", "W", "W", "E"],
        |world, _| {
            world.plane["crds"] = json!([]);
        },
    ),
    (
        "definitions not readable",
        "crds-behind",
        ["I?", "I?", "I?", "W?"],
        |world, _| {
            world.plane["crds"] = json!([]);
            world.plane["facts"] = json!({});
        },
    ),
    (
        "a definition of a later release is missing",
        "crds-behind",
        ["-", "-", "-", "-"],
        |world, _| {
            world.plane["crds"].as_array_mut().unwrap().truncate(7);
        },
    ),
    (
        "no sign of an installer",
        "installer-unknown",
        ["W", "I", "I", "I"],
        |world, _| {
            world.plane["installed_by"] = json!("unknown");
        },
    ),
    (
        "installed by the CLI",
        "installer-unknown",
        ["-", "-", "-", "-"],
        |world, _| {
            world.plane["installed_by"] = json!("cli");
        },
    ),
    (
        "no time",
        "certificate-expired",
        ["E?", "W?", "E?", "E?"],
        |world, _| {
            world.stream.as_object_mut().unwrap().remove("time");
        },
    ),
    (
        "issuer under a third",
        "certificate-expiring",
        ["W", "W", "W", "W"],
        |world, _| {
            certificate(world, 1, "2026-10-01T00:00:00Z");
        },
    ),
    (
        "issuer under a tenth",
        "certificate-expiring",
        ["E", "W", "E", "W"],
        |world, _| {
            certificate(world, 1, "2026-08-10T00:00:00Z");
        },
    ),
    (
        "anchor under 60 days",
        "certificate-expiring",
        ["W", "W", "W", "W"],
        |world, _| {
            certificate(world, 0, "2026-09-20T00:00:00Z");
        },
    ),
    (
        "anchor under 14 days",
        "certificate-expiring",
        ["E", "W", "E", "W"],
        |world, _| {
            certificate(world, 0, "2026-08-14T00:00:00Z");
        },
    ),
    (
        "a webhook's expired",
        "certificate-expiring",
        ["W", "W", "W", "W"],
        |world, _| {
            webhook(world, "linkerd-policy-validator.linkerd.io");
        },
    ),
    (
        "the injector's expired",
        "webhook-certificate-expired",
        ["W", "W", "E", "E"],
        |world, _| webhook(world, "linkerd-proxy-injector-k8s-tls"),
    ),
    (
        "an old one in the injector's bundle",
        "webhook-certificate-expired",
        ["-", "-", "-", "-"],
        |world, _| {
            webhook(world, "linkerd-proxy-injector.linkerd.io");
            let all = world.plane["certificates"].as_array_mut().unwrap();
            let mut valid = all.last().unwrap().clone();
            valid["not_after"] = json!("2027-07-01T00:00:00Z");
            all.push(valid);
        },
    ),
    (
        "a validator's expired",
        "webhook-certificate-expired",
        ["-", "-", "-", "-"],
        |world, _| webhook(world, "linkerd-sp-validator.linkerd.io"),
    ),
    (
        "a dry-run pod gets another version",
        "control-plane-not-at-target",
        ["-", "-", "-", "E"],
        |world, _| {
            world.plane["facts"]["probed"] = json!({"shop": {"version": "stable-2.13.6"}});
        },
    ),
    (
        "a dry-run pod gets the version of a pin",
        "control-plane-not-at-target",
        ["-", "-", "-", "-"],
        |world, _| {
            let pinned = json!({"version": "stable-2.13.6", "pinned": true});
            world.plane["facts"]["probed"] = json!({"shop": pinned});
        },
    ),
    (
        "old pods on their way out",
        "proxy-terminating",
        ["W", "I", "I", "W"],
        |world, base| leaving(world, of_minor(base - 2)),
    ),
    (
        "current pods on their way out",
        "proxy-terminating",
        ["-", "-", "-", "-"],
        |world, base| leaving(world, of_minor(base)),
    ),
    (
        "machines outside",
        "proxies-outside",
        ["I", "I", "I", "W"],
        |world, _| world.plane["facts"]["external_workloads"] = json!(3),
    ),
    (
        "no machines outside",
        "proxies-outside",
        ["-", "-", "-", "-"],
        |world, _| world.plane["facts"]["external_workloads"] = json!(0),
    ),
    (
        "an old job that only its proxy keeps alive",
        "job-stuck-on-proxy",
        ["E", "W", "I", "W"],
        |world, base| {
            job(world, of_minor(base - 2));
            world.workloads.last_mut().unwrap()["pods"]["held_by_proxy"] = json!(2);
        },
    ),
    (
        "a job that only its proxy keeps alive",
        "job-stuck-on-proxy",
        ["W", "W", "I", "W"],
        |world, base| {
            job(world, of_minor(base));
            world.workloads.last_mut().unwrap()["pods"]["held_by_proxy"] = json!(2);
        },
    ),
    (
        "a CNI plugin on its way",
        "cni-behind",
        ["W", "W", "E", "W"],
        |world, _| world.plane["facts"]["cni_rolling"] = json!(true),
    ),
    (
        "a pinned proxy beside a component of none",
        "control-plane-unhealthy",
        ["E", "W", "E", "E"],
        |world, _| {
            world.plane["injects"] = json!("stable-2.13.6");
            world.plane["components"][0]["wanted"] = json!(0);
            world.plane["components"][0]["ready"] = json!(0);
            for component in world.plane["components"].as_array_mut().unwrap() {
                component["proxies"][0]["version"] = json!("stable-2.13.6");
            }
        },
    ),
    (
        "a component down",
        "control-plane-unhealthy",
        ["E", "W", "E", "E"],
        |world, _| {
            world.plane["components"][0]["ready"] = json!(0);
        },
    ),
    (
        "identity gone",
        "control-plane-unhealthy",
        ["E", "W", "E", "E"],
        |world, _| {
            world.plane["components"].as_array_mut().unwrap().remove(0);
        },
    ),
    (
        "no components seen",
        "control-plane-unhealthy",
        ["E?", "W?", "E?", "E?"],
        |world, _| {
            world.plane["components"] = json!([]);
        },
    ),
    (
        "under way elsewhere",
        "upgrade-in-progress",
        ["E", "W", "E", "E"],
        |world, _| {
            world.plane["components"][0]["version"] = json!("stable-2.12.6");
        },
    ),
    (
        "a component's version",
        "upgrade-in-progress",
        ["W?", "I?", "W?", "W?"],
        |world, _| {
            world.plane["components"][0]
                .as_object_mut()
                .unwrap()
                .remove("version");
        },
    ),
    (
        "a container of another release",
        "upgrade-in-progress",
        ["E", "W", "E", "E"],
        |world, _| policy(world, Some("stable-2.12.6")),
    ),
    (
        "a container of another release, under done",
        "control-plane-not-at-target",
        ["-", "-", "-", "E"],
        |world, _| policy(world, Some("stable-2.12.6")),
    ),
    (
        "a container whose version is not known",
        "control-plane-not-at-target",
        ["-", "-", "-", "E?"],
        |world, _| policy(world, None),
    ),
    (
        "a container that a value pins",
        "component-pinned",
        ["W", "W", "W", "E"],
        |world, _| {
            policy(world, Some("stable-2.12.6"));
            world.plane["facts"]["policy_image_version"] = json!("stable-2.12.6");
        },
    ),
    (
        "a pinned container is no upgrade under way",
        "upgrade-in-progress",
        ["-", "-", "-", "-"],
        |world, _| {
            policy(world, Some("stable-2.12.6"));
            world.plane["facts"]["policy_image_version"] = json!("stable-2.12.6");
        },
    ),
    (
        "a pinned component",
        "component-pinned",
        ["W", "W", "W", "E"],
        |world, _| {
            world.plane["components"][0]["version"] = json!("stable-2.12.6");
            world.plane["facts"]["controller_image_version"] = json!("stable-2.12.6@sha256:01");
        },
    ),
    (
        "a value that says the release",
        "component-pinned",
        ["-", "-", "-", "-"],
        |world, _| {
            let version = world.plane["version"].clone();
            world.plane["facts"]["controller_image_version"] = version;
        },
    ),
    (
        "leftovers",
        "leftover-component",
        ["W", "W", "W", "W"],
        |world, _| {
            world.plane["facts"]["leftovers"] = json!(["Deployment/linkerd-controller"]);
        },
    ),
    (
        "an expired anchor beside the issuer's",
        "anchor-expired",
        ["W", "W", "W", "W"],
        |world, _| {
            beside(world, true);
            certificate(world, 0, "2026-07-01T00:00:00Z");
        },
    ),
    (
        "an anchor beside the issuer's that soon expires",
        "certificate-expiring",
        ["W", "W", "W", "W"],
        |world, _| {
            beside(world, true);
            certificate(world, 0, "2026-08-05T00:00:00Z");
        },
    ),
    (
        "the only anchor has expired, and the issuer does not stand on it",
        "certificate-expired",
        ["E", "E", "E", "E"],
        |world, _| {
            world.plane["certificates"][0]["signs_issuer"] = json!(false);
            certificate(world, 0, "2026-07-01T00:00:00Z");
        },
    ),
    (
        "no valid anchor, and the issuer stands on none",
        "certificate-expired",
        ["E", "E", "E", "E"],
        |world, _| {
            beside(world, false);
            certificate(world, 0, "2026-07-01T00:00:00Z");
        },
    ),
    (
        "the issuer's anchor has expired",
        "certificate-expired",
        ["E", "E", "E", "E"],
        |world, _| {
            world.plane["certificates"][0]["signs_issuer"] = json!(true);
            certificate(world, 0, "2026-07-01T00:00:00Z");
        },
    ),
    (
        "a part of an extension whose version is not known",
        "extension-behind",
        ["I?", "I?", "I?", "I?"],
        |world, base| {
            let version = of_minor(base);
            extension(world, "viz", None);
            world.others[0]["parts"] =
                json!([{"name": "web", "version": version}, {"name": "tap"}]);
        },
    ),
    (
        "a part with numbers of its own",
        "extension-behind",
        ["-", "-", "-", "-"],
        |world, base| {
            let version = of_minor(base);
            extension(world, "viz", None);
            let prometheus = json!({"name": "prometheus", "own_version": "v2.43.0"});
            world.others[0]["parts"] = json!([{"name": "web", "version": version}, prometheus]);
        },
    ),
    (
        "a cni plugin with numbers of its own only",
        "cni-behind",
        ["I?", "I?", "W?", "I?"],
        |world, _| {
            extension(world, "cni", None);
            let plugin = json!({"name": "linkerd-cni", "own_version": "v1.5.0"});
            world.others[0]["parts"] = json!([plugin]);
        },
    ),
    (
        "operator",
        "operator-managed",
        ["E", "I", "E", "I"],
        |world, _| {
            world.plane["installed_by"] = json!("operator");
        },
    ),
    (
        "gitops",
        "gitops-managed",
        ["I", "I", "I", "I"],
        |world, _| {
            world.plane["installed_by"] = json!("gitops");
        },
    ),
    (
        "fails open",
        "injector-fails-open",
        ["I", "I", "W", "I"],
        |world, _| {
            world.plane["webhooks"][0]["failure_policy"] = json!("Ignore");
        },
    ),
    (
        "no endpoint",
        "injector-not-ready",
        ["W", "W", "E", "W"],
        |world, _| {
            world.plane["webhooks"][0]["ready_endpoints"] = json!(0);
        },
    ),
    (
        "does not answer",
        "injector-not-ready",
        ["W", "W", "E", "W"],
        |world, _| {
            world.plane["webhooks"][0]["answers"] = json!(false);
        },
    ),
    (
        "endpoints unknown",
        "injector-not-ready",
        ["W?", "W?", "E?", "W?"],
        |world, _| {
            world.plane["webhooks"][0]
                .as_object_mut()
                .unwrap()
                .remove("ready_endpoints");
        },
    ),
    (
        "webhooks unknown",
        "injector-not-ready",
        ["W?", "W?", "E?", "W?"],
        |world, _| {
            world.plane["webhooks"] = json!([]);
        },
    ),
    (
        "failure policy unknown",
        "injector-fails-open",
        ["I?", "I?", "I?", "I?"],
        |world, _| {
            world.plane["webhooks"] = json!([]);
        },
    ),
    (
        "no webhook",
        "injector-not-ready",
        ["W", "W", "E", "W"],
        |world, _| {
            world.plane["webhooks"] = json!([]);
            world.plane["facts"]["injector_registered"] = json!(false);
        },
    ),
    (
        "injects unknown",
        "injector-not-ready",
        ["W?", "W?", "E?", "W?"],
        |world, _| {
            world.plane.as_object_mut().unwrap().remove("injects");
        },
    ),
    (
        "an old injector",
        "injector-not-ready",
        ["W", "W", "E", "W"],
        |world, _| {
            world.plane["components"][1]["version"] = json!("stable-2.12.6");
        },
    ),
    (
        "viz behind",
        "extension-behind",
        ["W", "W", "W", "W"],
        |world, base| {
            extension(world, "viz", Some(of_minor(base - 1)));
        },
    ),
    (
        "viz of no version",
        "extension-behind",
        ["I?", "I?", "I?", "I?"],
        |world, _| {
            extension(world, "viz", None);
        },
    ),
    (
        "cni behind",
        "cni-behind",
        ["W", "W", "W", "W"],
        |world, base| {
            extension(world, "cni", Some(of_minor(base - 1)));
        },
    ),
    (
        "narrowed",
        "survey-partial",
        ["E", "E", "I", "E"],
        |world, _| {
            world.stream["scope"] = json!({"namespaces": ["shop"]});
        },
    ),
    (
        "asked for in vain",
        "asks-but-skipped",
        ["I", "I", "I", "W"],
        |world, _| {
            let workloads = json!(["shop/DaemonSet/agent"]);
            let fact = json!({"count": 1, "workloads": workloads});
            world.plane["facts"]["asks_but_skipped"] = fact;
        },
    ),
    (
        "cached",
        "survey-cached",
        ["W", "I", "W", "E"],
        |world, _| {
            world.stream["consistency"] = json!("cached");
        },
    ),
    (
        "not allowed to look",
        "survey-partial",
        ["E", "E", "I", "E"],
        |world, _| {
            world
                .others
                .push(json!({"type": "unseen", "cluster": "eu", "verb": "list",
                "resource": "pods", "needed": "required", "reason": "forbidden", "rule": "x"}));
        },
    ),
    (
        "pieces",
        "control-plane-not-at-target",
        ["-", "-", "-", "E"],
        |world, _| {
            world.plane["components"][1]["proxies"][0]["version"] = json!("stable-2.12.6");
        },
    ),
    (
        "settling",
        "control-plane-not-at-target",
        ["-", "-", "-", "E"],
        |world, _| {
            world.plane["state"] = json!("rolling");
        },
    ),
    (
        "injects nothing",
        "control-plane-not-at-target",
        ["-", "-", "-", "E"],
        |world, _| {
            world.plane["webhooks"] = json!([]);
            world.plane["facts"]["injector_registered"] = json!(false);
        },
    ),
    (
        "injects",
        "control-plane-not-at-target",
        ["-", "-", "-", "E?"],
        |world, _| {
            world.plane.as_object_mut().unwrap().remove("injects");
        },
    ),
    (
        "Kubernetes",
        "kubernetes-too-old",
        ["E", "-", "-", "-"],
        |world, _| {
            world.plane["kubernetes"] = json!("v1.20.15-eks-1");
        },
    ),
    (
        "Kubernetes",
        "kubernetes-too-old",
        ["E?", "-", "-", "-"],
        |world, _| {
            world.plane.as_object_mut().unwrap().remove("kubernetes");
        },
    ),
    (
        "Kubernetes",
        "kubernetes-untested",
        ["W", "-", "-", "-"],
        |world, _| {
            world.plane["kubernetes"] = json!("v1.29.0");
        },
    ),
];

#[test]
fn each_rule_has_the_severity_of_the_table_for_each_question() {
    for (name, rule, expected, bend) in FAULTS {
        for ((ask, args, base, at), expected) in QUESTIONS.iter().zip(expected) {
            let world = World::at(at).with(|world| bend(world, *base));
            let judged = judge(args, &world.survey());
            assert!(
                judged.exit.is_ok(),
                "{name}, {rule}, {ask}: {:?}",
                judged.exit
            );
            assert_eq!(
                judged.grade(rule),
                *expected,
                "{name}, {rule}, {ask}: {}",
                judged.text
            );
            let no = expected.starts_with('E');
            let blocking = judged.verdict()["blocking"].as_array().unwrap();
            assert_eq!(blocking.contains(&json!(rule)), no, "{name}, {rule}, {ask}");
        }
    }
}

#[test]
fn a_healthy_mesh_passes_every_question_without_warnings() {
    for (ask, args, _, at) in QUESTIONS {
        let judged = judge(args, &World::at(at).survey());
        assert_eq!(
            judged.exit,
            Ok(mesh_cli::Exit::Yes),
            "{ask}: {}",
            judged.text
        );
        assert_eq!(judged.verdict()["ask"], ask);
        for finding in judged.of_type("finding") {
            assert_eq!(finding["severity"], "info", "{ask}: {finding}");
        }
    }
}

#[test]
fn target_rules_depend_on_the_running_version() {
    for (running, target, rule, grade) in [
        ("stable-2.12.6", TARGET, "hop-skips-minor", "E"),
        ("stable-2.14.10", "edge-24.2.4", "hop-skips-minor", "-"),
        ("stable-2.14.10", "edge-24.8.2", "hop-skips-minor", "E"),
        ("dev-undefined", TARGET, "hop-skips-minor", "E?"),
        ("stable-2.14.10", "stable-2.13.7", "downgrade", "E"),
        ("stable-2.14.10", "stable-2.14.9", "downgrade", "E"),
        ("edge-25.5.1", "edge-25.4.4", "downgrade", "E"),
        ("stable-2.13.7", "stable-2.14.11", "target-unknown", "E"),
        ("stable-2.14.10", "stable-2.15.0", "target-unknown", "E"),
        ("edge-26.6.3", "edge-99.1.1", "newer-than-known", "E"),
        ("edge-26.6.3", "edge-99.1.1", "target-unknown", "-"),
        (
            "stable-2.13.7",
            "stable-2.14.9",
            "target-not-latest-patch",
            "W",
        ),
        ("stable-2.13.7", TARGET, "target-not-latest-patch", "-"),
        (
            "stable-2.11.5",
            "stable-2.12.0-rc2",
            "target-prerelease",
            "W",
        ),
        (
            "stable-2.13.7",
            "stable-2.14.10-acme",
            "target-prerelease",
            "W",
        ),
        ("edge-25.4.4", "edge-25.7.1", "edge-not-recommended", "W"),
        ("stable-2.11.5", "stable-2.12.6", "helm-chart-split", "E"),
        ("stable-2.12.6", "stable-2.13.7", "helm-chart-split", "-"),
    ] {
        let judged = judge(&["--to", target], &World::at(running).survey());
        assert_eq!(
            judged.grade(rule),
            grade,
            "{running} to {target}: {}",
            judged.text
        );
    }
}

#[test]
fn an_upgrade_that_lets_helm_delete_the_gateway_api_is_blocked() {
    let crds = |keep: bool, owned: bool| {
        let mut fact = json!({"name": "httproutes.gateway.networking.k8s.io", "keep": keep});
        if owned {
            fact["release"] = json!("linkerd-crds");
        }
        json!({"gateway_api_crds": [fact]})
    };
    for (running, target, facts, grade) in [
        ("edge-25.4.4", "edge-25.10.7", crds(false, true), "E"),
        ("edge-25.4.4", "edge-25.9.4", crds(false, true), "E"),
        ("edge-25.4.4", "edge-25.10.7", crds(true, true), "-"),
        ("edge-25.4.4", "edge-25.10.7", crds(false, false), "-"),
        (
            "edge-25.4.4",
            "edge-25.10.7",
            json!({"gateway_api_crds": []}),
            "-",
        ),
        ("edge-25.4.4", "edge-25.10.7", json!({}), "E?"),
        ("edge-25.4.4", "edge-25.5.1", crds(false, true), "-"),
        ("stable-2.13.7", TARGET, json!({}), "-"),
    ] {
        let mut world = World::at(running);
        world.plane["facts"] = facts.clone();
        let judged = judge(&["--to", target], &world.survey());
        let seen = judged.grade("gateway-api-unprotected");
        assert_eq!(
            seen, grade,
            "{running} to {target} with {facts}: {}",
            judged.text
        );
    }
}

#[test]
fn proxy_ahead_does_not_block_the_upgrade_that_fixes_it() {
    let world = World::at("stable-2.13.7").with(|world| proxy(world, TARGET));
    assert_eq!(
        judge(&["--to", TARGET], &world.survey()).grade("proxy-ahead"),
        "-"
    );
    assert_eq!(judge(&[], &world.survey()).grade("proxy-ahead"), "E");
}

#[test]
fn proxy_ahead_by_a_patch_passes_drift_but_not_done() {
    let world = World::at("stable-2.14.5").with(|world| proxy(world, TARGET));
    assert_eq!(judge(&[], &world.survey()).grade("proxy-ahead"), "I");
    let done = judge(&["--ask", "done", "--to", "stable-2.14.5"], &world.survey());
    assert_eq!(done.grade("proxy-ahead"), "E");
}

#[test]
fn an_upgrade_without_the_written_configuration_may_be_resumed() {
    let half = World::at("stable-2.13.7").with(|world| {
        world.plane["components"][0]["version"] = json!(TARGET);
    });
    let resume = judge(&["--to", TARGET], &half.survey());
    assert_eq!(resume.grade("upgrade-in-progress"), "W", "{}", resume.text);
    assert!(
        resume.exit == Ok(mesh_cli::Exit::Yes)
            && resume.text.contains("run the same upgrade again")
    );
    let other = judge(&["--to", "stable-2.14.9"], &half.survey());
    assert_eq!(other.grade("upgrade-in-progress"), "E");
    let first = format!("finish that upgrade first: --to {TARGET}");
    assert!(other.text.contains(&first), "{}", other.text);
}

#[test]
fn a_half_done_upgrade_may_be_resumed_only_to_its_own_target() {
    let half = World::at(TARGET).with(|world| {
        world.plane["components"][0]["version"] = json!("stable-2.13.7");
        world.plane["state"] = json!("rolling");
    });
    let resume = judge(&["--to", TARGET], &half.survey());
    assert_eq!(resume.grade("upgrade-in-progress"), "W", "{}", resume.text);
    assert!(
        resume.exit == Ok(mesh_cli::Exit::Yes)
            && resume.text.contains("run the same upgrade again")
    );
    let next = resume.verdict()["next"].clone();
    let next = next.as_str().unwrap();
    assert!(next.contains("| mesh-cp-upgrade"), "{next}");
    assert_eq!(
        judge(&["--to", "edge-24.2.4"], &half.survey()).grade("upgrade-in-progress"),
        "E"
    );
    let skipping = judge(&["--to", "edge-24.2.4"], &half.survey());
    assert_eq!(
        skipping.grade("hop-skips-minor"),
        "E",
        "a component is two 2.x away"
    );
    assert_eq!(
        judge(&["--ask", "done", "--to", TARGET], &half.survey()).exit,
        Ok(mesh_cli::Exit::No)
    );
}

#[test]
fn ask_done_only_warns_of_what_ends_and_of_bare_pods() {
    let done = &["--ask", "done", "--to", TARGET];
    let behind = |roll: &Value| {
        World::at(TARGET).with(|world| {
            proxy(world, "stable-2.13.7");
            world.workloads[0]["roll"] = roll.clone();
        })
    };
    let pinned = behind(&json!({"by": "restart"})).with(|world| {
        world.workloads[0]["pins"] = json!([{"where": "template", "version": "stable-2.13.7"}]);
    });
    let text = judge(done, &pinned.survey()).text;
    let unpin = "or the pod template, then: mesh-survey | mesh-skewcheck --ask roll | mesh-roll";
    assert!(text.contains(unpin), "{text}");
    let none = json!({"by": "none", "reason": "foreign-owner"});
    let bare = json!({"by": "none", "reason": "gone"});
    for (by, grade) in [
        (json!({"by": "restart"}), "E"),
        (json!({"by": "evict"}), "E"),
        (json!({"by": "itself"}), "W"),
        (none, "E"),
        (bare, "W"),
    ] {
        let judged = judge(done, &behind(&by).survey());
        assert_eq!(judged.grade("proxy-behind"), grade, "{by}");
        let findings = judged.of_type("finding");
        let mut findings = findings.iter().filter(|it| it["id"] == "proxy-behind");
        let hint = &findings.next().unwrap()["hint"];
        let rolls = *hint == "mesh-survey | mesh-skewcheck --ask roll | mesh-roll";
        let is_rollable = by == json!({"by": "restart"}) || by == json!({"by": "evict"});
        assert_eq!(rolls, is_rollable, "{by}: {hint}");
    }
}

#[test]
fn job_holds_back_blocks_unless_jobs_ignore() {
    let world = World::at("stable-2.13.7").with(|world| job(world, "stable-2.11.5"));
    let held = judge(&["--to", TARGET], &world.survey());
    assert_eq!(held.exit, Ok(mesh_cli::Exit::No));
    let ignored = judge(&["--to", TARGET, "--jobs", "ignore"], &world.survey());
    assert_eq!(ignored.exit, Ok(mesh_cli::Exit::Yes), "{}", ignored.text);
    assert_eq!(ignored.grade("job-holds-back"), "W");
    assert_eq!(ignored.verdict()["thresholds"], json!({"jobs": "ignore"}));
}

#[test]
fn ack_is_shown_in_the_verdict_and_an_unused_ack_is_reported() {
    let args = ["--to", "edge-99.1.1", "--ack", "newer-than-known"];
    let world = World::at("edge-26.6.3").with(|world| {
        world.plane["kubernetes"] = json!("v1.33.1");
    });
    assert_eq!(
        judge(&args[..2], &world.survey()).exit,
        Ok(mesh_cli::Exit::No)
    );
    let acknowledged = judge(&args, &world.survey());
    assert_eq!(
        acknowledged.exit,
        Ok(mesh_cli::Exit::Yes),
        "{}",
        acknowledged.text
    );
    assert_eq!(
        acknowledged.verdict()["waived"],
        json!(["newer-than-known"])
    );
    let idle = judge(&["--ack", "newer-than-known"], &world.survey());
    assert_eq!(idle.grade("waiver-unused"), "W");
}

/// Rules that depend on more than one fault, and have tests of their own.
const APART: [&str; 10] = [
    "hop-skips-minor",
    "downgrade",
    "target-unknown",
    "target-not-latest-patch",
    "target-prerelease",
    "crd-stored-version",
    "gateway-api-unprotected",
    "helm-chart-split",
    "waiver-unused",
    "waiver-expired",
];

#[test]
fn each_rule_has_a_fault_that_breaks_it_and_one_that_leaves_it_undecided() {
    for rule in Rule::ALL {
        let id = rule.as_str();
        if APART.contains(&id) || *rule == Rule::FleetMixed {
            continue;
        }
        let grades = FAULTS.iter().filter(|(_, of, ..)| *of == id);
        let grades: Vec<&str> = grades.flat_map(|(_, _, grades, _)| *grades).collect();
        let is_hit = |it: &&str| ["E", "W", "I"].contains(it);
        assert!(
            grades.iter().any(is_hit),
            "{id} has no fault that breaks it"
        );
        let asks = [Ask::Upgrade, Ask::Drift, Ask::Roll, Ask::Done];
        let blind = |ask| severity(*rule, ask, Decided::CannotTell, Weight::Full);
        let may_be_blind = asks.into_iter().any(|ask| blind(ask).is_some());
        let is_blind = grades.iter().any(|it| it.ends_with('?'));
        assert_eq!(is_blind, may_be_blind, "{id} and \"cannot tell\"");
    }
}
