//! How a proxy stands to a control plane.

use std::cmp::Ordering;

use crate::minor::Confidence;
use crate::releases::Releases;
use crate::version::Version;

/// How a proxy stands to a control plane, in 2.x.
///
/// Linkerd's documentation ("Upgrading Linkerd"): the data plane may be one 2.x behind, whatever
/// the patches; more is unsupported; nothing allows it to be ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// The same release, or one of the same 2.x that has no order with it (another channel, as
    /// Buoyant's builds of a 2.x beside the open-source ones). [`Version::same_release`] tells
    /// them apart.
    Same,
    /// Older; `minors` is 0 when only the patch is.
    Behind {
        /// How many 2.x.
        minors: u32,
    },
    /// Newer; `minors` is 0 when only the patch is.
    Ahead {
        /// How many 2.x.
        minors: u32,
    },
    /// The 2.x of one of the two is not known.
    Unknown,
}

impl Releases {
    /// Compares a proxy with a control plane, and says how sure the answer is.
    ///
    /// One release is the same as itself even where its 2.x is unknown.
    pub fn skew(&self, proxy: &Version, control_plane: &Version) -> (Skew, Confidence) {
        let (proxy, control_plane) = (self.canonical(proxy), self.canonical(control_plane));
        let known = (self.minor_of(proxy), self.minor_of(control_plane));
        let (Some(ours), Some(theirs)) = known else {
            let same = proxy.same_release(control_plane);
            return if same {
                (Skew::Same, Confidence::Known)
            } else {
                (Skew::Unknown, Confidence::Guessed)
            };
        };
        let minors = ours.minor.number().abs_diff(theirs.minor.number());
        let order = ours.minor.cmp(&theirs.minor).then_with(|| {
            let within = proxy.order(control_plane);
            within.unwrap_or(Ordering::Equal)
        });
        let skew = match order {
            Ordering::Less => Skew::Behind { minors },
            Ordering::Greater => Skew::Ahead { minors },
            Ordering::Equal => Skew::Same,
        };
        (skew, ours.confidence.min(theirs.confidence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSIONS: [&str; 14] = [
        "stable-2.12.0-rc2",
        "stable-2.12.6",
        "stable-2.13.7",
        "stable-2.14.1",
        "stable-2.14.10",
        "enterprise-2.17.0",
        "enterprise-2.17.0-1",
        "edge-24.2.4",
        "edge-24.11.8",
        "edge-25.4.4",
        "preview-25.4.4",
        "edge-99.1.1",
        "dev-undefined",
        "",
    ];

    #[test]
    fn skew_is_counted_in_2x_and_patches_are_zero_of_them() {
        let releases = Releases::embedded();
        for (proxy, control_plane, skew) in [
            ("stable-2.14.10", "stable-2.14.10", Skew::Same),
            (
                "stable-2.14.1",
                "stable-2.14.10",
                Skew::Behind { minors: 0 },
            ),
            ("stable-2.14.10", "stable-2.14.1", Skew::Ahead { minors: 0 }),
            (
                "stable-2.13.7",
                "stable-2.14.10",
                Skew::Behind { minors: 1 },
            ),
            (
                "stable-2.12.6",
                "stable-2.14.10",
                Skew::Behind { minors: 2 },
            ),
            ("stable-2.14.10", "stable-2.13.7", Skew::Ahead { minors: 1 }),
            ("stable-2.14.10", "edge-24.2.4", Skew::Behind { minors: 1 }),
            ("stable-2.14.10", "edge-24.8.2", Skew::Behind { minors: 2 }),
            ("edge-24.4.1", "edge-24.8.1", Skew::Behind { minors: 0 }),
            ("enterprise-2.17.0", "edge-24.11.8", Skew::Same),
            (
                "enterprise-2.17.0",
                "enterprise-2.17.0-1",
                Skew::Behind { minors: 0 },
            ),
            ("dev-undefined", "stable-2.14.10", Skew::Unknown),
            ("stable-2.14.10", "dev-undefined", Skew::Unknown),
            ("dev-undefined", "dev-undefined", Skew::Same),
        ] {
            let (found, _) =
                releases.skew(&Version::of_tag(proxy), &Version::of_tag(control_plane));
            assert_eq!(found, skew, "{proxy} under {control_plane}");
        }
    }

    #[test]
    fn the_other_way_round_is_the_opposite_answer() {
        let releases = Releases::embedded();
        for one in VERSIONS.map(Version::of_tag) {
            for other in VERSIONS.map(Version::of_tag) {
                let opposite = match releases.skew(&other, &one).0 {
                    Skew::Behind { minors } => Skew::Ahead { minors },
                    Skew::Ahead { minors } => Skew::Behind { minors },
                    Skew::Same => Skew::Same,
                    Skew::Unknown => Skew::Unknown,
                };
                assert_eq!(releases.skew(&one, &other).0, opposite, "{one} {other}");
            }
        }
    }

    #[test]
    fn a_guess_is_as_weak_as_its_weaker_side() {
        let releases = Releases::embedded();
        let sure = |one, other| {
            releases
                .skew(&Version::of_tag(one), &Version::of_tag(other))
                .1
        };
        assert_eq!(sure("edge-99.1.1", "edge-25.4.4"), Confidence::Guessed);
        assert_eq!(sure("edge-25.4.4", "preview-25.4.4"), Confidence::Inferred);
        assert_eq!(sure("edge-25.4.4", "stable-2.14.10"), Confidence::Known);
    }
}
