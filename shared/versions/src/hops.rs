//! The upgrade path from one version to another, one minor version at a time.

use std::cmp::Ordering;

use crate::minor::{Confidence, Minor};
use crate::releases::{Known, Releases};
use crate::version::Version;

/// How two versions relate, as a move of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Both are the same release.
    Stay,
    /// Forwards within one minor version.
    Patch,
    /// Forwards by this many minor versions; more than one at once is unsupported.
    Up {
        /// The number of minor versions.
        minors: u32,
    },
    /// To another channel within one minor version; the two releases have no order.
    Aside,
    /// Backwards, to an older minor version or an older patch.
    Down,
    /// The minor version of one of the two is unknown.
    Unknown,
}

/// One upgrade of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The minor version before the upgrade.
    pub from: Minor,
    /// The minor version after the upgrade.
    pub to: Minor,
    /// The release to install; absent if the file recommends no release of that vendor.
    pub release: Option<Version>,
}

impl Releases {
    /// Returns how a control plane would move from one version to another.
    pub fn movement(&self, from: &Version, to: &Version) -> Move {
        let (from, to) = (self.canonical(from), self.canonical(to));
        if from.same_release(to) {
            return Move::Stay;
        }
        let (Some(before), Some(after)) = (self.minor_of(from), self.minor_of(to)) else {
            return Move::Unknown;
        };
        match before.minor.cmp(&after.minor) {
            Ordering::Less => Move::Up {
                minors: after.minor.number() - before.minor.number(),
            },
            Ordering::Greater => Move::Down,
            Ordering::Equal => match from.order(to) {
                Some(Ordering::Less) => Move::Patch,
                Some(Ordering::Greater) => Move::Down,
                Some(Ordering::Equal) => Move::Stay,
                None => Move::Aside,
            },
        }
    }

    /// Returns the order of two versions: that of their channel, or else that of their minor versions.
    ///
    /// Returns `None` for two channels within one minor version, and where a minor version is unknown. A
    /// release that is newer than the file may belong to a later minor version, so that it is never
    /// older than a release of another channel.
    pub fn order(&self, one: &Version, other: &Version) -> Option<Ordering> {
        let (one, other) = (self.canonical(one), self.canonical(other));
        if let Some(order) = one.order(other) {
            return Some(order);
        }
        let (ours, theirs) = (self.minor_of(one)?, self.minor_of(other)?);
        let order = ours.minor.cmp(&theirs.minor);
        let lesser = match order {
            Ordering::Less => ours,
            Ordering::Greater => theirs,
            Ordering::Equal => return None,
        };
        (lesser.confidence != Confidence::Guessed).then_some(order)
    }

