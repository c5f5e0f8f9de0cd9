//! What an action has in flight, from its own records, in a line for people.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesh_records::{InFlight, Outcome, Progress, Record, StepName, StepState};

/// The workloads or components in flight, and how far the run is.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    planned: usize,
    done: usize,
    failed: usize,
    since: Option<Instant>,
    step: Option<String>,
    in_flight: BTreeMap<String, String>,
}

/// How many are named.
const NAMED: usize = 4;

// === impl Flights ===

impl Flights {
    /// Takes a record of an action in; returns the line if it has changed, which is `None` within
    /// once nothing is under way.
    #[expect(
        clippy::option_option,
        reason = "nothing to show differs from nothing to change"
    )]
    pub(crate) fn after(&mut self, record: &Record) -> Option<Option<String>> {
        match record {
            Record::Intent(intent) => self.planned = intent.deeds.len(),
            Record::Step(step) => {
                // What rolls goes on while a gate is asked.
                if step.step != StepName::WaveGate {
                    self.in_flight.clear();
                }
                // Meanwhile the tool that writes the verdict shows what it does, on the same line.
                let is_own = step.step != StepName::Gate;
                let is_started = step.state == StepState::Started;
                self.step = (is_started && is_own).then(|| step.message.clone());
            }
            Record::Progress(progress) => self.progress(progress),
            Record::Rolled(rolled) => {
                self.in_flight.remove(&rolled.identity.to_string());
                self.done = self.done.saturating_add(1);
                let is_failed = rolled.outcome == Outcome::Failed;
                self.failed = self.failed.saturating_add(usize::from(is_failed));
            }
            Record::Skipped(skipped) => {
                self.in_flight.remove(&skipped.identity.to_string());
            }
            Record::Stream(_)
            | Record::ControlPlane(_)
            | Record::Extension(_)
            | Record::Workload(_)
            | Record::Proxy(_)
            | Record::Anomaly(_)
            | Record::Unseen(_)
            | Record::Finding(_)
            | Record::Plan(_)
            | Record::Verdict(_)
            | Record::End(_) => return None,
        }
        let elapsed = self.since.map(|since| since.elapsed());
        Some(self.line(elapsed.unwrap_or_default()))
    }

    /// Returns the workloads in flight, by name.
    pub(crate) fn workloads(&self) -> Vec<String> {
        let all = self.in_flight.keys().filter(|_| self.since.is_some());
        all.cloned().collect()
    }

    fn progress(&mut self, progress: &Progress) {
        let pods = progress.pods;
        let name = match &progress.of {
            Some(InFlight::Workload { identity, .. }) => {
                self.since.get_or_insert_with(Instant::now);
                identity.to_string()
            }
            Some(InFlight::Component { component, .. }) => component.clone(),
            None => {
                self.step = Some(progress.message.clone());
                return;
            }
        };
        let ready = pods.ready.min(pods.updated);
        self.in_flight
            .insert(name, format!("{ready}/{}", pods.wanted));
    }

    fn line(&self, elapsed: Duration) -> Option<String> {
        let mut parts = Vec::new();
        parts.extend(self.step.clone());
        if self.since.is_some() && !self.in_flight.is_empty() {
            parts.push(format!("{} of {}", self.done, self.planned));
        }
        if self.failed > 0 {
            parts.push(format!("{} failed", self.failed));
        }
        if !self.in_flight.is_empty() {
            let named = self.in_flight.iter().take(NAMED);
            let named: Vec<String> = named.map(|(name, pods)| format!("{name} {pods}")).collect();
            parts.push(named.join(", "));
        }
        parts.extend(self.left(elapsed).filter(|_| !self.in_flight.is_empty()));
        (!parts.is_empty() && (self.step.is_some() || !self.in_flight.is_empty()))
            .then(|| parts.join(" | "))
    }

    // At the pace so far; one workload alone shows no pace.
    fn left(&self, elapsed: Duration) -> Option<String> {
        let rest = self.planned.checked_sub(self.done)?;
        let (rest, done) = (u32::try_from(rest).ok()?, u32::try_from(self.done).ok()?);
        let each = elapsed.checked_div(done).filter(|_| done > 1)?;
        let left = each.checked_mul(rest)?.as_secs();
        Some(match (left / 60, left % 60) {
            (0, seconds) => format!("about {seconds}s left"),
            (minutes, seconds) => format!("about {minutes}m{seconds:02}s left"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTENT: &str = r#"{"type":"intent","cluster":"eu","time":"2026-03-02T09:15:00Z","message":"m","deeds":[{"verb":"restart","object":"a"},{"verb":"restart","object":"b"}],"digest":"d"}"#;
    const START: &str = r#"{"type":"progress","cluster":"eu","time":"2026-03-02T09:15:01Z","message":"m","ref":"shop/Deployment/web","kind":"Deployment","namespace":"shop","name":"web","uid":"1","pods":{"wanted":3,"updated":1,"ready":3}}"#;
    const DONE: &str = r#"{"type":"rolled","cluster":"eu","time":"2026-03-02T09:15:31Z","message":"m","ref":"shop/Deployment/web","kind":"Deployment","namespace":"shop","name":"web","uid":"1","strategy":"restart","from":[],"to":"b","outcome":"proven","pods":{"wanted":3,"new":3,"proven":3},"duration_ms":30000}"#;

    #[test]
    fn what_is_in_flight_is_named_until_it_has_ended() {
        let mut flights = Flights::default();
        let mut after = |line: &str| flights.after(&serde_json::from_str(line).unwrap());
        assert_eq!(after(INTENT), Some(None), "a question needs the terminal");
        assert_eq!(
            after(START),
            Some(Some("0 of 2 | shop/Deployment/web 1/3".to_owned()))
        );
        assert_eq!(after(DONE), Some(None));
        let step = r#"{"type":"step","cluster":"eu","time":"2026-03-02T09:15:00Z","message":"reads","step":"STEP","state":"started"}"#;
        assert_eq!(after(&step.replace("STEP", "gate")), Some(None));
        let watch = after(&step.replace("STEP", "watch"));
        assert_eq!(watch, Some(Some("reads".to_owned())));
        let end = r#"{"type":"end","tool":"mesh-roll","outcome":"complete","exit":0,"totals":{}}"#;
        assert_eq!(after(end), None);
    }

    #[test]
    fn the_rest_takes_as_long_as_what_is_done_took() {
        let flights = |planned, done| Flights {
            planned,
            done,
            ..Flights::default()
        };
        let minute = Duration::from_secs(60);
        assert_eq!(flights(8, 2).left(minute).unwrap(), "about 3m00s left");
        assert_eq!(flights(8, 7).left(minute).unwrap(), "about 8s left");
        assert_eq!(flights(8, 1).left(minute), None);
    }
}
