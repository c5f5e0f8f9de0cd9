//! The custom resource definitions of each minor version.
//!
//! Source: the templates of Linkerd's chart `linkerd-crds` (up to 2.11 of its one chart) at the
//! release that each minor version begins with, and for the Gateway API the documentation page
//! "Gateway API support".

use crate::minor::Minor;

/// A custom resource definition that Linkerd reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// `plural.group`.
    pub name: &'static str,
    ships: Span,
    reads: Span,
    versions: &'static [(&'static str, Span)],
}

/// Minor versions from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(u32, u32);

const LAST: u32 = u32::MAX;

const ALL: [Definition; 12] = [
    own(
        "servers.policy.linkerd.io",
        11,
        &[
            ("v1alpha1", Span(11, LAST)),
            ("v1beta1", Span(11, LAST)),
            ("v1beta2", Span(15, LAST)),
            ("v1beta3", Span(16, LAST)),
        ],
    ),
    own(
        "serverauthorizations.policy.linkerd.io",
        11,
        &[("v1alpha1", Span(11, LAST)), ("v1beta1", Span(11, LAST))],
    ),
    own(
        "serviceprofiles.linkerd.io",
        11,
        &[("v1alpha1", Span(11, LAST)), ("v1alpha2", Span(11, LAST))],
    ),
    own("authorizationpolicies.policy.linkerd.io", 12, ALPHA),
    own("meshtlsauthentications.policy.linkerd.io", 12, ALPHA),
    own("networkauthentications.policy.linkerd.io", 12, ALPHA),
    own(
        "httproutes.policy.linkerd.io",
        12,
        &[
            ("v1alpha1", Span(12, LAST)),
            ("v1beta1", Span(12, LAST)),
            ("v1beta2", Span(13, LAST)),
            ("v1beta3", Span(14, LAST)),
        ],
    ),
    own(
        "externalworkloads.workload.linkerd.io",
        15,
        &[("v1alpha1", Span(15, LAST)), ("v1beta1", Span(15, LAST))],
    ),
    own("egressnetworks.policy.linkerd.io", 17, ALPHA),
    own("httplocalratelimitpolicies.policy.linkerd.io", 17, ALPHA),
    // Linkerd brings the Gateway API's definitions only where it owns them already, by default up to
    // 2.18, and cannot work without them since then.
    Definition {
        name: "httproutes.gateway.networking.k8s.io",
        ships: Span(14, 18),
        reads: Span(18, LAST),
        versions: &[
            ("v1alpha2", Span(14, 17)),
            ("v1beta1", Span(14, LAST)),
            ("v1", Span(18, LAST)),
        ],
    },
    Definition {
        name: "grpcroutes.gateway.networking.k8s.io",
        ships: Span(16, 18),
        reads: Span(18, LAST),
        versions: &[("v1alpha2", Span(16, LAST)), ("v1", Span(18, LAST))],
    },
];

const ALPHA: &[(&str, Span)] = &[("v1alpha1", Span(12, LAST))];

const fn own(
    name: &'static str,
    since: u32,
    versions: &'static [(&'static str, Span)],
) -> Definition {
    let always = Span(since, LAST);
    Definition {
        name,
        ships: always,
        reads: always,
        versions,
    }
}

impl Definition {
    /// Returns the definitions that the components of a minor version read, each with the newest
    /// version, which they read.
    pub fn read_by(minor: Minor) -> impl Iterator<Item = (&'static str, &'static str)> {
        let read = ALL.iter().filter(move |it| it.reads.has(minor));
        read.filter_map(move |it| Some((it.name, it.versions(minor).last()?)))
    }

    /// Returns the definitions that the charts of a minor version write.
    pub fn shipped_by(minor: Minor) -> impl Iterator<Item = &'static Self> {
        ALL.iter().filter(move |it| it.ships.has(minor))
    }

    /// Returns true for a definition of the Gateway API, which Linkerd may own or not.
    #[must_use]
    pub fn is_of_gateway_api(&self) -> bool {
        self.name.ends_with(".gateway.networking.k8s.io")
    }

    /// Returns the versions that the definition has in a minor version, the newest last.
    pub fn versions(&self, minor: Minor) -> impl Iterator<Item = &'static str> {
        let versions = self
            .versions
            .iter()
            .filter(move |(_, span)| span.has(minor));
        versions.map(|(version, _)| *version)
    }
}

impl Span {
    fn has(self, minor: Minor) -> bool {
        self.0 <= minor.number() && minor.number() <= self.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_minor_version_reads_the_definitions_of_its_charts() {
        let read = |x| Definition::read_by(Minor::new(x)).collect::<Vec<_>>();
        assert_eq!(read(10), []);
        assert_eq!(
            read(11),
            [
                ("servers.policy.linkerd.io", "v1beta1"),
                ("serverauthorizations.policy.linkerd.io", "v1beta1"),
                ("serviceprofiles.linkerd.io", "v1alpha2"),
            ]
        );
        for (x, count, newest) in [
            (12, 7, ("httproutes.policy.linkerd.io", "v1beta1")),
            (13, 7, ("httproutes.policy.linkerd.io", "v1beta2")),
            (14, 7, ("httproutes.policy.linkerd.io", "v1beta3")),
            (15, 8, ("servers.policy.linkerd.io", "v1beta2")),
            (16, 8, ("servers.policy.linkerd.io", "v1beta3")),
            (17, 10, ("egressnetworks.policy.linkerd.io", "v1alpha1")),
            (18, 12, ("grpcroutes.gateway.networking.k8s.io", "v1")),
            (20, 12, ("httproutes.gateway.networking.k8s.io", "v1")),
        ] {
            let read = read(x);
            assert_eq!(read.len(), count, "2.{x}");
            assert!(read.contains(&newest), "2.{x}: {read:?}");
        }
    }

    #[test]
    fn only_the_gateway_api_of_2_18_drops_a_version() {
        for x in 11..30 {
            let (minor, next) = (Minor::new(x), Minor::new(x).next());
            for definition in Definition::shipped_by(next) {
                let kept: Vec<_> = definition.versions(next).collect();
                let dropped = definition.versions(minor).filter(|it| !kept.contains(it));
                let dropped: Vec<_> = dropped.collect();
                let is_it = x == 17 && definition.name.starts_with("httproutes.gateway");
                assert_eq!(
                    dropped,
                    if is_it { vec!["v1alpha2"] } else { vec![] },
                    "2.{x}"
                );
                assert!(!is_it || definition.is_of_gateway_api());
            }
        }
    }
}
