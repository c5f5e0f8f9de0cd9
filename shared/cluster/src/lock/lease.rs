//! Decides who holds a control plane's lock, and for how long, from its `Lease`. Pure.
//!
//! The dates in a Lease are an API server's. They alone never give the lock to another run: the
//! clocks of two API servers behind one address may differ by any time.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::object::message::message;
use crate::object::{Meta, Object, Resource};

/// The lock's name, in the namespace of its control plane.
pub const NAME: &str = "mesh-tools";
/// How long others must see a lock unchanged before they take it.
pub const LENGTH: Duration = Duration::from_secs(15);
/// How long a holder trusts the lock, counted from the sending of the last renewal. Others see that
/// renewal later than it was sent, and wait longer.
pub const TRUST: Duration = Duration::from_secs(12);
/// How often a holder renews the lock.
pub const RENEWAL: Duration = Duration::from_secs(5);
pub(crate) const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "mesh-tools");

/// A reading of the server's clock may be this late.
const AHEAD: SignedDuration = SignedDuration::from_secs(5);
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

message!(Lease { 1: meta, 2: spec });

message!(LeaseSpec {
    1: holder_identity,
    2: lease_duration_seconds,
    3: acquire_time,
    4: renew_time,
    5: lease_transitions,
});

/// Who wants the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// `user@host`.
    pub by: String,
    /// The run's name, which no other run has.
    pub run: String,
    /// What the run will do under the lock, such as `stable-2.14.10` or `roll`.
    pub target: String,
    /// How long the run may hold the lock.
    pub longest: Duration,
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
    /// When the lock expires by the dates in its Lease if it is not renewed; `None` for a Lease
    /// without times.
    pub expires: Option<Timestamp>,
    /// How long the Lease must be seen unchanged before somebody else takes the lock.
    pub length: Duration,
}

/// What a run that wants the lock should do, given the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No Lease exists: create it.
    Create,
    /// Nobody holds the lock, or its holder is gone: take it at exactly this version.
    Take {
        /// The holder whose lock expired.
        expired: Option<Holder>,
    },
    /// The run already holds the lock.
    Mine,
    /// Somebody else holds the lock.
    Held(Holder),
    /// The lock has expired by its dates, but was not seen unchanged for its whole length yet.
    Expired(Holder),
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

