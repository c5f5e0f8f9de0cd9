//! Raw requests, for tests of the server itself.

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use http::{Request, header};
use http_body_util::BodyExt as _;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

use crate::bed::Bed;

/// A request that a test writes itself.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub method: &'a str,
    /// The path with the query.
    pub path: &'a str,
    /// The content type of the body; without a body, the accepted type.
    pub form: &'a str,
    pub body: &'a Value,
}

impl Bed {
    /// Makes a client that returns every answer unchanged; kube's own client repeats a request
    /// after a 429.
    async fn patient(&self) -> anyhow::Result<Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    /// Sends a request unchanged and returns the answer's code and body. A body that is not JSON is
    /// returned as a string.
    pub fn ask(&self, ask: Ask<'_>) -> anyhow::Result<(u16, Value)> {
        let Ask {
            method,
            path,
            form,
            body,
        } = ask;
        let request = Request::builder().method(method).uri(path);
        let request = if body.is_null() {
            request.header(header::ACCEPT, form).body(Body::empty())?
        } else {
            let request = request.header(header::CONTENT_TYPE, form);
            request.body(Body::from(body.to_string().into_bytes()))?
        };
        self.block_on(async {
            let answer = self.patient().await?.send(request).await?;
            let code = answer.status().as_u16();
            let bytes = answer.into_body().collect().await?.to_bytes();
            let plain = || String::from_utf8_lossy(&bytes).into_owned().into();
            Ok((
                code,
                serde_json::from_slice(&bytes).unwrap_or_else(|_| plain()),
            ))
        })
    }

    /// Reads an object or a list.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.done("GET", path, "application/json", &Value::Null)
    }

    /// Changes an object by a merge patch.
    pub fn merge(&self, path: &str, patch: &Value) -> anyhow::Result<()> {
        self.done("PATCH", path, "application/merge-patch+json", patch)
            .map(drop)
    }

    /// Deletes an object. Fails if it does not exist.
    pub fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.done("DELETE", path, "application/json", &Value::Null)
            .map(drop)
    }

    /// Waits until a field of an object has a value.
    pub fn await_field(&self, path: &str, pointer: &str, value: &Value) -> anyhow::Result<()> {
        let (list, name) = path.rsplit_once('/').context("the path of an object")?;
        let watch = format!("{list}?watch=1&fieldSelector=metadata.name%3D{name}");
        let is_there = |events: &[Value]| {
            let newest = events
                .last()
                .and_then(|event| event["object"].pointer(pointer));
            newest == Some(value)
        };
        let events = self.events(&watch, is_there)?;
        ensure!(
            is_there(&events),
            "{path}: {pointer} did not become {value}"
        );
        Ok(())
    }

    fn done(&self, method: &str, path: &str, form: &str, body: &Value) -> anyhow::Result<Value> {
        let (code, answer) = self.ask(Ask {
            method,
            path,
            form,
            body,
        })?;
        ensure!(
            (200..300).contains(&code),
            "{method} {path}: {code}: {answer}"
        );
        Ok(answer)
    }

    /// Reads the events of a watch until `done` returns true or the watch ends.
    pub fn events(
        &self,
        path: &str,
        mut done: impl FnMut(&[Value]) -> bool,
    ) -> anyhow::Result<Vec<Value>> {
        let request = Request::get(path).body(Body::empty())?;
        self.block_on(async {
            let answer = self.patient().await?.send(request).await?;
            let mut frames = answer.into_body().into_data_stream();
            let (mut text, mut events) = (Vec::new(), Vec::new());
            while let Some(frame) = frames.next().await {
                text.extend_from_slice(&frame?);
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    events.push(serde_json::from_slice(&line)?);
                }
                if done(&events) {
                    break;
                }
            }
            Ok(events)
        })
    }
}
