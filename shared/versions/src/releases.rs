//! The facts about Linkerd's releases that change with time.
//!
//! The embedded file was written from Linkerd's documentation: the table of minor versions and
//! their edge releases ("Releases and Versions"), the "Upgrading Linkerd" section of each minor
//! version, "Supported Kubernetes Versions", and the edge release round-ups in the blog (which
//! releases are not recommended). A floor is the first edge release of a minor version. Linkerd
//! publishes no table of the floors before 2.15: they were derived from where each stable branch
//! was cut, and are marked `inferred`.

use std::cmp::Ordering;

use crate::channel::Channel;
use crate::kubernetes::Support;
use crate::minor::{Confidence, Minor, MinorOf};
use crate::note::Note;
use crate::parts::{ReadDefinition, ShippedDefinition};
use crate::schema::FloorSource;
use crate::version::Version;

/// The contents of a releases file.
#[derive(Clone, Debug)]
pub struct Releases {
    pub(crate) lines: Vec<Line>,
    pub(crate) known_until: Version,
    pub(crate) not_recommended: Vec<Version>,
    pub(crate) charts: Vec<Charts>,
    pub(crate) repositories: Vec<Repository>,
    pub(crate) aliases: Vec<(String, Version)>,
    pub(crate) sources: Vec<Source>,
    pub(crate) notes: Vec<Note>,
    pub(crate) sha256: String,
}

/// One minor version.
#[derive(Clone, Debug)]
pub struct Line {
    pub(crate) minor: Minor,
    pub(crate) floor: Version,
    pub(crate) source: FloorSource,
    pub(crate) releases: Vec<Version>,
    pub(crate) recommended: Vec<Version>,
    pub(crate) kubernetes: Support,
    pub(crate) components: Vec<String>,
    pub(crate) definitions: Vec<ShippedDefinition>,
    pub(crate) reads: Vec<ReadDefinition>,
}

/// The versions of the Helm charts of a release, if known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charts {
    /// The release; it is also the `appVersion` of the control plane's chart.
    pub release: Version,
    /// The version of the control plane's chart.
    pub control_plane: Option<String>,
    /// The version of the CRDs' chart. That chart has no `appVersion`.
    pub crds: Option<String>,
}

/// Where a channel's charts are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The channel.
    pub channel: Channel,
    /// The Helm repository's name in the documentation.
    pub name: String,
    /// The repository's URL.
    pub url: String,
    /// The name of the control plane's chart.
    pub control_plane: String,
    /// The name of the CRDs' chart.
    pub crds: String,
}

/// Where facts of the file are from, and until when they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The fields of the file, such as `lines.floor`.
    pub facts: String,
    /// Where they are from.
    pub from: String,
    /// The address of the page, if there is one.
    pub page: Option<String>,
    /// The newest release that was looked at.
    pub known_until: Version,
}

/// Whether the releases file knows a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// The file lists this version.
    Listed,
    /// Only the minor version is known. The file does not list single releases of this channel, so
    /// the release may not exist.
    Line,
    /// The version is well-formed and newer than everything in the file.
    Newer,
    /// The version does not exist, according to the file. The field is a similar version that may
    /// have been meant.
    Unknown(Option<Version>),
}

// === impl Line ===

impl Line {
    /// Returns the minor version.
    pub fn minor(&self) -> Minor {
        self.minor
    }

    /// Returns the numbered releases, oldest first.
    pub fn releases(&self) -> &[Version] {
        &self.releases
    }

    /// Returns the recommended releases, one of each channel.
    pub fn recommended(&self) -> &[Version] {
        &self.recommended
    }

    /// Returns the supported Kubernetes versions.
    pub fn kubernetes(&self) -> &Support {
        &self.kubernetes
    }

    /// Returns the names of the control plane's Deployments.
    pub fn components(&self) -> &[String] {
        &self.components
    }

    /// Returns the definitions that the recommended release brings by default; none if they are not
    /// known.
    pub fn definitions(&self) -> &[ShippedDefinition] {
        &self.definitions
    }

    /// Returns the definitions that the components read, each with the version that they read: of
    /// Linkerd's own the newest, and those of others that they need.
    pub fn reads(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.definitions.iter().filter(|it| it.is_own());
        let own = own.filter_map(|it| Some((it.name.as_str(), it.newest()?)));
        let others = self.reads.iter();
        own.chain(others.map(|it| (it.name.as_str(), it.version.as_str())))
    }
}

