//! Decides who holds a control plane's lock, and for how long, from its `Lease`. Pure.
//!
//! All times are the API server's. A holder trusts its lock for less time than others wait before
//! they take it. The difference is larger than the error of both readings of the server's clock, so
//! two runs never trust the lock at the same time.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::object::{Meta, Object, Resource};

/// The lock's name, in the namespace of its control plane.
pub const NAME: &str = "mesh-tools";
/// How long others wait before they take a lock that is not renewed.
pub const LENGTH: Duration = Duration::from_secs(15);
/// How often a holder renews the lock.
pub const RENEWAL: Duration = Duration::from_secs(5);
pub(crate) const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "mesh-tools");

/// `Date` is cut to whole seconds, so a reading of the server's clock may be up to a second late.
const CUT: SignedDuration = SignedDuration::from_secs(1);
/// The largest assumed difference between the clocks of a cluster's API servers.
const APART: SignedDuration = SignedDuration::from_secs(2);
const TARGET: &str = "mesh-tools/target";

/// A `coordination.k8s.io/v1` Lease.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Lease {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: LeaseSpec,
}

/// A Lease's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LeaseSpec {
    pub holder_identity: Option<String>,
    pub lease_duration_seconds: Option<u32>,
    pub acquire_time: Option<Timestamp>,
    pub renew_time: Option<Timestamp>,
    pub lease_transitions: Option<u32>,
}

/// Who wants the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// `user@host`.
    pub by: String,
    /// The run's name, which no other run has.
    pub run: String,
    /// What the run will do under the lock, such as `stable-2.14.10` or `roll`.
    pub target: String,
}

/// Who has the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// `user@host`.
    pub by: String,
    /// What the holder does under the lock.
    pub target: Option<String>,
    /// When the holder took the lock.
    pub since: Option<Timestamp>,
    /// When the lock expires if it is not renewed; `None` for a Lease without times.
    pub expires: Option<Timestamp>,
}

/// What a run that wants the lock should do, given the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No Lease exists: create it.
    Create,
    /// Nobody holds the lock, or it has expired: take it at exactly this version.
    Take {
        /// The holder whose lock expired.
        expired: Option<Holder>,
    },
    /// The run already holds the lock.
    Mine,
    /// Somebody else holds the lock.
    Held(Holder),
}

impl Object for Lease {
    const RESOURCE: Resource = Resource {
        group: "coordination.k8s.io",
        version: "v1",
        plural: "leases",
        kind: "Lease",
    };

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// Decides what the run named `me` should do with `lease` at the server's time `now`.
///
/// A Lease with a holder but without times never expires; a person must look at it.
pub fn decide(lease: Option<&Lease>, now: Timestamp, me: &str) -> Decision {
    let Some(lease) = lease else {
        return Decision::Create;
    };
    match lease.spec.holder_identity.as_deref() {
        None | Some("") => Decision::Take { expired: None },
        Some(identity) if identity == me => Decision::Mine,
        Some(identity) => {
            let holder = Holder::of(lease, identity);
            match holder.expires {
                Some(expires) if expires < now => Decision::Take {
                    expired: Some(holder),
                },
                Some(_) | None => Decision::Held(holder),
            }
        }
    }
}

/// Returns how long, counted from its sending, a renewal may be trusted. `written` is the time in
/// the renewal, `answered` is the server's time when the answer came.
pub fn term(written: Timestamp, answered: Timestamp) -> Duration {
    let length = SignedDuration::try_from(LENGTH).expect("fifteen seconds fit");
    let left = length - CUT - APART - answered.duration_since(written);
    Duration::try_from(left).unwrap_or(Duration::ZERO)
}

// === impl Claim ===

impl Claim {
    /// Returns the holder identity for the Lease.
    pub fn identity(&self) -> String {
        format!("{}/{}", self.by, self.run)
    }

    /// Returns the Lease to create.
    pub(crate) fn lease(&self, namespace: &str, now: Timestamp) -> Value {
        let (label, value) = LABEL;
        let labels = BTreeMap::from([(label, value)]);
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": NAME,
                "namespace": namespace,
                "labels": labels,
                "annotations": { TARGET: self.target },
            },
            "spec": self.spec(now, 0),
        })
    }

    /// Returns the merge patch that takes the Lease at exactly the version that was read.
    pub(crate) fn takeover(&self, lease: &Lease, now: Timestamp) -> Value {
        let (label, value) = LABEL;
        let labels = BTreeMap::from([(label, value)]);
        let transitions = lease.spec.lease_transitions.unwrap_or(0).saturating_add(1);
        json!({
            "metadata": {
                "resourceVersion": lease.meta.resource_version,
                "labels": labels,
                "annotations": { TARGET: self.target },
            },
            "spec": self.spec(now, transitions),
        })
    }

    fn spec(&self, now: Timestamp, transitions: u32) -> Value {
        json!({
            "holderIdentity": self.identity(),
            "leaseDurationSeconds": LENGTH.as_secs(),
            "acquireTime": micro(now),
            "renewTime": micro(now),
            "leaseTransitions": transitions,
        })
    }
}

