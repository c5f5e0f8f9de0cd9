//! The facts about Linkerd's versions that the stand-ins need.

/// The first edge release of each minor version that has only edge releases.
const EDGE_FLOORS: [((u32, u32, u32), u32); 6] = [
    ((24, 2, 4), 15),
    ((24, 8, 2), 16),
    ((24, 11, 8), 17),
    ((25, 4, 4), 18),
    ((25, 10, 7), 19),
    ((26, 6, 3), 20),
];

/// Chart versions that cannot be computed from the release: control plane, CRDs.
const STABLE_CHARTS: [(&str, &str, &str); 7] = [
    ("stable-2.12.0", "1.9.0", "1.4.0"),
    ("stable-2.12.6", "1.9.8", "1.4.0"),
    ("stable-2.13.0", "1.12.0", "1.6.0"),
    ("stable-2.13.7", "1.12.7", "1.6.1"),
    ("stable-2.14.0", "1.15.0", "1.8.0"),
    ("stable-2.14.5", "1.16.6", "1.8.0"),
    ("stable-2.14.10", "1.16.11", "1.8.0"),
];

/// A Linkerd version with the X of its 2.X.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) version: String,
    pub(crate) minor: u32,
    patch: Option<u32>,
}

impl Release {
    /// Parses a release; returns `None` if its minor version is unknown.
    pub(crate) fn parse(version: &str) -> Option<Self> {
        let (channel, numbers) = version.split_once('-')?;
        let numbers = numbers.split('-').next()?;
        let numbers: Vec<u32> = numbers
            .split('.')
            .map(|n| n.parse().ok())
            .collect::<Option<_>>()?;
        let &[major, minor, patch] = &numbers[..] else {
            return None;
        };
        let (minor, patch) = match channel {
            "edge" | "preview" => (edge_minor((major, minor, patch))?, None),
            _ if major == 2 => (minor, Some(patch)),
            _ => return None,
        };
        Some(Self {
            version: version.to_owned(),
            minor,
            patch,
        })
    }

    /// Returns the versions of the control plane's chart and of the CRDs' chart.
    pub(crate) fn charts(&self) -> (String, String) {
        let known = STABLE_CHARTS
            .iter()
            .find(|(version, ..)| *version == self.version);
        if let Some((_, control_plane, crds)) = known {
            return ((*control_plane).to_owned(), (*crds).to_owned());
        }
        let same = match (self.version.strip_prefix("edge-"), self.patch) {
            (Some(edge), _) => format!("20{edge}"),
            (None, Some(patch)) => format!(
                "{}.{}.{patch}",
                if self.minor < 15 { 1 } else { 2 },
                self.minor
            ),
            (None, None) => format!("2.{}.0", self.minor),
        };
        (same.clone(), same)
    }

    pub(crate) fn kubernetes_range(&self) -> &'static str {
        match self.minor {
            0..=14 => ">=1.21.0-0",
            15..=17 => ">=1.22.0-0",
            18..=19 => ">=1.23.0-0",
            20.. => ">=1.31.0-0",
        }
    }

    /// Returns true if an upgrade without a new image still restarts the components.
    pub(crate) fn restarts_on_new_certificates(&self) -> bool {
        match (self.minor, self.patch) {
            (12 | 13, _) => false,
            (14, patch) => patch.is_some_and(|patch| patch >= 5),
            _ => true,
        }
    }
}

fn edge_minor(edge: (u32, u32, u32)) -> Option<u32> {
    EDGE_FLOORS
        .iter()
        .rev()
        .find(|(floor, _)| *floor <= edge)
        .map(|(_, minor)| *minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_belongs_to_a_line() {
        for (version, minor) in [
            ("stable-2.13.7", Some(13)),
            ("enterprise-2.17.0-1", Some(17)),
            ("edge-24.2.3", None),
            ("edge-24.8.1", Some(15)),
            ("edge-25.4.4", Some(18)),
            ("edge-26.8.3", Some(20)),
            ("dev-undefined", None),
            ("2.14.10", None),
        ] {
            assert_eq!(
                Release::parse(version).map(|release| release.minor),
                minor,
                "{version}"
            );
        }
    }

    #[test]
    fn charts_have_the_published_versions() {
        for (version, control_plane, crds) in [
            ("stable-2.13.7", "1.12.7", "1.6.1"),
            ("stable-2.14.10", "1.16.11", "1.8.0"),
            ("edge-24.8.2", "2024.8.2", "2024.8.2"),
            ("enterprise-2.17.0-1", "2.17.0", "2.17.0"),
        ] {
            let charts = Release::parse(version).unwrap().charts();
            assert_eq!(
                charts,
                (control_plane.to_owned(), crds.to_owned()),
                "{version}"
            );
        }
    }
}
