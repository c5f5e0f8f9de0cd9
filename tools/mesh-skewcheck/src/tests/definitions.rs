//! Tests what is said of the custom resource definitions, and of the chart that became two.

use serde_json::{Value, json};

use super::world::{World, judge};

const ROUTES: &str = "httproutes.gateway.networking.k8s.io";

/// Makes a cluster with routes of the Gateway API that are stored in these versions.
fn routes(running: &str, stored: &Value, storage: &str, fact: &Value) -> World {
    World::at(running).with(|world| {
        world.plane["crds"][10] = json!({"name": ROUTES, "served": ["v1alpha2", "v1beta1"],
            "storage": storage, "stored": stored});
        world.plane["facts"]["gateway_api_crds"] = json!([fact]);
    })
}

#[test]
fn a_stored_version_that_the_new_definition_drops_blocks() {
    let helm = json!({"name": ROUTES, "keep": true, "release": "linkerd-crds"});
    let cli = json!({"name": ROUTES, "keep": true, "created_by": "linkerd/cli edge-24.11.8"});
    let other = json!({"name": ROUTES, "keep": true});
    let both = json!(["v1alpha2", "v1beta1"]);
    let new = json!(["v1beta1"]);
    let (old, next) = ("edge-24.11.8", "edge-25.4.4");
    for (running, target, stored, fact, grade) in [
        (old, next, &both, &helm, "E"),
        (old, next, &both, &cli, "E"),
        (old, next, &both, &other, "-"),
        (old, next, &new, &helm, "-"),
        ("edge-24.8.2", old, &both, &helm, "-"),
        (next, "edge-25.10.7", &both, &helm, "-"),
    ] {
        let judged = judge(
            &["--to", target],
            &routes(running, stored, "v1beta1", fact).survey(),
        );
        let seen = judged.grade("crd-stored-version");
        assert_eq!(
            seen, grade,
            "{running} to {target}, {stored}, {fact}: {}",
            judged.text
        );
    }
    let blind = World::at(old).with(|world| {
        world.plane["crds"] = json!([]);
        world.plane["facts"] = json!({});
    });
    let blind = judge(&["--to", next], &blind.survey());
    assert_eq!(blind.grade("crd-stored-version"), "E?", "{}", blind.text);
}

#[test]
fn the_way_out_of_a_stored_version_is_a_command() {
    let helm = json!({"name": ROUTES, "keep": true, "release": "linkerd-crds"});
    let both = json!(["v1alpha2", "v1beta1"]);
    let judged = judge(
        &["--to", "edge-25.4.4"],
        &routes("edge-24.11.8", &both, "v1beta1", &helm).survey(),
    );
    let hint = hint(&judged.of_type("finding"), "crd-stored-version");
    assert_eq!(
        hint,
        "store every object anew, then say so: kubectl get httproutes.gateway.networking.k8s.io -A \
         -o json | kubectl replace -f - && kubectl patch crd httproutes.gateway.networking.k8s.io \
         --subresource=status --type=merge -p '{\"status\":{\"storedVersions\":[\"v1beta1\"]}}'"
    );
    let stuck = judge(
        &["--to", "edge-25.4.4"],
        &routes("edge-24.11.8", &both, "v1alpha2", &helm).survey(),
    );
    let hint = self::hint(&stuck.of_type("finding"), "crd-stored-version");
    assert!(
        hint.contains("another version the storage version"),
        "{hint}"
    );
}

#[test]
fn what_is_missing_is_named_with_a_way_for_this_installer() {
    for (installer, args, way) in [
        (
            "helm",
            &["--to", "stable-2.14.10"][..],
            "mesh-cp-upgrade writes them first",
        ),
        (
            "helm",
            &[],
            "upgrade the Helm release of the chart linkerd-crds",
        ),
        ("cli", &[], "linkerd upgrade --crds | kubectl apply -f -"),
        ("gitops", &[], "upgrade them with what installed them"),
    ] {
        let world = World::at("stable-2.13.7").with(|world| {
            world.plane["installed_by"] = json!(installer);
            world.plane["crds"].as_array_mut().unwrap().remove(0);
            world.plane["crds"][5]["served"] = json!(["v1beta1"]);
        });
        let judged = judge(args, &world.survey());
        let findings = judged.of_type("finding");
        let finding = findings
            .iter()
            .find(|it| it["id"] == "crds-behind")
            .unwrap();
        let message = finding["message"].as_str().unwrap();
        assert!(
            message.contains("servers.policy.linkerd.io is missing"),
            "{message}"
        );
        let version = if args.is_empty() {
            "v1beta2"
        } else {
            "v1beta3"
        };
        let lacks = format!("httproutes.policy.linkerd.io does not serve {version}");
        assert!(message.contains(&lacks), "{message}");
        assert_eq!(finding["hint"], way, "{installer}");
    }
}

#[test]
fn the_split_of_the_chart_has_every_command_for_this_cluster() {
    let world = World::at("stable-2.11.5").with(|world| {
        world.stream["flags"] = json!({"context": "eu west"});
        world.plane["release"] = json!({"name": "mesh", "namespace": "ops"});
    });
    let judged = judge(&["--to", "stable-2.12.6"], &world.survey());
    let hint = hint(&judged.of_type("finding"), "helm-chart-split");
    let (helm, kubectl) = ("--kube-context 'eu west'", "kubectl --context 'eu west'");
    let new =
        "meta.helm.sh/release-name=linkerd-control-plane meta.helm.sh/release-namespace=linkerd";
    let crds = "meta.helm.sh/release-name=linkerd-crds meta.helm.sh/release-namespace=linkerd";
    let definitions = "servers.policy.linkerd.io serverauthorizations.policy.linkerd.io \
                       serviceprofiles.linkerd.io";
    let expected = [
        format!("helm get manifest mesh -n ops {helm} | {kubectl} annotate --overwrite -f - {new}"),
        format!("{kubectl} annotate --overwrite crd {definitions} {crds}"),
        format!("helm install linkerd-crds linkerd/linkerd-crds -n linkerd {helm}"),
        format!(
            "helm install linkerd-control-plane linkerd/linkerd-control-plane -n linkerd -f \
             VALUES.yaml {helm}"
        ),
        format!("{kubectl} delete secret -n ops -l owner=helm,name=mesh"),
    ];
    assert_eq!(
        hint,
        format!(
            "move its objects to two releases: {}",
            expected.join(" && ")
        )
    );
}

fn hint(findings: &[&Value], id: &str) -> String {
    let finding = findings.iter().find(|it| it["id"] == id);
    finding.expect(id)["hint"].as_str().unwrap().to_owned()
}