// === impl Releases ===

impl Releases {
    /// Returns the SHA-256 of the file's bytes in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Returns the newest edge release in the file. For later releases the minor version is a
    /// guess.
    pub fn known_until(&self) -> &Version {
        &self.known_until
    }

    /// Returns the minor versions, oldest first.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Returns the file's entry for a minor version.
    pub fn line(&self, minor: Minor) -> Option<&Line> {
        self.lines.iter().find(|line| line.minor == minor)
    }

    /// Returns the release that an alias stands for, or else the version itself.
    pub fn canonical<'a>(&'a self, version: &'a Version) -> &'a Version {
        let alias = self.aliases.iter().find(|(tag, _)| tag == version.as_str());
        alias.map_or(version, |(_, release)| release)
    }

    /// Returns the minor version of a version: from its number, or for an edge release from the
    /// newest floor that is not above it.
    ///
    /// Returns `None` for an opaque version without an alias, and for an edge release older than
    /// every floor.
    pub fn minor_of(&self, version: &Version) -> Option<MinorOf> {
        let version = self.canonical(version);
        if let Some(minor) = version.numbered_minor() {
            return Some(MinorOf {
                minor,
                confidence: Confidence::Known,
            });
        }
        let edge = version.as_edge()?;
        let not_above = |line: &&Line| line.floor.order(&edge).is_some_and(Ordering::is_le);
        let line = self.lines.iter().rev().find(not_above)?;
        Some(MinorOf {
            minor: line.minor,
            confidence: self.confidence(line, version, &edge),
        })
    }

    fn confidence(&self, line: &Line, version: &Version, edge: &Version) -> Confidence {
        if self.known_until.order(edge) == Some(Ordering::Less) {
            Confidence::Guessed
        } else if version.channel() == Some(Channel::Edge) && line.source == FloorSource::Table {
            Confidence::Known
        } else {
            Confidence::Inferred
        }
    }

    /// Returns true if Linkerd advises against this release.
    pub fn is_not_recommended(&self, version: &Version) -> bool {
        let version = self.canonical(version);
        self.not_recommended
            .iter()
            .any(|edge| edge.same_release(version))
    }

    /// Returns the recommended release of a minor version in this channel, or else in another
    /// channel of the same vendor.
    pub fn recommended(&self, minor: Minor, channel: Channel) -> Option<&Version> {
        let order: &[Channel] = match channel {
            Channel::Stable | Channel::Edge => &[channel, Channel::Stable, Channel::Edge],
            Channel::Enterprise => &[Channel::Enterprise],
            Channel::Preview => &[Channel::Preview, Channel::Enterprise],
        };
        let line = self.line(minor)?;
        order.iter().find_map(|wanted| {
            line.recommended
                .iter()
                .find(|release| release.channel() == Some(*wanted))
        })
    }

    /// Returns the newest release of a minor version that the file lists in a channel, without
    /// release candidates.
    pub fn latest_patch(&self, minor: Minor, channel: Channel) -> Option<&Version> {
        let releases = &self.line(minor)?.releases;
        let of_channel = |release: &&Version| release.channel() == Some(channel);
        releases
            .iter()
            .rev()
            .filter(of_channel)
            .find(|release| !release.is_prerelease())
    }

    /// Returns whether the file knows a version, and which version may have been meant.
    pub fn known(&self, version: &Version) -> Known {
        let version = self.canonical(version);
        let (Some(channel), Some(of)) = (version.channel(), self.minor_of(version)) else {
            return Known::Unknown(None);
        };
        if of.confidence == Confidence::Guessed {
            return Known::Newer;
        }
        let Some(line) = self.line(of.minor) else {
            let newest = self.lines.last().is_some_and(|last| last.minor < of.minor);
            let published = channel == Channel::Enterprise;
            return if newest && published {
                Known::Newer
            } else {
                Known::Unknown(None)
            };
        };
        if line
            .releases
            .iter()
            .any(|release| release.same_release(version))
        {
            return Known::Listed;
        }
        // No more stable releases will be published, so the file lists all of them; the other
        // channels continue.
        match channel {
            Channel::Stable => Known::Unknown(self.nearest(of.minor, channel).cloned()),
            Channel::Edge | Channel::Enterprise | Channel::Preview => Known::Line,
        }
    }

    fn nearest(&self, minor: Minor, channel: Channel) -> Option<&Version> {
        self.latest_patch(minor, channel)
            .or_else(|| self.recommended(minor, channel))
    }

