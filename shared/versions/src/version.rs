//! Versions as they appear in a cluster, and their order.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::channel::Channel;
use crate::minor::Minor;
use crate::number::{number, three_numbers};

/// A Linkerd version. The text that was read is kept.
///
/// Reading never fails: a text that is not a Linkerd version (`dev-…`, `git-…`, any other tag)
/// becomes an *opaque* version, which callers must not treat as "ok".
///
/// There are three comparisons. `==` compares the text (two images differ if their tags do).
/// [`Version::same_release`] and [`Version::order`] ignore the suffix of a rebuild
/// (`stable-2.14.10-acme`), as `linkerd check` does. A hotpatch (`enterprise-2.17.0-1`) is not a
/// rebuild: it comes after the release. A candidate (`-rc2`) comes before it.
#[derive(Clone)]
pub struct Version {
    text: Box<str>,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// `2.X.Y`. Only these three numbers are a semver version; Linkerd's suffixes do not follow
    /// semver.
    Numbered {
        channel: Channel,
        core: semver::Version,
        stage: Stage,
        build: bool,
    },
    Dated {
        channel: Channel,
        date: Date,
        stage: Stage,
        build: bool,
    },
    Opaque,
}

/// Year, month and number of a dated release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Date(u32, u32, u32);

/// The position of a build before or after the release that it is named after; ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Candidate(u32),
    Release,
    Hotpatch(u32),
}

/// The year of the first edge release. A smaller number is not a year, so the text is another tag.
const FIRST_YEAR: u32 = 18;

// === impl Version ===

impl Version {
    /// Reads a version from an image tag, an annotation, a value or a chart's `appVersion`. A digest
    /// after the tag is ignored: it names the same release.
    pub fn of_tag(tag: &str) -> Self {
        let release = tag.split_once('@').map_or(tag, |(release, _)| release);
        Self {
            text: tag.into(),
            form: form_of(release).unwrap_or(Form::Opaque),
        }
    }

    /// Returns the text that was read.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the channel, or `None` for an opaque version.
    pub fn channel(&self) -> Option<Channel> {
        match &self.form {
            Form::Numbered { channel, .. } | Form::Dated { channel, .. } => Some(*channel),
            Form::Opaque => None,
        }
    }

    /// Returns true if the text is not a Linkerd version.
    pub fn is_opaque(&self) -> bool {
        self.form == Form::Opaque
    }

    /// Returns the minor version if the number itself contains it. For a dated release use
    /// [`crate::Releases::minor_of`].
    pub fn numbered_minor(&self) -> Option<Minor> {
        match &self.form {
            Form::Numbered { core, .. } => u32::try_from(core.minor).ok().map(Minor::new),
            Form::Dated { .. } | Form::Opaque => None,
        }
    }

    /// Returns true for a release candidate, a preview, a private build and an opaque version.
    pub fn is_prerelease(&self) -> bool {
        match &self.form {
            Form::Numbered {
                channel,
                stage,
                build,
                ..
            }
            | Form::Dated {
                channel,
                stage,
                build,
                ..
            } => *build || *channel == Channel::Preview || matches!(stage, Stage::Candidate(_)),
            Form::Opaque => true,
        }
    }

    /// Returns true if both are builds of one release, whatever suffix a rebuild added.
    ///
    /// Two opaque versions are the same release if their texts are equal.
    pub fn same_release(&self, other: &Self) -> bool {
        self.text == other.text || self.order(other) == Some(Ordering::Equal)
    }

    /// Returns the order within a channel, or `None` for different channels and for opaque
    /// versions.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (&self.form, &other.form) {
            (
                Form::Numbered {
                    channel,
                    core,
                    stage,
                    ..
                },
                Form::Numbered {
                    channel: other_channel,
                    core: other_core,
                    stage: other_stage,
                    ..
                },
            ) if channel == other_channel => Some((core, stage).cmp(&(other_core, other_stage))),
            (
                Form::Dated {
                    channel,
                    date,
                    stage,
                    ..
                },
                Form::Dated {
                    channel: other_channel,
                    date: other_date,
                    stage: other_stage,
                    ..
                },
            ) if channel == other_channel => Some((date, stage).cmp(&(other_date, other_stage))),
            (Form::Numbered { .. } | Form::Dated { .. } | Form::Opaque, _) => None,
        }
    }

    /// Returns the edge release with the same date, for a dated version; previews are numbered like
    /// edge releases.
    pub fn as_edge(&self) -> Option<Self> {
        match &self.form {
            Form::Dated {
                date: Date(year, month, number),
                ..
            } => Some(Self::of_tag(&format!("edge-{year}.{month}.{number}"))),
            Form::Numbered { .. } | Form::Opaque => None,
        }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.text)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::of_tag(&text))
    }
}

