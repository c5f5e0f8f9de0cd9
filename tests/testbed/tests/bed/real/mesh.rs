use std::process::Command;

use mesh_testbed::Bed;

use crate::real::{await_pod, is_ready, pod, proxy};

const OLD: &str = "stable-2.13.7";
const NEW: &str = "stable-2.14.10";
const OLD_PROXY: &str = "cr.l5d.io/linkerd/proxy:stable-2.13.7";
const NEW_PROXY: &str = "cr.l5d.io/linkerd/proxy:stable-2.14.10";

fn meshed_bed() -> Option<Bed> {
    let bed = Bed::for_test()?;
    bed.install_linkerd(OLD).unwrap();
    bed.namespace("shop", &[("linkerd.io/inject", "enabled")])
        .unwrap();
    Some(bed)
}

#[track_caller]
fn new_proxy(bed: &Bed, app: &str) -> Option<String> {
    bed.apply(&pod("shop", app, &[], &[])).unwrap();
    proxy(&await_pod(bed, "shop", app, is_ready)).map(str::to_owned)
}

#[test]
fn an_injector_that_is_closed_lets_pods_come_up_without_a_proxy() {
    let Some(bed) = meshed_bed() else { return };
    assert_eq!(new_proxy(&bed, "before").as_deref(), Some(OLD_PROXY));
    bed.injector().close();
    assert_eq!(new_proxy(&bed, "closed"), None);
    bed.injector().open();
    assert_eq!(new_proxy(&bed, "after").as_deref(), Some(OLD_PROXY));
}

#[test]
fn an_upgrade_rolls_the_components_and_then_injects_the_new_proxy() {
    let Some(bed) = meshed_bed() else { return };
    bed.injector().freeze_config();
    bed.upgrade_linkerd(NEW).unwrap();
    assert_eq!(new_proxy(&bed, "frozen").as_deref(), Some(OLD_PROXY));
    bed.injector().thaw_config();
    assert_eq!(new_proxy(&bed, "app").as_deref(), Some(NEW_PROXY));
    for component in ["identity", "destination", "proxy-injector"] {
        let deployment = format!("deployment/linkerd-{component}");
        let path = "jsonpath={.spec.template.spec.containers[*].image}";
        let images = bed
            .kubectl(["get", &deployment, "-n", "linkerd", "-o", path])
            .unwrap();
        assert!(
            images.contains(NEW_PROXY) && !images.contains(OLD),
            "{component}: {images}"
        );
    }
}

#[test]
fn helm_4_upgrades_what_helm_3_installed() {
    let Some(bed) = meshed_bed() else { return };
    let charts = bed.charts(NEW).unwrap();
    let mut helm: Command = bed.tool(&bed.assets().helm4);
    helm.args([
        "upgrade",
        "linkerd-control-plane",
        "-n",
        "linkerd",
        "--reset-values",
    ]);
    let output = helm
        .arg(&charts.control_plane)
        .arg("-f")
        .arg(&charts.values)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    bed.await_linkerd(NEW).unwrap();
}

#[test]
fn a_chart_value_makes_a_component_fail() {
    let Some(bed) = meshed_bed() else { return };
    let charts = bed.charts(NEW).unwrap();
    let (chart, values) = (
        charts.control_plane.to_str().unwrap(),
        charts.values.to_str().unwrap(),
    );
    let fails = "sim.behaviour.destination=crash-loop";
    bed.run_helm([
        "upgrade",
        "linkerd-control-plane",
        chart,
        "-n",
        "linkerd",
        "-f",
        values,
        "--set",
        fails,
    ])
    .unwrap();
    let pods = kube::Api::<k8s_openapi::api::core::v1::Pod>::namespaced(bed.client(), "linkerd");
    let selector = "linkerd.io/control-plane-component=destination";
    let crashes = |pod: &k8s_openapi::api::core::v1::Pod| {
        let statuses = pod
            .status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten());
        statuses.into_iter().any(|status| status.restart_count > 1)
    };
    bed.until(pods, selector, "a crashing pod", |pods| {
        pods.values().any(crashes)
    })
    .unwrap();
    assert_eq!(new_proxy(&bed, "meanwhile").as_deref(), Some(NEW_PROXY));
}

#[test]
fn the_shop_opens_meshed() {
    let Some(bed) = meshed_bed() else { return };
    let shop = bed.shop().unwrap();
    assert_eq!((shop.workloads.len(), shop.namespaces.len()), (30, 6));
}

