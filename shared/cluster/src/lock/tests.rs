//! Tests the lock against a fake server with one Lease that compares and swaps like the real one.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

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
struct Server(Arc<Mutex<Store>>);

impl Server {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap()
    }

    fn cluster(&self) -> Arc<Cluster> {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                server.answer(&parts.method, &body).await
            }
        });
        let client = kube::Client::new(service, "default");
        Arc::new(Cluster::over(client, Duration::from_secs(30)))
    }

    async fn answer(&self, method: &Method, body: &[u8]) -> Result<Response<Body>, std::io::Error> {
        let mood = self.store().mood;
        if mood == Mood::Silent {
            std::future::pending::<()>().await;
        }
        let (status, body) = self.store().act(method, body);
        if mood == Mood::LosesOneAnswer {
            self.store().mood = Mood::Answers;
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        let answer = Response::builder()
            .status(status)
            .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
            .body(Body::from(body.to_string().into_bytes()));
        Ok(answer.unwrap())
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
    }
}

async fn locked(server: &Server) -> (Lock, Grip) {
    let taking = server
        .cluster()
        .lock("linkerd", &claim(), Duration::ZERO)
        .await;
    let Taking::Taken { lock, .. } = taking.unwrap() else {
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
    assert!(
        began.elapsed() < crate::lock::lease::LENGTH,
        "{:?}",
        began.elapsed()
    );
    assert!(grip.check().is_err());
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
async fn a_held_lock_is_reported_and_an_expired_one_is_taken() {
    let server = Server::default();
    server.give_to("you@there/2");
    let taking = server
        .cluster()
        .lock("linkerd", &claim(), Duration::ZERO)
        .await;
    assert!(matches!(taking.unwrap(), Taking::Held(holder) if holder.by == "you@there"));
    server.age("1994-11-06T08:49:21.000000Z");
    let taking = server
        .cluster()
        .lock("linkerd", &claim(), Duration::ZERO)
        .await;
    let Taking::Taken { expired, .. } = taking.unwrap() else {
        panic!("it had expired");
    };
    assert_eq!(expired.unwrap().by, "you@there");
    assert_eq!(server.holder(), "me@here/1");
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
