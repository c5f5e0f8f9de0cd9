//! Kubernetes versions in the forms that API servers report.

use std::fmt;

use crate::number::number;

/// A Kubernetes version. A distribution's suffix is kept but ignored in comparisons.
///
/// Only the numbers count: `v1.29.3-eks-1` is not a pre-release of 1.29.3, although semver would
/// read it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesVersion {
    text: String,
    core: semver::Version,
}

/// The Kubernetes versions that a minor version of Linkerd supports (Linkerd docs, "Supported
/// Kubernetes Versions").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// The oldest Kubernetes version. Below it Linkerd refuses to install or gives no support; this
    /// is the stricter of both limits.
    pub min: KubernetesVersion,
    /// The newest Kubernetes version that Linkerd was tested with.
    pub tested: KubernetesVersion,
}

/// Whether a cluster's Kubernetes version is in the supported range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Within the range.
    Fits,
    /// Below the minimum.
    TooOld,
    /// Newer than the tested versions.
    Untested,
}

impl KubernetesVersion {
    /// Reads a `gitVersion` (`v1.34.2`, `v1.29.3-eks-abc`) or a `major.minor` (`1.31+`).
    pub fn of(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('v').unwrap_or(text);
        let end = bare
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(bare.len());
        let mut parts = bare[..end].split('.');
        let major = number(parts.next().filter(|part| !part.is_empty())?)?;
        let minor = number(parts.next().filter(|part| !part.is_empty())?)?;
        let patch = match parts.next() {
            None | Some("") => 0,
            Some(patch) => number(patch)?,
        };
        let core = semver::Version::new(major.into(), minor.into(), patch.into());
        Some(Self {
            text: text.to_owned(),
            core,
        })
    }

    /// Returns the text that was read.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns true if the minor version is below another's; patches are ignored.
    pub fn is_below(&self, other: &Self) -> bool {
        self.line() < other.line()
    }

    /// Returns the major and the minor version.
    pub fn line(&self) -> (u64, u64) {
        (self.core.major, self.core.minor)
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Support {
    /// Compares by minor version (1.X); patches are ignored.
    pub fn fit(&self, server: &KubernetesVersion) -> Fit {
        if server.line() < self.min.line() {
            Fit::TooOld
        } else if server.line() > self.tested.line() {
            Fit::Untested
        } else {
            Fit::Fits
        }
    }

    /// Returns the versions that suit both, or `None` if there are none.
    #[must_use]
    pub fn common(&self, other: &Self) -> Option<Self> {
        let min = if self.min.line() < other.min.line() {
            &other.min
        } else {
            &self.min
        };
        let tested = if self.tested.line() < other.tested.line() {
            &self.tested
        } else {
            &other.tested
        };
        (min.line() <= tested.line()).then(|| Self {
            min: min.clone(),
            tested: tested.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_a_distributions_suffix_are_read() {
        for (text, core) in [
            ("v1.34.2", Some((1, 34, 2))),
            ("v1.29.3-eks-abc", Some((1, 29, 3))),
            ("v1.30.5+k3s1", Some((1, 30, 5))),
            ("v1.31.1-gke.1846000", Some((1, 31, 1))),
            ("1.31+", Some((1, 31, 0))),
            ("1.31", Some((1, 31, 0))),
            ("v1", None),
            ("", None),
            ("v.1", None),
            ("1..2", None),
            ("v1.29.99999999999", None),
            ("one.two", None),
        ] {
            let read = KubernetesVersion::of(text);
            let core = core.map(|(major, minor, patch)| semver::Version::new(major, minor, patch));
            assert_eq!(read.map(|version| version.core), core, "{text}");
        }
    }

    #[test]
    fn a_server_is_compared_by_its_minor_alone() {
        let of = |text| KubernetesVersion::of(text).unwrap();
        let support = Support {
            min: of("1.23"),
            tested: of("1.32"),
        };
        for (server, fit) in [
            ("v1.22.17", Fit::TooOld),
            ("v1.23.0-rc.0", Fit::Fits),
            ("v1.32.9", Fit::Fits),
            ("v1.33.0-eks-1", Fit::Untested),
            ("v2.0.0", Fit::Untested),
        ] {
            assert_eq!(support.fit(&of(server)), fit, "{server}");
        }
    }

    #[test]
    fn what_suits_two_releases_is_between_the_higher_minimum_and_the_lower_maximum() {
        let support = |(min, tested)| Support {
            min: KubernetesVersion::of(min).unwrap(),
            tested: KubernetesVersion::of(tested).unwrap(),
        };
        for (one, other, expected) in [
            (("1.21", "1.28"), ("1.22", "1.29"), Some(("1.22", "1.28"))),
            (("1.22", "1.29"), ("1.22", "1.29"), Some(("1.22", "1.29"))),
            (("1.17", "1.21"), ("1.21", "1.24"), Some(("1.21", "1.21"))),
            (("1.17", "1.20"), ("1.21", "1.24"), None),
        ] {
            let expected = expected.map(support);
            assert_eq!(support(one).common(&support(other)), expected, "{one:?}");
            assert_eq!(support(other).common(&support(one)), expected, "{one:?}");
        }
    }
}
