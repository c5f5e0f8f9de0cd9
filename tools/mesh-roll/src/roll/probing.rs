//! Before each restart, the list of the workload's pods shows whether it is needed, and a dry-run pod
//! from its own template shows what a new pod would get: which proxy, or why it is refused.
//!
//! Only what says something of the injector stops the run: it gives the wrong version, it cannot be
//! called, or it gives nobody a proxy. What a quota, a policy or one template causes is an obstacle
//! of that workload, in the words of who refused the pod.

use jiff::SignedDuration;
use mesh_cluster::workload::rollout::{PodSeen, Problem};
use mesh_cluster::{Injected, Probe, Refusal, Refuser};
use mesh_records::{DowntimeGrade, Obstacle, Outcome, Strategy, Trouble, WorkloadRef, after};

use super::conclusion::{Conclusion, problem};
use super::flight::{Awaits, Flight};
use super::item::Hold;
use super::limits::Stop;
use super::proof::is_current;
use super::state::Roll;
use super::watched::Mesh;

/// How often the injector is asked if it does not answer, and the API server if nobody gets an answer.
const TRIES: u32 = 3;
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// How many workloads without an answer speak for all.
const OTHERS: usize = 3;

/// What a dry run means for a workload that is to be restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    /// A new pod gets the right proxy.
    Good,
    /// The workload cannot say what its new pods get. It takes old pods away first, and its first
    /// new pod is the proof.
    ByItsFirstPod(String),
    /// Not before somebody changes something.
    Skip(Obstacle, String),
    /// It may pass by itself.
    Wait(Trouble, String),
    /// The injector may be away: try again, then stop the run.
    Away(String),
    /// The pod got no proxy, perhaps because the injector denied it, in these words: because of its
    /// template, its namespace or the injector.
    Bare(Option<String>),
    /// The injector gives everybody the wrong proxy.
    Stop(String),
}

fn finding(probe: Probe, mesh: &Mesh, makes_room: bool, namespace: &str) -> Finding {
    let injects = mesh.injects.as_deref().unwrap_or_default();
    match probe {
        Probe::Injected(injected) if injected.version.is(injects) => {
            match (&injected.anchors, &mesh.anchors) {
                (Some(given), Some(current)) if given != current => {
                    let what = "the proxy injector still gives the trust anchors of before";
                    Finding::Wait(Trouble::StillOld, what.to_owned())
                }
                (_, _) => Finding::Good,
            }
        }
        Probe::Injected(Injected {
            is_pinned: true, ..
        }) => {
            let what = "something adds a pin to its pods when they are created";
            Finding::Skip(Obstacle::VersionPinned, what.to_owned())
        }
        Probe::Injected(Injected { version, .. }) => {
            let other = version.version.or(version.tag);
            let other = other.unwrap_or_else(|| "a proxy without a version".to_owned());
            Finding::Stop(format!(
                "the proxy injector gives {other} in {namespace}, not {injects}"
            ))
        }
        Probe::NotInjected => Finding::Bare(None),
        Probe::Refused(Refusal { by, words }) => match by {
            Refuser::Quota if makes_room => Finding::ByItsFirstPod(words),
            Refuser::NoDryRuns => Finding::ByItsFirstPod(words),
            Refuser::Quota | Refuser::AwayWebhook => Finding::Wait(Trouble::PodRefused, words),
            Refuser::Policy => Finding::Skip(Obstacle::PodRefused, words),
            Refuser::AwayInjector => Finding::Away(words),
            Refuser::Injector => Finding::Bare(Some(words)),
        },
    }
}

impl Roll {
    /// Handles the list of pods before the restart, and the dry run of a new one. Restarts the
    /// workload only if one of its pods is not current.
    pub(super) fn prepared(
        &mut self,
        key: &WorkloadRef,
        pods: Result<Vec<PodSeen>, String>,
        probe: Result<Option<Probe>, String>,
    ) {
        if self.flight(key).map(|flight| flight.awaits) != Some(Awaits::Preparation) {
            return;
        }
        if self.stop.is_some() {
            return self.wait_again(key, None);
        }
        let pods = match pods {
            Ok(pods) => self.on_living_nodes(key, pods),
            Err(why) => {
                let what = format!("cannot list the pods of {key}: {why}");
                return self.unanswered(key, what);
            }
        };
        let mesh = self.world.target();
        let mut pods = pods.iter().filter(|pod| !pod.over);
        if pods.any(|pod| !is_current(pod, mesh)) {
            return self.probed(key, probe);
        }
        let Some(Flight { item, .. }) = self.land(key) else {
            return;
        };
        match item.strategy {
            Strategy::Evict => self.skip(item, Obstacle::Current, None),
            Strategy::Restart | Strategy::RestartAt => self.adopt(item),
        }
    }

