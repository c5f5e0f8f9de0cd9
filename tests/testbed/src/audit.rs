//! Reads the API server's audit log: the requests of all clients.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{bed::Bed, event::AuditEvent, ground::Ground};

/// How often the log is read again while a request has no end in it.
const READS: u32 = 250;
const PAUSE: Duration = Duration::from_millis(20);

// === impl Bed ===

impl Bed {
    /// Returns every request so far in the order of arrival. The requests of a client that has
    /// ended are complete.
    pub fn audit(&self) -> anyhow::Result<Vec<AuditEvent>> {
        if let Ground::Lab { log, .. } = &self.ground {
            return Ok(log.servers());
        }
        let path = self.dir().join("audit.log");
        for _ in 0..READS {
            let events = read(&path)?;
            // The server logs the end of a request after it has answered, so a client may end
            // before its last log line.
            if events
                .iter()
                .all(|event| event.completed.is_some() || event.is_long_running())
            {
                return Ok(events);
            }
            std::thread::sleep(PAUSE);
        }
        read(&path)
    }

    /// Returns the requests so far of user agents that start with `prefix`.
    pub fn audit_of(&self, prefix: &str) -> anyhow::Result<Vec<AuditEvent>> {
        let mut events = self.audit()?;
        events.retain(|event| event.user_agent.starts_with(prefix));
        Ok(events)
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<AuditEvent>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let lines = BufReader::new(file).lines();
    merge(lines.map(|line| line.context("reading the audit log")))
}

fn merge(lines: impl Iterator<Item = anyhow::Result<String>>) -> anyhow::Result<Vec<AuditEvent>> {
    let mut events: Vec<AuditEvent> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut torn = None;
    for line in lines {
        // Only the last line may be incomplete.
        ensure!(
            torn.is_none(),
            "a line of the audit log cannot be read: {torn:?}"
        );
        let line = line?;
        let Ok(entry) = serde_json::from_str::<Entry>(&line) else {
            torn = Some(line);
            continue;
        };
        let place = *places.entry(entry.audit_id.clone()).or_insert(events.len());
        match events.get_mut(place) {
            Some(event) => entry.complete(event),
            None => events.push(entry.into_event()),
        }
    }
    Ok(events)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: Stage,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    request_object: Option<Value>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

#[derive(Deserialize)]
struct User {
    username: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    namespace: String,
    name: String,
    api_group: String,
    subresource: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: Option<u16>,
}

impl Entry {
    fn into_event(self) -> AuditEvent {
        let completed = self.completed();
        let code = self.code();
        let object = self.object_ref.unwrap_or_default();
        let user = self.impersonated_user.unwrap_or(self.user);
        AuditEvent {
            id: self.audit_id,
            user: user.username.unwrap_or_default(),
            user_agent: self.user_agent,
            verb: self.verb,
            group: object.api_group,
            resource: object.resource,
            subresource: object.subresource,
            namespace: object.namespace,
            name: object.name,
            dry_run: self.request_uri.contains("dryRun="),
            uri: self.request_uri,
            received: self.request_received_timestamp,
            completed,
            code,
            body: self.request_object,
        }
    }

    /// Completes an event from a later stage of the request: the name of a created object, the
    /// body, the code.
    fn complete(self, event: &mut AuditEvent) {
        let received = event.received;
        *event = AuditEvent {
            received,
            ..self.into_event()
        };
    }

    fn completed(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::RequestReceived | Stage::ResponseStarted => None,
            Stage::ResponseComplete | Stage::Panic => Some(self.stage_timestamp),
        }
    }

    fn code(&self) -> Option<u16> {
        self.response_status.as_ref().and_then(|status| status.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, stage: &str, second: u8, more: &str) -> anyhow::Result<String> {
        Ok(format!(
            r#"{{"auditID":"{id}","stage":"{stage}","requestURI":"/apis/apps/v1/x?dryRun=All","verb":"patch","user":{{"username":"u"}},"userAgent":"mesh-roll/1","requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z","stageTimestamp":"2026-01-01T00:00:0{second}.000000Z"{more}}}"#
        ))
    }

    #[test]
    fn the_stages_of_a_request_become_one_event() {
        let lines = [
            entry("a", "RequestReceived", 0, ""),
            entry("b", "RequestReceived", 1, ""),
            entry(
                "a",
                "ResponseComplete",
                2,
                r#","responseStatus":{"code":200},"objectRef":{"resource":"deployments","name":"web"}"#,
            ),
        ];
        let events = merge(lines.into_iter()).unwrap();
        let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(
            (events[0].code, events[0].name.as_str()),
            (Some(200), "web")
        );
        assert_eq!(
            events[0].completed,
            Some("2026-01-01T00:00:02Z".parse().unwrap())
        );
        assert_eq!(events[1].completed, None);
        assert!(!events[0].writes(), "a dry run changes nothing");
    }

    #[test]
    fn only_the_last_line_may_be_torn() {
        let torn = || Ok("{\"auditID\":".to_owned());
        assert_eq!(
            merge([entry("a", "RequestReceived", 0, ""), torn()].into_iter())
                .unwrap()
                .len(),
            1
        );
        assert!(merge([torn(), entry("a", "RequestReceived", 0, "")].into_iter()).is_err());
    }
}
