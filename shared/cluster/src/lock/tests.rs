//! Tests the lock against a fake server with one Lease that compares and swaps like the real one.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lock::lease::LENGTH;
use crate::wire::connect::Cluster;
use crate::{Claim, Grip, Lock, Lost, Taking};

/// What the server does with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mood {
    #[default]
    Answers,
    /// Executes one request and loses the answer.
    LosesOneAnswer,
    /// Never answers.
    Silent,
}

#[derive(Default)]
struct Store {
    lease: Option<Value>,
    version: u64,
    mood: Mood,
    writes: u32,
}

#[derive(Clone, Default)]
struct Server {
    store: Arc<Mutex<Store>>,
    changed: Arc<Notify>,
}

/// The time in the `Date` of an API server, and one of another API server behind the same address.
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const DATE_20_SECONDS_AHEAD: &str = "Sun, 06 Nov 1994 08:49:57 GMT";

impl Server {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    fn cluster(&self) -> Arc<Cluster> {
        self.cluster_at(DATE)
    }

    fn cluster_at(&self, date: &'static str) -> Arc<Cluster> {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                server.answer(&parts.method, &parts.uri, &body, date).await
            }
        });
        let client = kube::Client::new(service, "default");
        Arc::new(Cluster::over(client, Duration::from_secs(30)))
    }

    async fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        body: &[u8],
        date: &str,
    ) -> Result<Response<Body>, std::io::Error> {
        let mood = self.store().mood;
        if mood == Mood::Silent {
            std::future::pending::<()>().await;
        }
        let query = uri.query().unwrap_or_default();
        let (status, body) = match query.split_once("watch=true") {
            Some((_, query)) => (StatusCode::OK, self.next_event(query).await),
            None if uri.path().ends_with("/leases") && *method == Method::GET => {
                (StatusCode::OK, self.store().list())
            }
            None => self.store().act(method, body),
        };
        if *method != Method::GET {
            self.changed.notify_waiters();
        }
        if mood == Mood::LosesOneAnswer {
            self.store().mood = Mood::Answers;
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        let answer = Response::builder()
            .status(status)
            .header("date", date)
            .body(Body::from(format!("{body}\n").into_bytes()));
        Ok(answer.unwrap())
    }

    // Each watch ends after one event; the next watch begins where it ended.
    async fn next_event(&self, query: &str) -> Value {
        let version = query.split_once("resourceVersion=").unwrap().1;
        let version = version.split('&').next().unwrap().to_owned();
        loop {
            let changed = self.changed.notified();
            if let Some(lease) = self.store().changed_since(&version) {
                return json!({ "type": "MODIFIED", "object": lease });
            }
            changed.await;
        }
    }

    fn holder(&self) -> Value {
        self.store().lease.as_ref().unwrap()["spec"]["holderIdentity"].clone()
    }

    fn age(&self, renewed: &str) {
        let mut store = self.store();
        let mut lease = store.lease.clone().unwrap();
        lease["spec"]["renewTime"] = renewed.into();
        store.put(lease);
    }

    fn give_to(&self, holder: &str) {
        let now = "1994-11-06T08:49:37.000000Z";
        let spec =
            json!({ "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": now });
        let mut store = self.store();
        store.put(json!({ "metadata": { "name": "mesh-tools" }, "spec": spec }));
    }
}

impl Store {
    fn act(&mut self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        if *method == Method::GET {
            return match &self.lease {
                Some(lease) => (StatusCode::OK, lease.clone()),
                None => (StatusCode::NOT_FOUND, json!({})),
            };
        }
        let body: Value = serde_json::from_slice(body).unwrap();
        self.writes += 1;
        match (&self.lease, *method == Method::POST) {
            (None, true) => (StatusCode::CREATED, self.put(body)),
            (None, false) => (StatusCode::NOT_FOUND, json!({})),
            (Some(_), true) => (StatusCode::CONFLICT, json!({})),
            (Some(lease), false) => {
                let version = "resourceVersion";
                if lease["metadata"][version] != body["metadata"][version] {
                    return (StatusCode::CONFLICT, json!({}));
                }
                let mut lease = lease.clone();
                merge(&mut lease, &body);
                (StatusCode::OK, self.put(lease))
            }
        }
    }