    // No answer is the trouble of this workload: the API server may have too many requests for its
    // namespace only, or a webhook that answers late. The run ends if nobody ever gets an answer.
    fn unanswered(&mut self, key: &WorkloadRef, what: String) {
        if let Some(flight) = self.flight_mut(key) {
            flight.item.unanswered += 1;
        }
        let blind = Stop::Blind(what.clone());
        self.hold_up(key, Trouble::TimedOut, what);
        let tried = self.waiting.values().map(|item| item.unanswered);
        let tried: Vec<u32> = tried.filter(|times| *times > 0).collect();
        let enough = self.waiting.len().min(OTHERS);
        if !self.is_answered && tried.len() >= enough && tried.iter().sum::<u32>() >= TRIES {
            self.stop(blind);
        }
    }

    fn probed(&mut self, key: &WorkloadRef, answer: Result<Option<Probe>, String>) {
        let probe = match answer {
            Ok(Some(probe)) => probe,
            Ok(None) => return self.conclude(key, Conclusion::of(Outcome::Gone)),
            Err(why) => {
                let namespace = &key.namespace;
                let what =
                    format!("cannot check the injector with a dry-run pod in {namespace}: {why}");
                return self.unanswered(key, what);
            }
        };
        self.is_answered = true;
        let image = match &probe {
            Probe::Injected(injected) => {
                let labels = injected.labels.clone();
                self.world.note_future_labels(key, labels);
                Some(injected.image.clone())
            }
            Probe::NotInjected | Probe::Refused(_) => None,
        };
        let makes_room = self
            .world
            .workload(key)
            .is_some_and(|observed| observed.downtime.grade != DowntimeGrade::None)
            || self
                .item(key)
                .is_some_and(|item| item.strategy == Strategy::Evict);
        if let Some(flight) = self.flight_mut(key) {
            flight.item.image = image;
        }
        let mesh = self.world.target();
        match finding(probe, mesh, makes_room, &key.namespace) {
            Finding::Good => {
                self.witness = Some(key.clone());
                self.restart_with_room(key);
            }
            Finding::ByItsFirstPod(words) => {
                if let Some(flight) = self.flight(key) {
                    let record = self.saying(&flight.item).unproven(&words);
                    self.emit(record);
                }
                self.ready_to_restart(key);
            }
            Finding::Skip(obstacle, words) => self.skip_for(key, obstacle, &words),
            Finding::Wait(trouble, words) => self.hold_up(key, trouble, words),
            Finding::Away(words) => self.unprobed(key, Stop::Injector(words)),
            Finding::Bare(denied) => self.compare(key, denied),
            Finding::Stop(what) => self.stop_for(key, Stop::Injector(what)),
        }
    }

    // Only now the labels of its new pods are known, and with them the budgets that will count them.
    fn restart_with_room(&mut self, key: &WorkloadRef) {
        let keepers = self.keepers();
        match self.budget_hold(key, &keepers) {
            Some(hold) => {
                self.hold(key, hold);
                self.wait_again(key, None);
            }
            None => self.ready_to_restart(key),
        }
    }

    fn ready_to_restart(&mut self, key: &WorkloadRef) {
        if let Some(mut flight) = self.land(key) {
            flight.item.held = None;
            flight.item.unprobed = 0;
            flight.item.unanswered = 0;
            match flight.item.strategy {
                Strategy::Restart | Strategy::RestartAt => {
                    self.announce(flight.item, flight.version);
                }
                Strategy::Evict => self.evict_pods(flight.item),
            }
        }
    }

    fn unprobed(&mut self, key: &WorkloadRef, stop: Stop) {
        let again = after(self.now, PAUSE);
        let Some(flight) = self.flight_mut(key) else {
            return;
        };
        flight.item.unprobed += 1;
        if flight.item.unprobed >= TRIES {
            return self.stop_for(key, stop);
        }
        self.wait_again(key, Some(again));
    }

