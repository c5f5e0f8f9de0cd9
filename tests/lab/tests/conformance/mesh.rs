use serde_json::{Value, json};

use crate::{Server, core, on_both_alone, text};

on_both_alone!(
    an_upgrade_brings_a_new_proxy_to_new_pods,
    an_injector_that_is_away_injects_nobody,
);

const OLD: &str = "stable-2.13.7";
const NEW: &str = "stable-2.14.10";

fn proxy(pod: &Value) -> Option<&str> {
    let containers = pod["spec"]["containers"].as_array().unwrap().iter();
    let mut proxies = containers.filter(|container| container["name"] == "linkerd-proxy");
    text(proxies.next()?, "/image").rsplit(':').next()
}

fn probe(server: &Server<'_>) -> (u16, Value) {
    server.post(&core("shop", "pods?dryRun=All"), &json!({
        "metadata": { "generateName": "probe-", "annotations": { "linkerd.io/inject": "enabled" } },
        "spec": { "containers": [{ "name": "probe", "image": "registry.test/probe" }] },
    }))
}

fn an_upgrade_brings_a_new_proxy_to_new_pods(server: &Server<'_>) {
    server.bed.install_linkerd(OLD).unwrap();
    server.home("shop");
    let (code, tried) = probe(server);
    assert_eq!((code, proxy(&tried)), (201, Some(OLD)), "{tried}");
    assert!(tried["metadata"]["annotations"]["linkerd.io/trust-root-sha256"].is_string());
    assert!(
        server.names(&core("shop", "pods")).is_empty(),
        "a dry run stores nothing"
    );
    server.bed.upgrade_linkerd(NEW).unwrap();
    assert_eq!(proxy(&probe(server).1), Some(NEW));
    let sees = "/api/v1/namespaces/linkerd/services/https:linkerd-proxy-injector:443/proxy/";
    let (code, body) = server.ask(sees);
    assert!(!matches!(code, 404 | 501 | 503), "{code}: {body}");
}

fn an_injector_that_is_away_injects_nobody(server: &Server<'_>) {
    server.bed.install_linkerd(OLD).unwrap();
    server.home("shop");
    server.bed.injector().close();
    assert_eq!(proxy(&probe(server).1), None, "the webhook fails open");
    let sees = "/api/v1/namespaces/linkerd/services/https:linkerd-proxy-injector:443/proxy/";
    let (code, body) = server.ask(sees);
    assert_eq!((code, text(&body, "/reason")), (503, "ServiceUnavailable"));
    server.bed.injector().open();
    assert_eq!(proxy(&probe(server).1), Some(OLD));
}