    fn changed_since(&self, version: &str) -> Option<Value> {
        let has_changed = self.version.to_string() != version;
        self.lease.clone().filter(|_| has_changed)
    }

    fn list(&self) -> Value {
        let items: Vec<&Value> = self.lease.iter().collect();
        let version = self.version.to_string();
        json!({ "kind": "LeaseList", "metadata": { "resourceVersion": version }, "items": items })
    }

    fn put(&mut self, mut lease: Value) -> Value {
        self.version += 1;
        lease["kind"] = "Lease".into();
        lease["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.lease.insert(lease).clone()
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let (Some(fields), Some(into)) = (patch.as_object(), into.as_object_mut()) else {
        into.clone_from(patch);
        return;
    };
    for (key, value) in fields {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key).or_insert(json!({})), value);
        }
    }
}

fn claim() -> Claim {
    Claim {
        by: "me@here".to_owned(),
        run: "1".to_owned(),
        target: "stable-2.14.10".to_owned(),
        longest: Duration::from_secs(3600),
    }
}

fn another_claim() -> Claim {
    Claim {
        run: "2".to_owned(),
        ..claim()
    }
}

async fn try_lock(cluster: &Arc<Cluster>, claim: &Claim, patience: u64) -> Taking {
    let patience = Duration::from_secs(patience);
    let taking = cluster.lock("linkerd", claim, patience, |_| {}).await;
    taking.unwrap()
}