    // The workload gives its slot to others meanwhile.
    fn hold_up(&mut self, key: &WorkloadRef, trouble: Trouble, words: String) {
        let hold = Hold {
            trouble,
            by: words.clone(),
            said: words,
            by_a_flight: false,
        };
        self.hold(key, hold);
        let Some(flight) = self.flight(key) else {
            return;
        };
        let times = flight.item.held.as_ref().map_or(0, |held| held.times);
        let pause = PAUSE.saturating_mul(2_i32.saturating_pow(times.min(5)));
        let pause = pause.min(LONGEST_PAUSE);
        self.wait_again(key, Some(after(self.now, pause)));
    }

    /// Handles the dry run that was made because the controller does not create a missing pod.
    pub(super) fn explained(&mut self, key: &WorkloadRef, answer: Result<Option<Probe>, String>) {
        let now = self.now;
        let flight = self.flight_mut(key);
        if let Some(flight) = flight.filter(|flight| flight.awaits == Awaits::Refusal) {
            flight.explained(refusal(answer), now);
        }
    }
}

fn refusal(answer: Result<Option<Probe>, String>) -> Option<Problem> {
    match answer {
        Ok(Some(Probe::Refused(refusal))) => Some(problem(Trouble::PodRefused, refusal.words)),
        Ok(Some(Probe::Injected(_) | Probe::NotInjected) | None) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_cluster::workload::proxy::ProxyVersion;
    use mesh_records::VersionSource;

    use super::*;

    fn injected(version: &str, anchors: &str, is_pinned: bool) -> Probe {
        Probe::Injected(Injected {
            version: ProxyVersion {
                version: Some(version.to_owned()),
                tag: None,
                source: VersionSource::Image,
            },
            image: String::new(),
            native: false,
            anchors: Some(anchors.to_owned()),
            is_pinned,
            labels: BTreeMap::new(),
        })
    }

    fn refused(by: Refuser) -> Probe {
        let words = "no".to_owned();
        Probe::Refused(Refusal { by, words })
    }

    #[test]
    fn only_what_says_something_of_the_injector_concerns_the_run() {
        use Finding::{Away, Bare, ByItsFirstPod, Good, Skip, Stop, Wait};
        let mesh = Mesh {
            injects: Some("stable-2.14.10".to_owned()),
            anchors: Some("a".to_owned()),
            ..Mesh::default()
        };
        let no = || "no".to_owned();
        let wrong = "the proxy injector gives stable-2.13.7 in shop, not stable-2.14.10";
        let pinned = "something adds a pin to its pods when they are created";
        let stale = "the proxy injector still gives the trust anchors of before";
        // the answer, whether old pods make room, what it means
        let table = [
            (injected("stable-2.14.10", "a", false), false, Good),
            (
                injected("stable-2.14.10", "b", false),
                false,
                Wait(Trouble::StillOld, stale.to_owned()),
            ),
            (
                injected("stable-2.13.7", "a", false),
                false,
                Stop(wrong.to_owned()),
            ),
            (
                injected("stable-2.13.7", "a", true),
                false,
                Skip(Obstacle::VersionPinned, pinned.to_owned()),
            ),
            (Probe::NotInjected, false, Bare(None)),
            (refused(Refuser::Injector), false, Bare(Some(no()))),
            (refused(Refuser::Quota), true, ByItsFirstPod(no())),
            (
                refused(Refuser::Quota),
                false,
                Wait(Trouble::PodRefused, no()),
            ),
            (
                refused(Refuser::Policy),
                true,
                Skip(Obstacle::PodRefused, no()),
            ),
            (
                refused(Refuser::AwayWebhook),
                true,
                Wait(Trouble::PodRefused, no()),
            ),
            (refused(Refuser::AwayInjector), true, Away(no())),
            (refused(Refuser::NoDryRuns), false, ByItsFirstPod(no())),
        ];
        for (number, (probe, makes_room, expected)) in table.into_iter().enumerate() {
            let found = finding(probe, &mesh, makes_room, "shop");
            assert_eq!(found, expected, "row {number}");
        }
    }
}