/// Returns true if two texts name builds of one release: see [`Version::same_release`].
pub fn same_release(one: &str, other: &str) -> bool {
    one == other || Version::of_tag(one).same_release(&Version::of_tag(other))
}

fn form_of(tag: &str) -> Option<Form> {
    let (word, rest) = tag.split_once('-')?;
    let channel = Channel::of_word(word)?;
    let (numbers, tail) = match rest.split_once('-') {
        Some((_, "")) => return None,
        Some((numbers, tail)) => (numbers, Some(tail)),
        None => (rest, None),
    };
    let [first, second, third] = three_numbers(numbers)?;
    let (stage, build) = tail.map_or((Stage::Release, false), stage_of);
    if channel.is_dated() {
        let real = (FIRST_YEAR..100).contains(&first) && (1..=12).contains(&second) && third > 0;
        let date = Date(first, second, third);
        real.then_some(Form::Dated {
            channel,
            date,
            stage,
            build,
        })
    } else {
        let core = semver::Version::new(first.into(), second.into(), third.into());
        (first == 2).then_some(Form::Numbered {
            channel,
            core,
            stage,
            build,
        })
    }
}

/// Reads the suffix: a release candidate comes first, a hotpatch is the first number, and the rest
/// names a build.
fn stage_of(tail: &str) -> (Stage, bool) {
    let mut parts = tail.split('-').peekable();
    let candidate = parts
        .peek()
        .and_then(|part| number(part.strip_prefix("rc")?));
    if let Some(candidate) = candidate {
        return (Stage::Candidate(candidate), parts.nth(1).is_some());
    }
    let mut stage = None;
    let mut build = false;
    for part in parts {
        match (stage, number(part)) {
            (None, Some(hotpatch)) => stage = Some(hotpatch),
            (_, _) => build = true,
        }
    }
    // Buoyant writes `-0` for "no hotpatch".
    let stage = stage
        .filter(|hotpatch| *hotpatch > 0)
        .map_or(Stage::Release, Stage::Hotpatch);
    (stage, build)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tag: &str) -> Version {
        Version::of_tag(tag)
    }

    #[test]
    fn every_published_form_has_its_channel() {
        for (tag, channel) in [
            ("stable-2.14.10", Some(Channel::Stable)),
            ("stable-2.12.0-rc2", Some(Channel::Stable)),
            ("stable-2.14.10-acme.7", Some(Channel::Stable)),
            ("enterprise-2.17.0-1", Some(Channel::Enterprise)),
            ("enterprise-2.17.0-fips-1", Some(Channel::Enterprise)),
            ("edge-25.4.4", Some(Channel::Edge)),
            ("preview-25.10.7", Some(Channel::Preview)),
            ("dev-undefined", None),
            ("git-1a18ca8f", None),
            ("v18.7.2", None),
            ("edge-1.2.3", None),
            ("edge-25.13.1", None),
            ("edge-25.04.4", None),
            ("edge-25.4.0", None),
            ("stable-3.0.0", None),
            ("stable-2.14", None),
            ("stable-2.14.10.1", None),
            ("stable-2.14.10-", None),
            ("stable-2.14.99999999999", None),
            ("stable-2.+4.1", None),
            ("stable-2.1\u{664}.1", None),
            ("Stable-2.14.10", None),
            (" stable-2.14.10", None),
            ("latest", None),
            ("", None),
        ] {
            assert_eq!(of(tag).channel(), channel, "{tag}");
            assert_eq!(of(tag).is_opaque(), channel.is_none(), "{tag}");
        }
    }

    #[test]
    fn a_channel_is_ordered_candidate_release_hotpatch() {
        for ascending in [
            [
                "stable-2.9.5",
                "stable-2.12.0-rc2",
                "stable-2.12.0",
                "stable-2.12.1",
            ],
            [
                "stable-2.12.0-rc2",
                "stable-2.12.0-rc10",
                "stable-2.12.0",
                "stable-2.12.0-1",
            ],
            [
                "enterprise-2.17.0",
                "enterprise-2.17.0-1",
                "enterprise-2.17.0-fips-2",
                "enterprise-2.17.1",
            ],
            ["edge-24.2.4", "edge-24.11.8", "edge-25.4.4", "edge-25.10.7"],
        ] {
            for pair in ascending.windows(2) {
                assert_eq!(
                    of(pair[0]).order(&of(pair[1])),
                    Some(Ordering::Less),
                    "{pair:?}"
                );
                assert_eq!(
                    of(pair[1]).order(&of(pair[0])),
                    Some(Ordering::Greater),
                    "{pair:?}"
                );
            }
        }
    }

    #[test]
    fn channels_and_opaque_versions_have_no_order_between_them() {
        for (one, other) in [
            ("stable-2.14.10", "enterprise-2.14.10"),
            ("edge-25.10.7", "preview-25.10.7"),
            ("stable-2.14.10", "edge-24.2.4"),
            ("dev-undefined", "stable-2.14.10"),
            ("dev-undefined", "dev-undefined"),
        ] {
            assert_eq!(of(one).order(&of(other)), None, "{one} {other}");
        }
    }

    #[test]
    fn a_rebuild_is_the_same_release_but_not_equal_and_a_hotpatch_is_another() {
        for (one, other, same) in [
            ("stable-2.14.10", "stable-2.14.10-acme", true),
            ("stable-2.14.10", "stable-2.14.10@sha256:5d1e", true),
            ("edge-25.4.4@sha256:5d1e", "edge-25.4.4@sha256:0f7a", true),
            ("v7", "v7@sha256:5d1e", false),
            ("enterprise-2.17.0", "enterprise-2.17.0-0", true),
            ("enterprise-2.17.0-1", "enterprise-2.17.0-fips-1", true),
            ("enterprise-2.17.0", "enterprise-2.17.0-1", false),
            ("stable-2.12.0", "stable-2.12.0-rc2", false),
            ("dev-undefined", "dev-undefined", true),
            ("dev-undefined", "git-1a18ca8f", false),
        ] {
            assert_eq!(of(one).same_release(&of(other)), same, "{one} {other}");
        }
        assert_ne!(of("stable-2.14.10"), of("stable-2.14.10-acme"));
    }

    #[test]
    fn is_prerelease_holds_for_candidates_previews_and_private_builds() {
        for (tag, is) in [
            ("stable-2.14.10", false),
            ("enterprise-2.17.0-1", false),
            ("edge-25.4.4", false),
            ("stable-2.12.0-rc2", true),
            ("stable-2.14.10-acme", true),
            ("preview-25.10.7", true),
            ("dev-undefined", true),
        ] {
            assert_eq!(of(tag).is_prerelease(), is, "{tag}");
        }
    }

    #[test]
    fn hostile_strings_never_panic_and_keep_their_spelling() {
        const PIECES: [&str; 22] = [
            "stable",
            "edge",
            "enterprise",
            "preview",
            "dev",
            "-",
            "-",
            ".",
            ".",
            "2",
            "2.",
            "0",
            "14",
            "25",
            "18446744073709551616",
            "rc",
            "rc2",
            "é",
            "\u{0}",
            "+",
            "v",
            " ",
        ];
        let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed >> 33).unwrap()
        };
        let mut earlier = of("stable-2.14.10");
        let mut understood = 0;
        for _ in 0..200_000 {
            let length = next() % 12;
            let start = ["", "stable-2.14.", "edge-25.4.", "enterprise-2."][next() % 4];
            let tail: String = (0..length).map(|_| PIECES[next() % PIECES.len()]).collect();
            let text = format!("{start}{tail}");
            let version = of(&text);
            assert_eq!(version.to_string(), text);
            assert_eq!(
                version.order(&earlier).map(Ordering::reverse),
                earlier.order(&version),
                "{version} {earlier}"
            );
            if !version.is_opaque() {
                understood += 1;
                earlier = version;
            }
        }
        assert!(
            understood > 20,
            "the generator no longer reaches real versions: {understood}"
        );
    }
}