async fn locked(server: &Server) -> (Lock, Grip) {
    let taking = try_lock(&server.cluster(), &claim(), 0).await;
    let Taking::Taken { lock, .. } = taking else {
        panic!("the lock was free");
    };
    let grip = lock.grip();
    (lock, grip)
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_renewed_for_as_long_as_it_is_held_and_then_let_go() {
    let server = Server::default();
    let (lock, grip) = locked(&server).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(grip.check(), Ok(()));
    assert!(
        (11..=13).contains(&server.store().writes),
        "{}",
        server.store().writes
    );
    assert_eq!(server.holder(), "me@here/1");
    lock.release().await.unwrap();
    assert_eq!(server.holder(), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_cannot_be_renewed_is_lost_before_others_may_take_it() {
    let server = Server::default();
    let (_lock, mut grip) = locked(&server).await;
    server.store().mood = Mood::Silent;
    let began = Instant::now();
    let lost = grip.lost().await;
    assert!(matches!(lost, Lost::Expired(_)), "{lost}");
    assert!(began.elapsed() < LENGTH, "{:?}", began.elapsed());
    assert!(grip.check().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_somebody_took_is_noticed_when_asked_for_and_not_only_at_the_next_renewal() {
    let server = Server::default();
    let (lock, grip) = locked(&server).await;
    assert_eq!(lock.confirm().await.unwrap(), Ok(()));
    server.give_to("you@there/2");
    let lost = lock.confirm().await.unwrap().unwrap_err();
    assert!(matches!(lost, Lost::Taken(_)), "{lost}");
    assert_eq!(grip.check(), Ok(()), "no renewal was due");
    server.store().lease = None;
    assert_eq!(lock.confirm().await.unwrap(), Err(Lost::Removed));
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_does_not_lose_the_lock() {
    let server = Server::default();
    let (_lock, grip) = locked(&server).await;
    server.store().mood = Mood::Silent;
    tokio::time::sleep(Duration::from_secs(7)).await;
    server.store().mood = Mood::Answers;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(grip.check(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_somebody_else_took_is_lost_and_not_changed() {
    let server = Server::default();
    let (lock, mut grip) = locked(&server).await;
    server.give_to("you@there/2");
    let lost = grip.lost().await;
    assert!(
        matches!(&lost, Lost::Taken(holder) if holder.by == "you@there"),
        "{lost}"
    );
    lock.release().await.unwrap();
    assert_eq!(server.holder(), "you@there/2");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_removed_is_lost() {
    let server = Server::default();
    let (lock, mut grip) = locked(&server).await;
    server.store().lease = None;
    assert_eq!(grip.lost().await, Lost::Removed);
    lock.release().await.unwrap();
    assert!(server.store().lease.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_does_not_lose_the_lock() {
    let server = Server::default();
    let (lock, grip) = locked(&server).await;
    server.store().mood = Mood::LosesOneAnswer;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(grip.check(), Ok(()));
    lock.release().await.unwrap();
    assert_eq!(server.holder(), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_held_lock_is_reported_and_an_expired_one_is_taken_after_it_was_unchanged_for_15_seconds()
{
    let server = Server::default();
    server.give_to("you@there/2");
    let taking = try_lock(&server.cluster(), &claim(), 0).await;
    assert!(matches!(taking, Taking::Held(holder) if holder.by == "you@there"));
    server.age("1994-11-06T08:49:21.000000Z");
    let began = Instant::now();
    let taking = try_lock(&server.cluster(), &claim(), 0).await;
    let Taking::Taken { expired, .. } = taking else {
        panic!("it had expired");
    };
    assert_eq!(expired.unwrap().by, "you@there");
    assert_eq!(server.holder(), "me@here/1");
    assert!(began.elapsed() >= LENGTH, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn two_runs_whose_dates_differ_never_both_hold_the_lock() {
    let server = Server::default();
    let (_lock, grip) = locked(&server).await;
    // For this run the lock has always expired: every renewal is older than 15 s.
    let ahead = server.cluster_at(DATE_20_SECONDS_AHEAD);
    for patience in [0, 120] {
        let taking = try_lock(&ahead, &another_claim(), patience).await;
        assert!(matches!(taking, Taking::Held(_)), "{patience}: {taking:?}");
        assert_eq!(grip.check(), Ok(()), "{patience}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_dies_while_it_is_waited_for_loses_the_lock_only_after_it_has_lost_its_trust()
{
    let server = Server::default();
    let (lock, grip) = locked(&server).await;
    let ahead = server.cluster_at(DATE_20_SECONDS_AHEAD);
    let dies = async {
        tokio::time::sleep(Duration::from_secs(22)).await;
        drop(lock);
    };
    let claim = another_claim();
    let (taking, ()) = tokio::join!(try_lock(&ahead, &claim, 120), dies);
    assert!(matches!(taking, Taking::Taken { .. }), "{taking:?}");
    assert_eq!(grip.check(), Err(Lost::Expired(None)));
}

#[tokio::test(start_paused = true)]
async fn an_expired_lock_that_is_released_while_it_is_watched_is_taken_at_once() {
    let server = Server::default();
    let (lock, _grip) = locked(&server).await;
    let ahead = server.cluster_at(DATE_20_SECONDS_AHEAD);
    let releases = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        lock.release().await.unwrap();
    };
    let (began, claim) = (Instant::now(), another_claim());
    let (taking, ()) = tokio::join!(try_lock(&ahead, &claim, 0), releases);
    assert!(matches!(taking, Taking::Taken { .. }), "{taking:?}");
    assert!(began.elapsed() < LENGTH, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_held_for_the_longest_time_and_then_lost() {
    let server = Server::default();
    let claim = Claim {
        longest: Duration::from_secs(60),
        ..claim()
    };
    let Taking::Taken { lock, .. } = try_lock(&server.cluster(), &claim, 0).await else {
        panic!("the lock was free");
    };
    let began = Instant::now();
    assert_eq!(
        lock.grip().lost().await,
        Lost::TooLong(Duration::from_secs(60))
    );
    assert_eq!(began.elapsed(), Duration::from_secs(60));
    assert!(lock.grip().check().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lock_is_renewed_no_more_and_left_to_expire() {
    let server = Server::default();
    let (lock, _grip) = locked(&server).await;
    drop(lock);
    tokio::task::yield_now().await;
    let writes = server.store().writes;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(server.store().writes, writes);
    assert_eq!(server.holder(), "me@here/1");
}
