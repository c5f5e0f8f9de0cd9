use std::{
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Stdio},
};

use futures::TryStreamExt as _;
use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Config,
    api::{WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use mesh_testbed::{Bed, FaultProxy, Match, Victim, When};

use crate::shared;

const SIGKILL: i32 = 9;

fn kubectl(bed: &Bed, proxy: &FaultProxy, args: &[&str]) -> Child {
    let mut command = bed.tool(&bed.assets().kubectl);
    command.env("KUBECONFIG", proxy.kubeconfig()).args(args);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn client(bed: &Bed, kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    bed.block_on(async {
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        Client::try_from(config).unwrap()
    })
}

fn exists(bed: &Bed, name: &str) -> bool {
    let maps: Api<ConfigMap> = Api::namespaced(bed.client(), "default");
    bed.block_on(maps.get_opt(name)).unwrap().is_some()
}

#[test]
fn a_client_can_be_killed_on_either_side_of_its_write() {
    let Some(bed) = shared() else { return };
    for (name, when, written) in [
        ("before", When::BeforeForward, false),
        ("after", When::AfterForward, true),
    ] {
        let (proxy, victim) = (bed.proxy().unwrap(), Victim::default());
        proxy.on(Match::writes()).kill(&victim, when);
        let mut child = kubectl(bed, &proxy, &["create", "configmap", name]);
        victim.set(child.id());
        assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL), "{when:?}");
        assert_eq!(exists(bed, name), written, "{when:?}");
        let writes: Vec<_> = proxy
            .log()
            .into_iter()
            .filter(|seen| seen.method == "POST")
            .collect();
        assert_eq!(writes.len(), 1, "{writes:?}");
        assert_eq!(writes[0].status, None, "nobody heard the answer");
    }
}

#[test]
fn a_held_write_is_done_when_it_is_released() {
    let Some(bed) = shared() else { return };
    let proxy = bed.proxy().unwrap();
    let held = proxy
        .on(Match::writes().path("configmaps"))
        .hold(When::BeforeForward);
    let child = kubectl(bed, &proxy, &["create", "configmap", "held"]);
    held.arrived();
    assert!(!exists(bed, "held"));
    held.release();
    assert!(child.wait_with_output().unwrap().status.success());
    assert!(exists(bed, "held"));
}

#[test]
fn only_the_watch_that_was_meant_is_cut() {
    let Some(bed) = shared() else { return };
    bed.namespace("cut", &[]).unwrap();
    let proxy = bed.proxy().unwrap();
    proxy.on(Match::watches("configmaps").nth(1)).cut(10);
    let maps: Api<ConfigMap> = Api::namespaced(client(bed, proxy.kubeconfig()), "cut");
    let first_event = || {
        bed.block_on(async {
            let mut events = std::pin::pin!(maps.watch(&WatchParams::default(), "0").await?);
            events.try_next().await
        })
    };
    let cut = first_event();
    assert!(
        !matches!(cut, Ok(Some(_))),
        "ten bytes are no event: {cut:?}"
    );
    let whole = first_event();
    // Every namespace has the cluster's root certificates.
    assert!(
        matches!(&whole, Ok(Some(WatchEvent::Added(map))) if map.metadata.name.is_some()),
        "{whole:?}"
    );
}

#[test]
fn a_watch_through_the_proxy_is_told_what_happens() {
    let Some(bed) = shared() else { return };
    bed.namespace("streamed", &[]).unwrap();
    let proxy = bed.proxy().unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client(bed, proxy.kubeconfig()), "streamed");
    bed.block_on(async {
        let params = WatchParams::default().fields("metadata.name=late");
        let mut events = std::pin::pin!(maps.watch(&params, "0").await.unwrap());
        let mut late = ConfigMap::default();
        late.metadata.name = Some("late".to_owned());
        maps.create(&kube::api::PostParams::default(), &late)
            .await
            .unwrap();
        while let Some(event) = events.try_next().await.unwrap() {
            if matches!(event, WatchEvent::Added(_)) {
                return;
            }
        }
        panic!("the watch ended without the event");
    });
}

#[test]
fn an_answer_in_the_servers_place_has_its_status() {
    let Some(bed) = shared() else { return };
    let proxy = bed.proxy().unwrap();
    proxy
        .on(Match::any().path("configmaps").nth(1))
        .answer(StatusCode::CONFLICT);
    let maps: Api<ConfigMap> = Api::namespaced(client(bed, proxy.kubeconfig()), "default");
    let refused = bed.block_on(maps.get_opt("kube-root-ca.crt")).unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 409),
        "{refused}"
    );
    assert!(
        bed.block_on(maps.get_opt("kube-root-ca.crt"))
            .unwrap()
            .is_some()
    );
    let statuses: Vec<_> = proxy.log().iter().filter_map(|seen| seen.status).collect();
    assert_eq!(statuses, [StatusCode::CONFLICT, StatusCode::OK]);
}

#[test]
fn a_bearer_token_is_worth_through_the_proxy_what_it_is_worth_without() {
    let Some(bed) = shared() else { return };
    let proxy = bed.proxy().unwrap();
    let token = bed.kubectl(["create", "token", "default"]).unwrap();
    let path = proxy.kubeconfig_with_token("nobody", token.trim()).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client(bed, &path), "default");
    let refused = bed
        .block_on(maps.list(&kube::api::ListParams::default()))
        .unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 403),
        "{refused}"
    );
}
