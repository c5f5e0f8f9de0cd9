//! Before the first start in each namespace and wave: a pod that is never created shows what the
//! injector gives.

use jiff::SignedDuration;
use mesh_cluster::Probe;

use super::event::Action;
use super::limits::Stop;
use super::order::Wave;
use super::state::{Proven, Roll};

/// How often the injector is asked when there is no answer.
const TRIES: u32 = 3;
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

impl Roll {
    // Whether the injector was seen to give the right proxy there; asks if nobody has yet.
    pub(super) fn is_proven(&mut self, wave: Wave, namespace: String) -> bool {
        let place = (wave, namespace);
        let tries = match self.probes.get(&place) {
            Some(Proven::Yes) => return true,
            Some(Proven::Asked { .. }) => return false,
            Some(Proven::Unanswered { again, .. }) if self.now < *again => {
                self.wake_at(*again);
                return false;
            }
            Some(Proven::Unanswered { tries, .. }) => *tries,
            None => 0,
        };
        self.out.push(Action::Probe(place.1.clone()));
        let asked = Proven::Asked { tries: tries + 1 };
        self.probes.insert(place, asked);
        false
    }

    pub(super) fn probed(&mut self, namespace: &str, answer: Result<Probe, String>) {
        let asked = self
            .probes
            .iter_mut()
            .find_map(|(place, proven)| match proven {
                Proven::Asked { tries } if place.1 == namespace => Some((*tries, proven)),
                Proven::Asked { .. } | Proven::Yes | Proven::Unanswered { .. } => None,
            });
        let Some((tries, proven)) = asked else { return };
        let injects = self.world.target().injects.as_deref().unwrap_or_default();
        let what = match answer {
            Ok(Probe::Injected { version, .. }) if version.is(injects) => {
                *proven = Proven::Yes;
                return;
            }
            Err(_) if tries < TRIES => {
                let again = self.now + PAUSE;
                *proven = Proven::Unanswered { tries, again };
                return;
            }
            Ok(Probe::Injected { version, .. }) => {
                let other = version.version.or(version.tag);
                let other = other.unwrap_or_else(|| "a proxy without a version".to_owned());
                format!("the injector gives {other} in {namespace}, not {injects}")
            }
            Ok(Probe::NotInjected) => {
                format!("the injector gives no proxy to a new pod in {namespace}")
            }
            Ok(Probe::Refused(why)) => format!("a new pod in {namespace} is refused: {why}"),
            // Nobody has answered, so this says nothing about the injector.
            Err(why) => {
                let what = format!("cannot try what the injector gives in {namespace}: {why}");
                return self.stop(Stop::Blind(what));
            }
        };
        self.stop(Stop::Injector(what));
    }
}