    /// Returns the chart versions of a release.
    pub fn charts(&self, version: &Version) -> Option<&Charts> {
        let version = self.canonical(version);
        self.charts
            .iter()
            .find(|charts| charts.release.same_release(version))
    }

    /// Returns the releases whose chart versions are known.
    pub fn all_charts(&self) -> impl Iterator<Item = &Charts> {
        self.charts.iter()
    }

    /// Returns where the file's facts are from.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Returns where a channel's charts are published.
    pub fn repository(&self, channel: Channel) -> Option<&Repository> {
        self.repositories
            .iter()
            .find(|repository| repository.channel == channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::EMBEDDED;

    fn releases() -> Releases {
        Releases::embedded()
    }

    fn of(tag: &str) -> Version {
        Version::of_tag(tag)
    }

    #[test]
    fn an_edge_belongs_to_the_minor_version_of_the_newest_floor_not_above_it() {
        use Confidence::{Guessed, Inferred, Known};
        for (tag, expected) in [
            ("stable-2.14.10", Some((14, Known))),
            ("stable-2.12.0-rc2", Some((12, Known))),
            ("enterprise-2.17.0-1", Some((17, Known))),
            ("enterprise-2.99.0", Some((99, Known))),
            ("edge-24.2.4", Some((15, Known))),
            ("edge-24.4.1", Some((15, Known))),
            ("edge-24.8.1", Some((15, Known))),
            ("edge-24.8.2", Some((16, Known))),
            ("edge-24.11.7", Some((16, Known))),
            ("edge-24.11.8", Some((17, Known))),
            ("edge-25.4.3", Some((17, Known))),
            ("edge-25.4.4", Some((18, Known))),
            ("edge-25.10.6", Some((18, Known))),
            ("edge-25.10.7", Some((19, Known))),
            ("edge-26.6.2", Some((19, Known))),
            ("edge-26.6.3", Some((20, Known))),
            ("edge-26.8.3", Some((20, Known))),
            ("edge-26.8.4", Some((20, Guessed))),
            ("edge-31.1.1", Some((20, Guessed))),
            ("preview-25.10.7", Some((19, Inferred))),
            ("preview-31.1.1", Some((20, Guessed))),
            ("edge-24.2.3", Some((14, Inferred))),
            ("edge-23.4.1", Some((13, Inferred))),
            ("edge-21.3.2", Some((10, Inferred))),
            ("edge-21.3.1", None),
            ("dev-undefined", None),
            ("", None),
        ] {
            let found = releases()
                .minor_of(&of(tag))
                .map(|of| (of.minor.number(), of.confidence));
            assert_eq!(found, expected, "{tag}");
        }
    }

    #[test]
    fn known_tells_a_version_that_does_not_exist_from_a_newer_one() {
        let meant = |tag| Known::Unknown(Some(of(tag)));
        for (tag, known) in [
            ("stable-2.14.10", Known::Listed),
            ("stable-2.14.10-acme", Known::Listed),
            ("stable-2.12.0-rc2", Known::Listed),
            ("stable-2.14.11", meant("stable-2.14.10")),
            ("stable-2.15.0", meant("edge-24.2.4")),
            ("stable-2.99.0", Known::Unknown(None)),
            ("stable-2.3.0", Known::Unknown(None)),
            ("edge-25.4.4", Known::Line),
            ("edge-99.4.4", Known::Newer),
            ("edge-18.9.1", Known::Unknown(None)),
            ("enterprise-2.17.0", Known::Line),
            ("enterprise-2.99.0", Known::Newer),
            ("preview-25.10.7", Known::Line),
            ("dev-undefined", Known::Unknown(None)),
        ] {
            assert_eq!(releases().known(&of(tag)), known, "{tag}");
        }
    }

    #[test]
    fn recommended_stays_with_the_vendor_of_the_channel() {
        for (minor, channel, expected) in [
            (14, Channel::Stable, Some("stable-2.14.10")),
            (14, Channel::Edge, Some("stable-2.14.10")),
            (16, Channel::Stable, Some("edge-24.8.2")),
            (16, Channel::Edge, Some("edge-24.8.2")),
            (16, Channel::Enterprise, None),
            (16, Channel::Preview, None),
            (99, Channel::Edge, None),
        ] {
            let releases = releases();
            let found = releases
                .recommended(Minor::new(minor), channel)
                .map(Version::as_str);
            assert_eq!(found, expected, "2.{minor} {channel}");
        }
    }

    #[test]
    fn latest_patch_is_not_a_candidate_and_is_of_the_same_channel() {
        let releases = releases();
        let latest = |minor, channel| {
            releases
                .latest_patch(Minor::new(minor), channel)
                .map(Version::as_str)
        };
        assert_eq!(latest(12, Channel::Stable), Some("stable-2.12.6"));
        assert_eq!(latest(12, Channel::Enterprise), None);
        assert_eq!(latest(18, Channel::Stable), None);
    }

    #[test]
    fn every_line_since_2_11_has_the_same_components() {
        for line in &releases().lines[1..] {
            assert_eq!(line.components(), crate::COMPONENTS, "{}", line.minor());
            assert!(!line.definitions().is_empty(), "{}", line.minor());
        }
    }

    #[test]
    fn the_components_of_each_line_read_the_definitions_of_its_charts_and_those_they_need() {
        let releases = releases();
        let read = |x| {
            releases
                .line(Minor::new(x))
                .unwrap()
                .reads()
                .collect::<Vec<_>>()
        };
        assert_eq!(read(10), []);
        assert_eq!(
            read(11),
            [
                ("serverauthorizations.policy.linkerd.io", "v1beta1"),
                ("servers.policy.linkerd.io", "v1beta1"),
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
    fn only_the_gateway_api_of_2_18_drops_a_version_that_the_line_before_served() {
        let releases = releases();
        for (before, line) in releases.lines().iter().zip(&releases.lines()[1..]) {
            for definition in line.definitions() {
                let mut older = before.definitions().iter();
                let older = older.find(|it| it.name == definition.name);
                let served = older.into_iter().flat_map(|it| &it.served);
                let dropped = served.filter(|it| !definition.served.contains(it));
                let dropped: Vec<&String> = dropped.collect();
                let is_it = line.minor() == Minor::new(18)
                    && definition.name == "httproutes.gateway.networking.k8s.io";
                let expected: &[&str] = if is_it { &["v1alpha2"] } else { &[] };
                assert_eq!(dropped, expected, "{} {}", line.minor(), definition.name);
            }
        }
    }

    #[test]
    fn an_alias_gives_a_stray_tag_its_release() {
        let file = str::from_utf8(EMBEDDED).unwrap();
        let alias = r#""aliases": [{"tag": "acme-7", "release": "stable-2.13.7"}]"#;
        let releases = Releases::parse(file.replace(r#""aliases": []"#, alias).as_bytes()).unwrap();
        let minor = releases.minor_of(&of("acme-7")).map(|of| of.minor.number());
        assert_eq!(minor, Some(13));
        assert_eq!(releases.known(&of("acme-7")), Known::Listed);
        assert_ne!(releases.sha256(), Releases::embedded().sha256());
    }

    #[test]
    fn parse_refuses_a_faulty_file_and_names_the_field() {
        let file = str::from_utf8(EMBEDDED).unwrap();
        for (from, to, named) in [
            ("mesh-releases/1", "mesh-releases/9", "schema: "),
            (
                r#""known_until":"#,
                r#""knwon_until":"#,
                "unknown field `knwon_until`",
            ),
            (
                r#""aliases": []"#,
                r#""aliases": [], "aliases": []"#,
                "duplicate field `aliases`",
            ),
            (r#""aliases": []"#, r#""aliases": {}"#, "invalid type: map"),
            (
                r#""known_until": "edge-26.8.3""#,
                r#""known_until": "edge-25.1.1""#,
                "known_until: ",
            ),
            (
                r#""edge-24.8.2", "source""#,
                r#""edge-24.1.2", "source""#,
                "lines[6].floor.edge: ",
            ),
            (
                r#""edge-24.8.2", "source""#,
                r#""edge-24.8", "source""#,
                "lines[6].floor.edge: ",
            ),
            (r#""line": "2.16""#, r#""line": "2.17""#, "lines[6].line: "),
            (r#""line": "2.16""#, r#""line": "16""#, "lines[6].line: "),
            (
                r#""stable-2.10.1", "#,
                r#""stable-2.10.0", "#,
                "lines[0].releases[1]: ",
            ),
            (
                r#""stable-2.10.1", "#,
                r#""stable-2.11.1", "#,
                "lines[0].releases[1]: ",
            ),
            (
                r#"["edge-24.8.2"]"#,
                r#"["edge-25.8.2"]"#,
                "lines[6].recommended[0]: ",
            ),
            (
                r#"["edge-24.8.2"]"#,
                r#"["edge-24.11.2"]"#,
                "lines[6].recommended[0]: ",
            ),
            (
                r#"["edge-24.8.2"]"#,
                r#"["edge-24.8.2", "edge-24.8.3"]"#,
                "lines[6].recommended[1]: ",
            ),
            (
                r#""min": "1.31""#,
                r#""min": "new""#,
                "lines[10].kubernetes.min: ",
            ),
            (
                r#""min": "1.31""#,
                r#""min": "1.40""#,
                "lines[10].kubernetes.tested: ",
            ),
            (
                r#""edge-24.11.2","#,
                r#""stable-2.11.2","#,
                "not_recommended[0]: ",
            ),
            (
                r#""edge-24.11.2","#,
                r#""edge-24.11.2", "edge-24.11.2","#,
                "not_recommended[1]: ",
            ),
            (
                r#""control_plane": "1.9.8""#,
                r#""control_plane": "x""#,
                "charts[1].control_plane: ",
            ),
            (
                r#""channel": "edge""#,
                r#""channel": "stable""#,
                "repositories[1].channel: ",
            ),
            (
                r#""aliases": []"#,
                r#""aliases": [{"tag": "stable-2.13.7", "release": "stable-2.13.6"}]"#,
                "aliases[0].tag: ",
            ),
            (
                r#""aliases": []"#,
                r#""aliases": [{"tag": "acme", "release": "emca"}]"#,
                "aliases[0].release: ",
            ),
            (
                r#""hop": "2.10-2.11", "name": "ingress"#,
                r#""hop": "2.10-2.12", "name": "ingress"#,
                "notes[1].hop: ",
            ),
            (
                r#""name": "ingress-mode""#,
                r#""name": "Ingress""#,
                "notes[1].name: ",
            ),
            (
                r#""name": "ingress-mode""#,
                r#""name": "controller-removed""#,
                "notes[1].name: ",
            ),
            (
                r#""since": "edge-24.6.2""#,
                r#""since": "stable-2.16.0""#,
                ".since: ",
            ),
            (
                r#""when": {"used": "ingress_mode"}"#,
                r#""when": {"uses": "ingress_mode"}"#,
                "unknown variant `uses`",
            ),
            (
                r#""when": {"used": "ingress_mode"}"#,
                r#""when": {"any": []}"#,
                "notes[1].when.any: ",
            ),
            (
                r#"{"kubernetes_below": "1.25"}"#,
                r#"{"kubernetes_below": "new"}"#,
                "notes[5].when.all[0].kubernetes_below: ",
            ),
            (
                r#""act": "Delete it"#,
                r#""act": "", "actt": "Delete it"#,
                "unknown field `actt`",
            ),
            (
                r#""page": "https://linkerd.io/2.11/"#,
                r#""page": "linkerd.io/2.11/"#,
                "notes[0].page: ",
            ),
            (
                r#"["v1alpha1", "v1alpha2"], "storage": "v1alpha2""#,
                r#"["v1alpha1", "v1alpha2"], "storage": "v1""#,
                "lines[1].definitions[2].storage: ",
            ),
            (
                r#""facts": "known_until""#,
                r#""facts": "lines.floor""#,
                "sources[1].facts: ",
            ),
        ] {
            assert!(file.contains(from), "the fault {from} no longer applies");
            let error = Releases::parse(file.replacen(from, to, 1).as_bytes()).unwrap_err();
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let text = format!("{error} {}", source.unwrap_or_default());
            let lineless = text.split(" (line ").collect::<Vec<_>>();
            let lineless = match lineless[..] {
                [field, rest] => format!("{field}{}", &rest[rest.find(')').unwrap() + 1..]),
                _ => text.clone(),
            };
            assert!(lineless.contains(named), "{to}: {text}");
            assert!(text.contains(" line ") || text.contains("(line "), "{text}");
        }
    }

    #[test]
    fn parse_refuses_a_file_cut_off_anywhere() {
        // Not each byte: the file is long, and its lines are alike.
        for end in (0..EMBEDDED.trim_ascii_end().len()).step_by(31) {
            assert!(Releases::parse(&EMBEDDED[..end]).is_err(), "cut at {end}");
        }
    }
}
