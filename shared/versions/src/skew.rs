//! How a proxy's version compares with the control plane's.

use std::cmp::Ordering;

use crate::minor::Confidence;
use crate::releases::Releases;
use crate::version::Version;

/// How a proxy's version compares with the control plane's, in minor versions.
///
/// Linkerd's documentation ("Upgrading Linkerd"): the data plane may be one minor version behind,
/// with any patch; more is unsupported, and being ahead is not allowed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// The same release, or a release of the same minor version in another channel, which has no
    /// order with it (such as Buoyant's builds and the open-source ones). [`Version::same_release`]
    /// distinguishes the two cases.
    Same,
    /// The proxy is older; `minors` is 0 if only the patch is older.
    Behind {
        /// The number of minor versions.
        minors: u32,
    },
    /// The proxy is newer; `minors` is 0 if only the patch is newer.
    Ahead {
        /// The number of minor versions.
        minors: u32,
    },
    /// The minor version of one of the two is unknown.
    Unknown,
}

impl Releases {
    /// Compares a proxy with a control plane, and returns also how certain the answer is.
    ///
    /// A release is the same as itself even if its minor version is unknown.
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
    fn skew_counts_minor_versions_and_a_patch_counts_zero() {
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
    fn skew_with_the_two_versions_swapped_is_the_opposite() {
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
    fn the_confidence_is_that_of_the_less_certain_version() {
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
