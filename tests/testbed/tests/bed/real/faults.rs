use std::{
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use futures::TryStreamExt as _;
use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Config,
    api::{WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use mesh_testbed::{Bed, FaultProxy, Match, On, Victim, When};

use crate::real::shared;

const SIGKILL: i32 = 9;
const LATE: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

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
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.unwrap();
        config.default_retry = false;
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
            .filter(|seen| seen.verb == "create")
            .collect();
        assert_eq!(writes.len(), 1, "{writes:?}");
        assert_eq!(writes[0].code, None, "nobody heard the answer");
        let served = proxy
            .served()
            .iter()
            .filter(|seen| seen.verb == "create")
            .count();
        assert_eq!(served, usize::from(written), "{when:?}");
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
    // Every namespace has a ConfigMap with the cluster's root certificates.
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
    let codes: Vec<_> = proxy.log().iter().filter_map(|seen| seen.code).collect();
    assert_eq!(codes, [409, 200]);
    let served: Vec<_> = proxy.served().iter().filter_map(|seen| seen.code).collect();
    assert_eq!(served, [200], "the server knows of one only");
}

#[test]
fn a_bearer_token_has_the_same_rights_through_the_proxy() {
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

/// Fetches a path with a simple HTTP client; returns the code and the body, or `None` for the part
/// that did not arrive.
fn fetch(bed: &Bed, proxy: &FaultProxy, path: &str) -> (Option<u16>, Option<Vec<u8>>) {
    let client = client(bed, proxy.kubeconfig());
    let request = http::Request::get(path).body(kube::client::Body::empty());
    bed.block_on(async {
        let Ok(response) = client.send(request.unwrap()).await else {
            return (None, None);
        };
        let code = response.status().as_u16();
        let body = response.into_body().collect_bytes().await.ok();
        (Some(code), body.map(|body| body.to_vec()))
    })
}

#[test]
fn each_fault_reaches_the_client() {
    let Some(bed) = shared() else { return };
    let path = "/api/v1/namespaces/default";
    let whole = bed.proxy().unwrap();
    let (code, truth) = fetch(bed, &whole, path);
    let truth = String::from_utf8(truth.unwrap()).unwrap();
    assert_eq!(code, Some(200));
    let half = &truth[..truth.len() / 2];
    type Setting = fn(On<'_>);
    let harms: [(Setting, Option<u16>, Option<&str>); 11] = [
        (|on| on.hang_up(When::BeforeForward), None, None),
        (|on| on.hang_up(When::AfterForward), None, None),
        (|on| on.cut(0), Some(200), None),
        (|on| on.cut(10), Some(200), None),
        (|on| on.cut_in_the_middle(), Some(200), None),
        (|on| on.halve(), Some(200), Some(half)),
        (
            |on| on.garble(),
            Some(200),
            Some("<html>it works!</html>\n"),
        ),
        (
            |on| on.answer_with(StatusCode::GONE, "{}"),
            Some(410),
            Some("{}"),
        ),
        (|on| on.busy(Duration::from_secs(7)), Some(429), None),
        (
            |on| on.answer_once(LATE, When::AfterForward),
            Some(500),
            None,
        ),
        (
            |on| on.delay(Duration::from_millis(1)),
            Some(200),
            Some(&truth),
        ),
    ];
    for (number, (set, code, expected)) in harms.into_iter().enumerate() {
        let proxy = bed.proxy().unwrap();
        set(proxy.on(Match::any()));
        let (heard, body) = fetch(bed, &proxy, path);
        assert_eq!(heard, code, "{number}");
        let body = body.map(|body| String::from_utf8(body).unwrap());
        let said_by_the_test = body.as_ref().is_some_and(|it| it.contains("the test says"));
        let body = body.filter(|_| !said_by_the_test);
        assert_eq!(body.as_deref(), expected, "{number}");
        assert_eq!(
            said_by_the_test,
            matches!(code, Some(429 | 500)),
            "{number}"
        );
        assert_eq!((proxy.struck(), proxy.log()[0].code), (1, code), "{number}");
    }
}

#[test]
fn silence_from_here_stops_requests_and_open_watches() {
    let Some(bed) = shared() else { return };
    bed.namespace("hushed", &[]).unwrap();
    let proxy = bed.proxy().unwrap();
    proxy.on(Match::any().path("/version")).silence_from_here();
    let maps: Api<ConfigMap> = Api::namespaced(client(bed, proxy.kubeconfig()), "hushed");
    let silent = Duration::from_millis(300);
    bed.block_on(async {
        let params = WatchParams::default()
            .fields("metadata.name=late")
            .disable_bookmarks();
        let mut events = std::pin::pin!(maps.watch(&params, "0").await.unwrap());
        let client = maps.clone().into_client();
        let asked = tokio::time::timeout(silent, client.apiserver_version()).await;
        assert!(asked.is_err(), "no answer: {asked:?}");
        let mut late = ConfigMap::default();
        late.metadata.name = Some("late".to_owned());
        let direct: Api<ConfigMap> = Api::namespaced(bed.client(), "hushed");
        direct
            .create(&kube::api::PostParams::default(), &late)
            .await
            .unwrap();
        let told = tokio::time::timeout(silent, events.try_next()).await;
        assert!(told.is_err(), "the watch tells nothing: {told:?}");
        let asked = tokio::time::timeout(silent, maps.get("late")).await;
        assert!(asked.is_err(), "nor does any other request: {asked:?}");
    });
}
