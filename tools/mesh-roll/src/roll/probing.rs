//! Before the first restart in each namespace and wave, a dry-run pod shows which proxy the
//! injector gives.

use jiff::SignedDuration;
use mesh_cluster::Probe;
use mesh_records::after;

use super::event::Action;
use super::limits::Stop;
use super::order::Wave;
use super::state::{Proven, Roll};

/// How often the dry run is tried if no answer comes.
const TRIES: u32 = 3;
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

impl Roll {
    // Returns true if the injector gives the right proxy in the namespace; starts a dry run if none
    // was made.
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
                let again = after(self.now, PAUSE);
                *proven = Proven::Unanswered { tries, again };
                return;
            }
            Ok(Probe::Injected { version, .. }) => {
                let other = version.version.or(version.tag);
                let other = other.unwrap_or_else(|| "a proxy without a version".to_owned());
                format!("the proxy injector gives {other} in {namespace}, not {injects}")
            }
            Ok(Probe::NotInjected) => {
                format!("the proxy injector gives no proxy to a new pod in {namespace}")
            }
            Ok(Probe::Refused(why)) => {
                format!("the API server refuses a new pod in {namespace}: {why}")
            }
            // No answer came, so this is not the injector's fault.
            Err(why) => {
                let what =
                    format!("cannot check the injector with a dry-run pod in {namespace}: {why}");
                return self.stop(Stop::Blind(what));
            }
        };
        self.stop(Stop::Injector(what));
    }
}