/// Returns the merge patch that renews a Lease at exactly `version`.
pub(crate) fn renewal(version: &str, now: Timestamp) -> Value {
    json!({
        "metadata": { "resourceVersion": version },
        "spec": { "renewTime": micro(now) },
    })
}

/// Returns the merge patch that releases a Lease at exactly `version`.
pub(crate) fn surrender(version: &str) -> Value {
    json!({
        "metadata": { "resourceVersion": version, "annotations": { TARGET: null } },
        "spec": { "holderIdentity": null },
    })
}

// The API accepts a MicroTime only with exactly six decimals.
fn micro(time: Timestamp) -> String {
    format!("{time:.6}")
}

// === impl Holder ===

impl Holder {
    fn of(lease: &Lease, identity: &str) -> Self {
        let spec = &lease.spec;
        let length = spec
            .lease_duration_seconds
            .map_or(LENGTH, |seconds| Duration::from_secs(u64::from(seconds)));
        let renewed = spec.renew_time.or(spec.acquire_time);
        Self {
            by: identity
                .rsplit_once('/')
                .map_or(identity, |(by, _)| by)
                .to_owned(),
            target: lease.meta.annotations.get(TARGET).cloned(),
            since: spec.acquire_time,
            expires: renewed.and_then(|renewed| renewed.checked_add(length).ok()),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            by,
            target,
            since,
            expires,
        } = self;
        f.write_str(by)?;
        if let Some(target) = target {
            write!(f, ", for {target}")?;
        }
        if let Some(since) = since {
            write!(f, ", since {since:.0}")?;
        }
        match expires {
            Some(expires) => write!(f, ", until {expires:.0} unless renewed"),
            None => f.write_str(", without an end time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn held(by: &str, renewed: Option<i64>) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(by.to_owned()),
            lease_duration_seconds: Some(15),
            acquire_time: None,
            renew_time: renewed.map(at),
            lease_transitions: None,
        };
        Lease {
            meta: Meta::default(),
            spec,
        }
    }

    #[test]
    fn a_lease_is_held_until_it_expires_by_the_servers_clock() {
        let (free, take, mine, other) = ("create", "take", "mine", "held");
        let empty = Lease::default();
        let no_name = held("", Some(0));
        let table = [
            (None, 0, free),
            (Some(empty), 0, take),
            (Some(no_name), 0, take),
            (Some(held("me@here/1", Some(0))), 0, mine),
            (Some(held("me@here/1", Some(0))), 3600, mine),
            (Some(held("me@here/2", Some(0))), 0, other),
            (Some(held("you@there/1", Some(0))), 15, other),
            (Some(held("you@there/1", Some(0))), 16, take),
            (Some(held("you@there/1", Some(60))), 0, other),
            (Some(held("you@there/1", None)), 3600, other),
        ];
        for (number, (lease, now, expected)) in table.into_iter().enumerate() {
            let decision = match decide(lease.as_ref(), at(now), "me@here/1") {
                Decision::Create => free,
                Decision::Take { .. } => take,
                Decision::Mine => mine,
                Decision::Held(_) => other,
            };
            assert_eq!(decision, expected, "row {number}");
        }
    }

    #[test]
    fn term_is_shorter_than_the_time_after_which_others_take_the_lock() {
        assert_eq!(term(at(0), at(0)), Duration::from_secs(12));
        assert_eq!(term(at(0), at(5)), Duration::from_secs(7));
        assert_eq!(term(at(0), at(60)), Duration::ZERO);
        assert!(RENEWAL * 2 < term(at(0), at(1)));
    }

    #[test]
    fn micro_times_have_six_decimals() {
        assert_eq!(micro(at(0)), "2023-11-14T22:13:20.000000Z");
    }

    // A simulation: one server, and claimants that read its clock in whole seconds over slow
    // connections. A request may be lost, answered late, or its answer may be lost.
    struct World {
        seed: u64,
        lease: Option<Lease>,
        version: u64,
        true_ms: i64,
    }

    struct Contender {
        name: Claim,
        // The server's time at the last reading, and the claimant's monotonic time at that reading.
        reading: (i64, i64),
        believes_until_ms: i64,
        version: String,
    }

    impl World {
        fn random(&mut self, below: u64) -> u64 {
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            self.seed % below
        }

        fn pass(&mut self, most_ms: u64) {
            self.true_ms += i64::try_from(self.random(most_ms)).unwrap();
        }

        // The server compares the version and swaps; the patch comes from the real code.
        fn patch(&mut self, patch: &Value) -> bool {
            let wanted = patch["metadata"]["resourceVersion"].as_str();
            let current = self.lease.as_ref().map(|l| l.meta.resource_version.clone());
            if wanted.is_some() && wanted != current.as_deref()
                || wanted.is_none() && current.is_some()
            {
                return false;
            }
            self.version += 1;
            let mut spec = self.lease.take().map(|l| l.spec).unwrap_or_default();
            let fresh: serde_json::Map<String, Value> = patch["spec"].as_object().unwrap().clone();
            if let Some(holder) = fresh.get("holderIdentity") {
                spec.holder_identity = holder.as_str().map(str::to_owned);
            }
            if let Some(renewed) = fresh.get("renewTime").and_then(Value::as_str) {
                spec.renew_time = Some(renewed.parse().unwrap());
            }
            let meta = Meta {
                resource_version: self.version.to_string(),
                ..Meta::default()
            };
            self.lease = Some(Lease { meta, spec });
            true
        }
    }

    impl Contender {
        fn now(&self, world: &World) -> Timestamp {
            let (server, read_at) = self.reading;
            Timestamp::from_millisecond(server + world.true_ms - read_at).unwrap()
        }

        fn read_clock(&mut self, world: &World, date_ms: i64) {
            let date = date_ms / 1000 * 1000;
            let known = self.now(world).as_millisecond();
            if date > known {
                self.reading = (date, world.true_ms);
            }
        }

        fn step(&mut self, world: &mut World) {
            world.pass(3_000);
            let (lease, date) = (world.lease.clone(), world.true_ms);
            world.pass(2_000);
            self.read_clock(world, date);
            let now = self.now(world);
            let body = match decide(lease.as_ref(), now, &self.name.identity()) {
                Decision::Create => self.name.lease("linkerd", now),
                Decision::Take { .. } => self.name.takeover(lease.as_ref().unwrap(), now),
                Decision::Mine if world.random(8) == 0 => {
                    surrender(&lease.unwrap().meta.resource_version)
                }
                Decision::Mine => renewal(&lease.unwrap().meta.resource_version, now),
                Decision::Held(_) => return,
            };
            self.send(world, &body, now);
        }

        fn send(&mut self, world: &mut World, body: &Value, written: Timestamp) {
            let gives_up = body["spec"]["holderIdentity"].is_null()
                && body["spec"].get("holderIdentity").is_some();
            if gives_up {
                self.believes_until_ms = 0;
            }
            let sent_ms = world.true_ms;
            world.pass(4_000);
            let done = world.random(10) > 0 && world.patch(body);
            let date = world.true_ms;
            world.pass(4_000);
            if !done || world.random(5) == 0 || gives_up {
                return;
            }
            self.read_clock(world, date);
            self.version
                .clone_from(&world.lease.as_ref().unwrap().meta.resource_version);
            let term = term(written, self.now(world));
            self.believes_until_ms = sent_ms + i64::try_from(term.as_millis()).unwrap();
        }
    }

    #[test]
    fn two_claimants_never_hold_the_lock_at_the_same_time() {
        let mut turns_as_holder = [0_u32; 2];
        for seed in 1..=400 {
            let mut world = World {
                seed,
                lease: None,
                version: 0,
                true_ms: 1_700_000_000_000,
            };
            let contender = |run: &str| Contender {
                name: Claim {
                    by: "u@h".into(),
                    run: run.into(),
                    target: "t".into(),
                },
                reading: (0, 1_700_000_000_000),
                believes_until_ms: 0,
                version: String::new(),
            };
            let mut both = [contender("a"), contender("b")];
            for _ in 0..200 {
                let turn = usize::try_from(world.random(2)).unwrap();
                // A claimant may be suspended for longer than a Lease lasts.
                if world.random(12) == 0 {
                    world.pass(40_000);
                }
                both[turn].step(&mut world);
                let now = world.true_ms;
                let holders: Vec<bool> = both.iter().map(|c| now < c.believes_until_ms).collect();
                assert_ne!(holders, [true, true], "seed {seed} at {now}");
                if holders[turn] {
                    turns_as_holder[turn] += 1;
                }
            }
        }
        assert!(
            turns_as_holder.iter().all(|&turns| turns > 1_000),
            "{turns_as_holder:?}"
        );
    }
}