/// Decides what the run named `me` should do with `lease` at the server's time `now`, after it has
/// seen exactly this version of the Lease for the time `unchanged` on its own monotonic clock.
///
/// A Lease with a holder but without times never expires; a person must look at it.
pub fn decide(lease: Option<&Lease>, now: Timestamp, unchanged: Duration, me: &str) -> Decision {
    let Some(lease) = lease else {
        return Decision::Create;
    };
    match lease.spec.holder_identity.as_deref() {
        None | Some("") => Decision::Take { expired: None },
        Some(identity) if identity == me => Decision::Mine,
        Some(identity) => {
            let holder = Holder::of(lease, identity);
            match holder.expires {
                Some(expires) if expires < now && unchanged >= holder.length => Decision::Take {
                    expired: Some(holder),
                },
                Some(expires) if expires < now => Decision::Expired(holder),
                Some(_) | None => Decision::Held(holder),
            }
        }
    }
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
    /// Returns true if the lock expires later than a renewal at the server's time `now` would.
    pub fn is_ahead_of(&self, now: Timestamp) -> bool {
        let most = now.checked_add(self.length).ok().zip(self.expires);
        most.is_some_and(|(most, expires)| expires.duration_since(most) > AHEAD)
    }

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
            // A shorter length cannot be trusted: whoever wrote it may be one of these tools.
            length: length.max(LENGTH),
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
            length: _,
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
    fn a_lease_is_held_until_it_has_expired_by_date_and_was_seen_unchanged_for_its_length() {
        let (free, take, mine, other) = ("create", "take", "mine", "held");
        let expired = "expired";
        let empty = Lease::default();
        let no_name = held("", Some(0));
        // the Lease, the server's time, for how long it was seen unchanged
        let table = [
            (None, 0, 0, free),
            (Some(empty), 0, 0, take),
            (Some(no_name), 0, 0, take),
            (Some(held("me@here/1", Some(0))), 0, 0, mine),
            (Some(held("me@here/1", Some(0))), 3600, 0, mine),
            (Some(held("me@here/2", Some(0))), 0, 60, other),
            (Some(held("you@there/1", Some(0))), 15, 15, other),
            (Some(held("you@there/1", Some(0))), 16, 0, expired),
            (Some(held("you@there/1", Some(0))), 3600, 14, expired),
            (Some(held("you@there/1", Some(0))), 16, 15, take),
            (Some(held("you@there/1", Some(60))), 0, 3600, other),
            (Some(held("you@there/1", None)), 3600, 3600, other),
        ];
        for (number, (lease, now, unchanged, expected)) in table.into_iter().enumerate() {
            let unchanged = Duration::from_secs(unchanged);
            let decision = match decide(lease.as_ref(), at(now), unchanged, "me@here/1") {
                Decision::Create => free,
                Decision::Take { .. } => take,
                Decision::Mine => mine,
                Decision::Held(_) => other,
                Decision::Expired(_) => expired,
            };
            assert_eq!(decision, expected, "row {number}");
        }
    }

    #[test]
    fn a_length_shorter_than_ours_is_not_trusted() {
        let mut lease = held("you@there/1", Some(0));
        lease.spec.lease_duration_seconds = Some(1);
        let expected = Decision::Expired(Holder::of(&lease, "you@there/1"));
        let after = Duration::from_secs(14);
        assert_eq!(decide(Some(&lease), at(60), after, "me@here/1"), expected);
    }

    #[test]
    fn micro_times_have_six_decimals() {
        assert_eq!(micro(at(0)), "2023-11-14T22:13:20.000000Z");
    }

    // A simulation: one Lease, and claimants with slow connections to API servers whose clocks
    // differ. A request may be lost, answered late, or its answer may be lost.
    struct World {
        seed: u64,
        lease: Option<Lease>,
        version: u64,
        true_ms: i64,
    }

    struct Contender {
        name: Claim,
        // How far the clock of this claimant's API server is ahead.
        ahead_ms: i64,
        // A version of the Lease, and when this claimant saw it first.
        seen: (String, i64),
        believes_until_ms: i64,
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

        fn holder(&self) -> Option<String> {
            self.lease.as_ref()?.spec.holder_identity.clone()
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
            let date = (world.true_ms + self.ahead_ms) / 1000 * 1000;
            Timestamp::from_millisecond(date).unwrap()
        }

        fn see(&mut self, world: &World, lease: Option<&Lease>) -> Duration {
            let version = lease.map(|lease| lease.meta.resource_version.clone());
            let version = version.unwrap_or_default();
            if self.seen.0 != version {
                self.seen = (version, world.true_ms);
            }
            let unchanged = u64::try_from(world.true_ms - self.seen.1).unwrap();
            Duration::from_millis(unchanged)
        }

        fn step(&mut self, world: &mut World) {
            world.pass(3_000);
            let lease = world.lease.clone();
            world.pass(2_000);
            let (now, unchanged) = (self.now(world), self.see(world, lease.as_ref()));
            let body = match decide(lease.as_ref(), now, unchanged, &self.name.identity()) {
                Decision::Create => self.name.lease("linkerd", now),
                Decision::Take { .. } => self.name.takeover(lease.as_ref().unwrap(), now),
                Decision::Mine if world.random(16) == 0 => {
                    surrender(&lease.unwrap().meta.resource_version)
                }
                Decision::Mine => renewal(&lease.unwrap().meta.resource_version, now),
                Decision::Held(_) | Decision::Expired(_) => return,
            };
            self.send(world, &body);
        }

        fn send(&mut self, world: &mut World, body: &Value) {
            let gives_up = body["spec"]["holderIdentity"].is_null()
                && body["spec"].get("holderIdentity").is_some();
            if gives_up {
                self.believes_until_ms = 0;
            }
            let sent_ms = world.true_ms;
            world.pass(4_000);
            let done = world.random(10) > 0 && world.patch(body);
            world.pass(4_000);
            if !done || world.random(5) == 0 || gives_up {
                return;
            }
            self.believes_until_ms = sent_ms + i64::try_from(TRUST.as_millis()).unwrap();
        }
    }

    #[test]
    fn two_claimants_never_hold_the_lock_at_the_same_time_whatever_their_dates_are() {
        let mut turns_as_holder = [0_u32; 2];
        let mut takeovers = 0;
        for seed in 1..=400 {
            let mut world = World {
                seed,
                lease: None,
                version: 0,
                true_ms: 1_700_000_000_000,
            };
            let contender = |run: &str, ahead_ms: i64| Contender {
                name: Claim {
                    by: "u@h".into(),
                    run: run.into(),
                    target: "t".into(),
                    longest: Duration::MAX,
                },
                ahead_ms,
                seen: (String::new(), 0),
                believes_until_ms: 0,
            };
            // From the same clock to an hour apart, in both directions.
            let apart = [0, 1_000, 20_000, 3_600_000][usize::try_from(seed % 4).unwrap()];
            let mut both = [contender("a", 0), contender("b", apart)];
            for _ in 0..200 {
                let turn = usize::try_from(world.random(2)).unwrap();
                // A claimant may be suspended for longer than a Lease lasts.
                if world.random(12) == 0 {
                    world.pass(40_000);
                }
                let before = world.holder();
                both[turn].step(&mut world);
                let after = world.holder();
                takeovers += u32::from(before.is_some() && after.is_some() && before != after);
                let now = world.true_ms;
                let holders: Vec<bool> = both.iter().map(|c| now < c.believes_until_ms).collect();
                assert_ne!(holders, [true, true], "seed {seed} at {now}");
                if holders[turn] {
                    turns_as_holder[turn] += 1;
                }
            }
        }
        assert!(
            turns_as_holder.iter().all(|&turns| turns > 1_000) && takeovers > 100,
            "{turns_as_holder:?}, {takeovers} takeovers"
        );
    }
}