#[test]
fn charts_refuse_to_render_without_an_identity() {
    let Some(bed) = crate::real::shared() else {
        return;
    };
    let charts = bed.charts(NEW).unwrap();
    let refused = bed
        .run_helm(["template", charts.control_plane.to_str().unwrap()])
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("Please provide the identity trust anchors"),
        "{refused:#}"
    );
}

#[test]
fn the_cli_installs_upgrades_and_prunes_what_is_rendered_no_more() {
    let Some(bed) = Bed::for_test() else { return };
    bed.install_linkerd_by_cli(OLD).unwrap();
    let cli = bed.linkerd_cli(NEW).unwrap();
    let linkerd = |args: &[&str]| {
        let output = bed.tool(&cli).args(args).output().unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(linkerd(&["version", "--short"]), format!("{NEW}\n{OLD}\n"));
    let early = bed.tool(&cli).arg("upgrade").output().unwrap();
    let said = String::from_utf8_lossy(&early.stderr);
    assert!(
        said.contains("Linkerd CRDs must be installed first"),
        "2.14 has definitions that 2.13 has not: {said}"
    );
    bed.apply(&linkerd(&["upgrade", "--crds"])).unwrap();
    bed.apply(&linkerd(&["upgrade"])).unwrap();
    bed.await_linkerd(NEW).unwrap();
    assert_eq!(linkerd(&["prune"]), "");
    let labels = "linkerd.io/control-plane-ns=linkerd";
    bed.kubectl(["create", "configmap", "left-over", "-n", "linkerd"])
        .unwrap();
    bed.kubectl(["label", "configmap", "left-over", "-n", "linkerd", labels])
        .unwrap();
    let orphan = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: left-over\n  namespace: linkerd\n";
    assert_eq!(linkerd(&["prune"]), orphan);
}

#[test]
fn the_cli_refuses_to_upgrade_what_helm_installed() {
    let Some(bed) = meshed_bed() else { return };
    bed.apply_definitions(NEW).unwrap();
    let output = bed
        .tool(&bed.linkerd_cli(NEW).unwrap())
        .arg("upgrade")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("Could not find the linkerd-config-overrides secret"),
        "{said}"
    );
}

#[test]
fn validators_answer_while_the_destination_component_is_ready() {
    let Some(bed) = meshed_bed() else { return };
    let secret = "/api/v1/namespaces/linkerd/secrets/linkerd-sp-validator-k8s-tls";
    let certificate = bed.get(secret).unwrap()["data"]["tls.crt"].clone();
    let name = "linkerd-sp-validator";
    let service = serde_json::json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "linkerd" },
        "spec": {
            "selector": { "linkerd.io/control-plane-component": "destination" },
            "ports": [{ "port": 443, "targetPort": 8443 }],
        },
    });
    let webhook = serde_json::json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "linkerd-sp-validator-webhook-config" },
        "webhooks": [{
            "name": "linkerd-sp-validator.linkerd.io", "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "service": { "name": name, "namespace": "linkerd", "path": "/" },
                "caBundle": certificate,
            },
            "rules": [{
                "operations": ["CREATE", "UPDATE"], "apiGroups": ["linkerd.io"],
                "apiVersions": ["v1alpha2"], "resources": ["serviceprofiles"],
            }],
        }],
    });
    bed.apply(&service.to_string()).unwrap();
    bed.apply(&webhook.to_string()).unwrap();
    let profile = |name: &str| {
        let metadata = serde_json::json!({ "name": name, "namespace": "shop" });
        let kind = "ServiceProfile";
        serde_json::json!({ "apiVersion": "linkerd.io/v1alpha2", "kind": kind, "metadata": metadata })
            .to_string()
    };
    let accepted = (0..100).any(|_| bed.apply(&profile("web")).is_ok());
    assert!(accepted, "{:?}", bed.apply(&profile("web")));
    let deployment = "/apis/apps/v1/namespaces/linkerd/deployments/linkerd-destination";
    let none = serde_json::json!({ "spec": { "replicas": 0 } });
    bed.merge(deployment, &none).unwrap();
    let refused = (0..100).find_map(|number| bed.apply(&profile(&format!("p{number}"))).err());
    let refused = format!("{:#}", refused.unwrap());
    assert!(refused.contains("failed calling webhook"), "{refused}");
}
