//! Tests requests and the handling of answers against canned answers.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use flate2::{Compression, write::GzEncoder};
use futures::StreamExt as _;
use http::{Request, Response};
use http_body_util::{BodyStream, Either, Empty, Full, StreamBody};
use kube::client::Body;

use crate::object::{ConfigMap, Object as _, Pod};
use crate::wire::connect::{Cluster, ClusterArgs};
use crate::{Change, Options, Page, Reading, Selection, Target, Why};

/// In place of a status: the connection breaks before the head of the answer.
const BROKEN: u16 = 0;
/// In place of a status: no answer comes.
const SILENT: u16 = 1;
/// In place of a status: the answer begins, and ends without a word after 50 seconds.
const IDLE: u16 = 2;

/// Canned answers in order, and the requests that were made.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn of(answers: &[(u16, &str)]) -> Self {
        let script = Self::default();
        let answers = answers
            .iter()
            .map(|(code, body)| (*code, (*body).to_owned()));
        script.answers.lock().unwrap().extend(answers);
        script
    }

    fn cluster(&self) -> Cluster {
        let script = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let script = script.clone();
            let asked = format!("{} {}", request.method(), request.uri());
            async move {
                let (code, said) = script.answer(asked).await?;
                let body = match code {
                    IDLE => {
                        let end =
                            futures::stream::once(tokio::time::sleep(Duration::from_secs(50)));
                        let nothing = end.flat_map(|()| BodyStream::new(Empty::new()));
                        Either::Right(StreamBody::new(nothing))
                    }
                    _ => Either::Left(Full::from(said.into_bytes())),
                };
                let answer = Response::builder()
                    .status(if code == IDLE { 200 } else { code })
                    .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
                    .body(body);
                Ok::<_, std::io::Error>(answer.unwrap())
            }
        });
        Cluster::over(
            kube::Client::new(service, "default"),
            Duration::from_secs(30),
        )
    }

    async fn answer(&self, asked: String) -> Result<(u16, String), std::io::Error> {
        self.asked.lock().unwrap().push(asked);
        let answer = self.answers.lock().unwrap().pop_front();
        let Some((code, body)) = answer else {
            return std::future::pending().await;
        };
        if code == BROKEN {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        if code == SILENT {
            return std::future::pending().await;
        }
        Ok((code, body))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn page(names: &[&str], token: &str) -> String {
    let items: Vec<String> = names
        .iter()
        .map(|name| format!(r#"{{"metadata":{{"name":"{name}"}}}}"#))
        .collect();
    let (items, version) = (items.join(","), if token.is_empty() { "9" } else { "" });
    format!(
        r#"{{"kind":"PodList","metadata":{{"resourceVersion":"{version}","continue":"{token}"}},"items":[{items}]}}"#
    )
}

#[tokio::test]
async fn a_list_goes_page_by_page_to_its_end() {
    let (one, two) = (page(&["a", "b"], "t/1"), page(&["c"], ""));
    let script = Script::of(&[(200, &one), (200, &two)]);
    let cluster = script.cluster();
    let selection = Selection {
        namespace: Some("shop"),
        labels: Some("a=b"),
    };
    let pods = cluster.pages::<Pod>(selection).all().await.unwrap();
    assert_eq!(
        pods.iter()
            .map(|pod| pod.meta.name.as_str())
            .collect::<String>(),
        "abc"
    );
    let first = "GET /api/v1/namespaces/shop/pods?limit=500&labelSelector=a%3Db";
    assert_eq!(
        script.asked(),
        [first.to_owned(), format!("{first}&continue=t%2F1")]
    );
}

#[tokio::test]
async fn a_list_without_an_end_is_an_error() {
    // the pages, each as its names and its token
    let table: [&[(&[&str], &str)]; 3] = [
        &[(&["a"], "t"), (&["a"], "t")],
        &[(&["a"], "t"), (&["b"], "u"), (&["a"], "t"), (&["b"], "u")],
        &[(&[], "t"), (&[], "u"), (&[], "v")],
    ];
    for pages in table {
        let pages = pages.iter().map(|(names, token)| page(names, token));
        let pages: Vec<String> = pages.collect();
        let answers: Vec<_> = pages.iter().map(|page| (200, page.as_str())).collect();
        let cluster = Script::of(&answers).cluster();
        let all = cluster.pages::<Pod>(Selection::default()).all().await;
        let error = all.unwrap_err();
        assert_eq!(error.why(), Why::Malformed);
        let error = format!("{:#}", anyhow::Error::new(error));
        assert!(error.contains("no end"), "{error}");
    }
}

#[tokio::test]
async fn an_expired_list_begins_again_and_forgets() {
    let (one, two) = (page(&["a"], "t"), page(&["b"], ""));
    let script = Script::of(&[(200, &one), (410, "{}"), (200, &two)]);
    let cluster = script.cluster();
    let mut pages = cluster.pages::<Pod>(Selection::default());
    assert!(matches!(
        pages.next_page().await.unwrap(),
        Some(Page::Items(_))
    ));
    assert!(matches!(
        pages.next_page().await.unwrap(),
        Some(Page::Restarted)
    ));
    assert_eq!(pages.resource_version(), None);
    assert!(matches!(
        pages.next_page().await.unwrap(),
        Some(Page::Items(_))
    ));
    assert!(pages.next_page().await.unwrap().is_none());
    assert_eq!(pages.resource_version(), Some("9"));
}

#[tokio::test]
async fn a_list_that_expires_again_and_again_is_an_error() {
    let one = page(&["a"], "t");
    let answers: Vec<(u16, &str)> = [(200, one.as_str()), (410, "{}")]
        .into_iter()
        .cycle()
        .take(20)
        .collect();
    let cluster = Script::of(&answers).cluster();
    let error = cluster
        .pages::<Pod>(Selection::default())
        .all()
        .await
        .unwrap_err();
    assert_eq!(error.why(), Why::Gone);
}

#[tokio::test]
async fn each_status_has_its_why_and_a_forbidden_request_names_its_rule() {
    let table = [
        (401, Why::Unauthorized),
        (403, Why::Forbidden),
        (404, Why::NotFound),
        (409, Why::Conflict),
        (410, Why::Gone),
        (422, Why::Refused),
        (429, Why::Busy),
        (500, Why::Broken),
        (503, Why::Busy),
    ];
    for (code, why) in table {
        let cluster = Script::of(&[(code, r#"{"message":"because"}"#)]).cluster();
        let error = cluster
            .get::<ConfigMap>(Some("linkerd"), "linkerd-config")
            .await
            .unwrap_err();
        assert_eq!(
            (error.why(), error.reason().as_str()),
            (why, "because"),
            "{code}"
        );
        let rule =
            "apiGroups: [\"\"], resources: [\"configmaps\"], verbs: [get] in namespace linkerd";
        assert_eq!(error.rule(), (code == 403).then_some(rule), "{code}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_or_of_another_shape_is_never_a_list() {
    for body in [
        "",
        "{",
        r#"{"items":[]}"#,
        r#"{"metadata":{},"items":[]}"#,
        r#"{"kind":"PodList","metadata":{}}"#,
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","code":500}"#,
        r#"{"kind":"NodeList","metadata":{},"items":[]}"#,
        r#"{"metadata":{},"items":[{"metadata":{"#,
        "<html>",
    ] {
        let cluster = Script::of(&[(200, body)]).cluster();
        let error = cluster
            .pages::<Pod>(Selection::default())
            .all()
            .await
            .unwrap_err();
        assert_eq!(error.why(), Why::Malformed, "{body}");
    }
}

#[tokio::test]
async fn an_answer_of_another_kind_is_never_an_object() {
    let failure =
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"etcd"}"#;
    for body in ["{}", failure, r#"{"kind":"Secret","metadata":{}}"#] {
        let cluster = Script::of(&[(200, body)]).cluster();
        let error = cluster.get::<ConfigMap>(None, "x").await.unwrap_err();
        assert_eq!(error.why(), Why::Malformed, "{body}");
    }
    let cluster = Script::of(&[(200, failure)]).cluster();
    let error = cluster
        .get_path::<serde_json::Value>("reading the version", "/version")
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "etcd");
}

#[tokio::test]
async fn a_group_is_missing_only_if_the_server_says_so() {
    let group = r#"{"kind":"APIGroup","name":"split.smi-spec.io","versions":[]}"#;
    let refusal = |code, reason| {
        format!(r#"{{"kind":"Status","status":"Failure","reason":"{reason}","code":{code}}}"#)
    };
    let (hidden, missing) = (refusal(403, "Forbidden"), refusal(404, "NotFound"));
    for (status, body, expected) in [
        (200, group, true),
        (403, &hidden, true),
        (404, &missing, false),
    ] {
        let cluster = Script::of(&[(status, body)]).cluster();
        assert_eq!(
            cluster.has_group("split.smi-spec.io").await.unwrap(),
            expected,
            "{body}"
        );
    }
    let cluster = Script::of(&[(500, "")]).cluster();
    assert!(cluster.has_group("split.smi-spec.io").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_ends_with_timed_out() {
    let cluster = Script::default().cluster();
    let error = cluster.get::<ConfigMap>(None, "x").await.unwrap_err();
    assert_eq!(error.why(), Why::TimedOut);
}

#[tokio::test]
async fn dry_run_adds_dry_run_all_to_the_query() {
    let script = Script::of(&[(200, r#"{"kind":"Pod"}"#)]);
    let options = Options {
        dry_run: true,
        field_manager: Some("mesh-roll"),
    };
    let target = Target::one(Pod::RESOURCE, Some("shop"), "web");
    let body = serde_json::json!({});
    let cluster = script.cluster();
    cluster
        .patch::<serde_json::Value>(&target, &body, options)
        .await
        .unwrap();
    let expected = "PATCH /api/v1/namespaces/shop/pods/web?dryRun=All&fieldManager=mesh-roll";
    assert_eq!(script.asked(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_where_it_ended_and_lists_again_when_it_expired() {
    let event = r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"12"}}}"#;
    let expired = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"old"}}"#;
    let list = page(&["a"], "");
    let script = Script::of(&[(200, &list), (200, event), (200, expired), (200, &list)]);
    let cluster = script.cluster();
    let mut watch = cluster.watch::<Pod>(Selection::default());
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(match watch.next_change().await.unwrap() {
            Change::Began => "began".to_owned(),
            Change::Seen(pod) => format!("seen {}", pod.meta.name),
            Change::Listed { resource_version } => format!("listed {resource_version}"),
            Change::Applied(pod) => format!("applied {}", pod.meta.resource_version),
            Change::Deleted(pod) => format!("deleted {}", pod.meta.name),
        });
    }
    let list = ["began", "seen a", "listed 9"];
    assert_eq!(seen, [&list[..], &["applied 12"], &list[..]].concat());
    let versions: Vec<bool> = script
        .asked()
        .iter()
        .map(|uri| uri.contains("resourceVersion=12"))
        .collect();
    assert_eq!(versions, [false, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_nobody_answers_any_more_is_an_error() {
    let list = page(&[], "");
    let cluster = Script::of(&[(200, &list)]).cluster();
    let mut watch = cluster.watch::<Pod>(Selection::default());
    let mut last = Ok(Change::Began);
    while last.is_ok() {
        last = watch.next_change().await;
    }
    assert_eq!(last.unwrap_err().why(), Why::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_that_a_gateway_ends_again_and_again_goes_on() {
    let (list, event) = (
        page(&[], ""),
        r#"{"type":"ADDED","object":{"metadata":{"name":"a"}}}"#,
    );
    let script = Script::of(&[
        (200, &list),
        (IDLE, ""),
        (IDLE, ""),
        (IDLE, ""),
        (200, event),
    ]);
    let cluster = script.cluster();
    let mut watch = cluster.watch::<Pod>(Selection::default());
    let mut last = watch.next_change().await.unwrap();
    while !matches!(last, Change::Applied(_)) {
        last = watch.next_change().await.unwrap();
    }
    assert_eq!(script.asked().len(), 5);
}

#[tokio::test]
async fn now_follows_the_servers_date() {
    let script = Script::of(&[(200, r#"{"kind":"Namespace","metadata":{"uid":"u"}}"#)]);
    let cluster = script.cluster();
    assert_eq!(cluster.now(), None);
    assert_eq!(cluster.uid().await.unwrap(), "u");
    assert!(
        cluster
            .now()
            .unwrap()
            .to_string()
            .starts_with("1994-11-06T08:49:37")
    );
}

#[tokio::test]
async fn a_broken_api_service_of_another_group_is_never_asked() {
    let apps = r#"{"kind":"APIResourceList","groupVersion":"apps/v1","resources":[
        {"name":"deployments","kind":"Deployment","namespaced":true},
        {"name":"deployments/status","kind":"Deployment","namespaced":true}]}"#;
    let broken = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","code":503,"message":"service unavailable"}"#;
    let script = Script::of(&[(200, apps), (503, broken)]);
    let cluster = script.cluster();
    let mut kinds = crate::Kinds::default();
    for _ in 0..2 {
        let kind = cluster.kind(&mut kinds, "apps/v1", "Deployment").await;
        assert!(kind.unwrap().is_some());
    }
    assert_eq!(script.asked(), ["GET /apis/apps/v1"]);
    let metrics = cluster.kind(&mut kinds, "metrics.k8s.io/v1", "PodMetrics");
    assert_eq!(metrics.await.unwrap_err().why(), Why::Busy);
    let kind = cluster.kind(&mut kinds, "apps/v1", "ReplicaSet").await;
    assert!(kind.unwrap().is_none());
}

#[tokio::test]
async fn an_answer_over_its_cap_is_an_error_that_names_the_request_and_the_cap() {
    let huge = " ".repeat((8 << 20) + 1);
    let cluster = Script::of(&[(200, &huge)]).cluster();
    let error = cluster.get::<ConfigMap>(None, "x").await.unwrap_err();
    assert_eq!(error.why(), Why::Malformed);
    assert_eq!(error.what(), "reading configmaps x");
    assert_eq!(error.reason(), "the answer is larger than 8 MiB");
}

// A server that answers every request with a small gzip body that grows to 65 MiB of spaces.
fn bomber() -> std::net::SocketAddr {
    let mut body = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..65 {
        body.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let body = body.finish().unwrap();
    assert!(body.len() < 1 << 20);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = BufReader::new(connection.try_clone().unwrap()).lines();
            while request.next().unwrap().unwrap() != "" {}
            // The client hangs up when it has read enough.
            drop(connection.write_all(&[head.as_bytes(), &body].concat()));
        }
    });
    address
}

#[tokio::test]
async fn a_gzip_bomb_is_refused_with_words() {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ClusterArgs,
    }
    let mut kubeconfig = tempfile::NamedTempFile::new().unwrap();
    let address = bomber();
    write!(
        kubeconfig,
        "{{current-context: c, contexts: [{{name: c, context: {{cluster: c}}}}], \
         clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]}}"
    )
    .unwrap();
    let path = kubeconfig.path().to_str().unwrap();
    let Line { args } = Line::parse_from(["t", "--kubeconfig", path]);
    let cluster = args.open("test").await.unwrap();
    let error = cluster.get::<ConfigMap>(None, "x").await.unwrap_err();
    assert_eq!(error.reason(), "the answer is larger than 8 MiB");
    let pods = cluster.pages::<Pod>(Selection::default()).all().await;
    let error = pods.unwrap_err();
    assert_eq!(error.reason(), "the answer is larger than 64 MiB");
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_again_in_smaller_ones() {
    let (huge, one) = (" ".repeat((64 << 20) + 1), page(&["a"], ""));
    let script = Script::of(&[(200, &huge), (200, &one)]);
    let cluster = script.cluster();
    let pods = cluster.pages::<Pod>(Selection::default()).all().await;
    assert_eq!(pods.unwrap().len(), 1);
    let asked = ["GET /api/v1/pods?limit=500", "GET /api/v1/pods?limit=31"];
    assert_eq!(script.asked(), asked);
    let cluster = Script::of(&[(200, &huge), (200, &huge)]).cluster();
    let pods = cluster.pages::<Pod>(Selection::default()).all().await;
    assert_eq!(
        pods.unwrap_err().reason(),
        "the answer is larger than 64 MiB"
    );
}

#[tokio::test(start_paused = true)]
async fn a_whole_list_that_does_not_arrive_is_asked_for_in_pages() {
    let list = page(&["a"], "");
    let whole = ["GET /api/v1/pods?", "GET /api/v1/pods?resourceVersion=0"];
    let paged = "GET /api/v1/pods?limit=500";
    for (failure, why) in [
        (BROKEN, Why::Unreachable),
        (SILENT, Why::TimedOut),
        (500, Why::Broken),
        (502, Why::Broken),
        (504, Why::Broken),
        (413, Why::Refused),
    ] {
        for (reading, first) in [Reading::Whole, Reading::Cached].into_iter().zip(whole) {
            let script = Script::of(&[(failure, ""), (200, &list)]);
            let cluster = script.cluster();
            let pages = cluster.pages::<Pod>(Selection::default());
            let pods = pages.reading(reading).all().await.unwrap();
            assert_eq!(pods.len(), 1, "{failure}");
            assert_eq!(script.asked(), [first, paged], "{failure}");
        }
        let cluster = Script::of(&[(failure, ""); 3]).cluster();
        let pages = cluster.pages::<Pod>(Selection::default());
        let error = pages.reading(Reading::Whole).all().await.unwrap_err();
        assert_eq!(error.why(), why, "pages fail too");
    }
    // What pages cannot mend is not asked for again.
    for (code, why) in [
        (401, Why::Unauthorized),
        (403, Why::Forbidden),
        (404, Why::NotFound),
        (429, Why::Busy),
        (503, Why::Busy),
    ] {
        let script = Script::of(&[(code, ""), (200, &list)]);
        let cluster = script.cluster();
        let pages = cluster.pages::<Pod>(Selection::default());
        let error = pages.reading(Reading::Whole).all().await.unwrap_err();
        assert_eq!((error.why(), script.asked().len()), (why, 1));
    }
}

#[tokio::test]
async fn a_watch_whose_line_never_ends_is_an_error() {
    let (list, line) = (page(&[], ""), " ".repeat((8 << 20) + 1));
    let cluster = Script::of(&[(200, &list), (200, &line)]).cluster();
    let mut watch = cluster.watch::<Pod>(Selection::default());
    for _ in 0..2 {
        watch.next_change().await.unwrap();
    }
    let error = watch.next_change().await.unwrap_err();
    assert_eq!(
        (error.why(), error.what()),
        (Why::Malformed, "watching pods")
    );
}