    /// Returns the upgrades from one version to another. The last one goes to the target; each
    /// earlier one goes to the recommended release of its minor version.
    ///
    /// Returns an empty list if there is nothing to do, and `None` if there is no path: the move is
    /// backwards, or the file does not know a version.
    pub fn path(&self, from: &Version, to: &Version) -> Option<Vec<Hop>> {
        let (from, to) = (self.canonical(from), self.canonical(to));
        match self.movement(from, to) {
            Move::Stay => return Some(Vec::new()),
            Move::Down | Move::Unknown => return None,
            Move::Patch | Move::Up { .. } | Move::Aside => {}
        }
        // Without an entry in the file the number of hops has no limit.
        match self.known(to) {
            Known::Unknown(_) => return None,
            Known::Listed | Known::Line | Known::Newer => {}
        }
        let (first, last) = (self.minor_of(from)?.minor, self.minor_of(to)?.minor);
        self.line(last)?;
        if first == last {
            return Some(vec![Hop {
                from: first,
                to: last,
                release: Some(to.clone()),
            }]);
        }
        let channel = from.channel()?;
        let hop = |x: u32| {
            let line = Minor::new(x + 1);
            let release = if line == last {
                Some(to)
            } else {
                self.recommended(line, channel)
            };
            Hop {
                from: Minor::new(x),
                to: line,
                release: release.cloned(),
            }
        };
        Some((first.number()..last.number()).map(hop).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tag: &str) -> Version {
        Version::of_tag(tag)
    }

    #[test]
    fn a_movement_is_up_down_aside_or_unknown() {
        let releases = Releases::embedded();
        for (from, to, expected) in [
            ("stable-2.13.7", "stable-2.13.7", Move::Stay),
            ("stable-2.13.7", "stable-2.13.7-acme", Move::Stay),
            ("stable-2.13.6", "stable-2.13.7", Move::Patch),
            ("stable-2.13.7", "stable-2.13.6", Move::Down),
            ("stable-2.13.7", "stable-2.14.10", Move::Up { minors: 1 }),
            ("stable-2.14.10", "edge-24.2.4", Move::Up { minors: 1 }),
            ("stable-2.14.10", "edge-24.8.2", Move::Up { minors: 2 }),
            ("edge-25.4.4", "edge-25.5.1", Move::Patch),
            ("edge-25.5.1", "edge-25.4.4", Move::Down),
            ("edge-24.2.4", "stable-2.14.10", Move::Down),
            ("edge-24.11.8", "enterprise-2.17.0", Move::Aside),
            ("dev-undefined", "stable-2.14.10", Move::Unknown),
        ] {
            assert_eq!(
                releases.movement(&of(from), &of(to)),
                expected,
                "{from} {to}"
            );
        }
    }

    #[test]
    fn a_path_goes_one_minor_version_at_a_time_and_ends_at_the_target() {
        let releases = Releases::embedded();
        for (from, to, expected) in [
            ("stable-2.13.7", "stable-2.13.7", Some(vec![])),
            (
                "stable-2.13.6",
                "stable-2.13.7",
                Some(vec!["stable-2.13.7"]),
            ),
            (
                "stable-2.13.7",
                "stable-2.14.5",
                Some(vec!["stable-2.14.5"]),
            ),
            (
                "stable-2.12.1",
                "edge-25.4.4",
                Some(vec![
                    "stable-2.13.7",
                    "stable-2.14.10",
                    "edge-24.2.4",
                    "edge-24.8.2",
                    "edge-24.11.8",
                    "edge-25.4.4",
                ]),
            ),
            (
                "enterprise-2.16.0",
                "enterprise-2.18.0",
                Some(vec!["?", "enterprise-2.18.0"]),
            ),
            ("edge-25.4.4", "stable-2.14.10", None),
            ("stable-2.13.7", "stable-2.99.0", None),
            ("stable-2.13.7", "enterprise-2.4294967295.0", None),
            ("dev-undefined", "stable-2.14.10", None),
        ] {
            let path = releases.path(&of(from), &of(to));
            let names: Option<Vec<String>> = path.map(|hops| {
                let name = |hop: Hop| hop.release.map_or("?".to_owned(), |it| it.to_string());
                hops.into_iter().map(name).collect()
            });
            let expected: Option<Vec<String>> =
                expected.map(|path| path.into_iter().map(str::to_owned).collect());
            assert_eq!(names, expected, "{from} {to}");
        }
    }

    #[test]
    fn two_channels_are_ordered_by_minor_version() {
        use Ordering::{Equal, Greater, Less};
        let releases = Releases::embedded();
        for (one, other, expected) in [
            ("stable-2.13.7", "stable-2.14.10", Some(Less)),
            ("stable-2.14.10", "stable-2.14.10-acme", Some(Equal)),
            ("stable-2.14.10", "edge-24.2.4", Some(Less)),
            ("edge-24.2.4", "stable-2.14.10", Some(Greater)),
            ("edge-23.9.1", "stable-2.14.10", None),
            ("edge-98.1.1", "stable-2.14.10", Some(Greater)),
            ("edge-98.1.1", "edge-98.1.2", Some(Less)),
            // It may belong to a later minor version than the last of the file.
            ("edge-98.1.1", "enterprise-2.99.0", None),
            ("dev-undefined", "stable-2.14.10", None),
        ] {
            let order = releases.order(&of(one), &of(other));
            assert_eq!(order, expected, "{one} {other}");
        }
    }

    #[test]
    fn each_hop_starts_where_the_hop_before_it_ended() {
        let releases = Releases::embedded();
        let path = releases
            .path(&of("stable-2.10.0"), &of("edge-26.8.3"))
            .unwrap();
        assert_eq!(path.len(), 10);
        for (hop, next) in path.iter().zip(&path[1..]) {
            assert_eq!((hop.from.next(), hop.to), (hop.to, next.from));
        }
    }
}
