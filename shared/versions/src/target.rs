//! Reads the target version that a person typed. Strict; an error suggests what was probably meant.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::channel::Channel;
use crate::minor::Minor;
use crate::number::three_numbers;
use crate::releases::Releases;
use crate::version::Version;

/// A target: a release, or what means a recommended release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `stable-2.14.10`, `edge-25.4.4`, …
    Release(Version),
    /// `2.16`: the recommended release of this minor version.
    Line(Minor),
    /// `latest`: the recommended release of the newest minor version.
    Latest,
}

const LATEST: &str = "latest";

/// The error for a text that is not a target; [`TargetError::hint`] suggests what may have been
/// meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {problem}")]
pub struct TargetError {
    text: String,
    problem: Problem,
    meant: Option<String>,
}

/// What is wrong with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// `2.14.10`, `v2.14.10`.
    #[error("names no channel (stable, edge, enterprise or preview)")]
    NoChannel,
    /// `latest-2.14.10`, `dev-…`.
    #[error("does not begin with a Linkerd channel (stable, edge, enterprise or preview)")]
    ForeignChannel,
    /// `edge-25.4`, `stable-2.14`.
    #[error("needs three numbers after the channel")]
    NotThreeNumbers,
    /// `edge-25.13.1`, `edge-1.2.3`.
    #[error("has no valid date; write edge-YEAR.MONTH.NUMBER, as in edge-25.4.1")]
    NoDate,
    /// `stable-3.0.0`.
    #[error("is not a Linkerd 2 version")]
    NotTwo,
    /// `Stable-2.14.10`, `edge-25.04.4`, blanks.
    #[error("is not spelled like a Linkerd version")]
    Spelling,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Ok(minor) = text.parse::<Minor>() {
            return Ok(Self::Line(minor));
        }
        if text == LATEST {
            return Ok(Self::Latest);
        }
        let version = Version::of_tag(text);
        if version.is_opaque() {
            Err(TargetError::of(text))
        } else {
            Ok(Self::Release(version))
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release(version) => version.fmt(f),
            Self::Line(minor) => minor.fmt(f),
            Self::Latest => f.write_str(LATEST),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl TargetError ===

impl TargetError {
    /// Returns a target that may have been meant.
    pub fn hint(&self) -> Option<String> {
        self.meant
            .as_ref()
            .map(|meant| format!("did you mean {meant}?"))
    }

    /// Returns what is wrong.
    pub fn problem(&self) -> Problem {
        self.problem
    }

    fn of(text: &str) -> Self {
        let (problem, meant) = problem_of(text);
        Self {
            text: text.to_owned(),
            problem,
            meant,
        }
    }
}

fn problem_of(text: &str) -> (Problem, Option<String>) {
    if text.trim().is_empty() {
        return (Problem::Empty, None);
    }
    if let Some(meant) = respelled(text) {
        return (Problem::Spelling, Some(meant));
    }
    if let Some(meant) = with_channel(text) {
        return (Problem::NoChannel, Some(meant));
    }
    let Some((word, rest)) = text.split_once('-') else {
        return (Problem::NoChannel, None);
    };
    let Some(channel) = Channel::of_word(word) else {
        return (Problem::ForeignChannel, None);
    };
    let numbers = rest.split('-').next().unwrap_or_default();
    match three_numbers(numbers) {
        None => (Problem::NotThreeNumbers, completed(channel, numbers)),
        Some(_) if rest.ends_with('-') => (Problem::Spelling, None),
        Some(_) if channel.is_dated() => (Problem::NoDate, None),
        Some(_) => (Problem::NotTwo, None),
    }
}

/// Fixes blanks, capitals, underscores and leading zeros, and returns the result if it is a good
/// version.
fn respelled(text: &str) -> Option<String> {
    let lower = text.trim().to_lowercase().replace('_', "-");
    let plain: Vec<String> = lower.split('.').map(without_padding).collect();
    let meant = plain.join(".");
    let good = meant != text && meant.parse::<Target>().is_ok();
    good.then_some(meant)
}

fn without_padding(part: &str) -> String {
    let stripped = part.trim_start_matches('0');
    let starts_with_digit = stripped.starts_with(|c: char| c.is_ascii_digit());
    if starts_with_digit {
        stripped.to_owned()
    } else {
        part.to_owned()
    }
}

/// Suggests a channel for `2.14.10`, `v2.14.10` and `v2.14`. There are no stable releases after
/// 2.14 to suggest.
fn with_channel(text: &str) -> Option<String> {
    const LAST_STABLE: u32 = 14;
    let bare = text.trim().trim_start_matches('v');
    if text != bare && bare.parse::<Minor>().is_ok() {
        return Some(bare.to_owned());
    }
    match three_numbers(bare)? {
        [2, minor, _] if minor <= LAST_STABLE => Some(format!("stable-{bare}")),
        [2, minor, _] => Some(format!(
            "enterprise-{bare}, or 2.{minor} for the edge release of that minor version"
        )),
        [_, _, _] => Some(format!("edge-{bare}"))
            .filter(|edge| Version::of_tag(edge).channel() == Some(Channel::Edge)),
    }
}

fn completed(channel: Channel, numbers: &str) -> Option<String> {
    if channel.is_dated() {
        let first = format!("{channel}-{numbers}.1");
        return (!Version::of_tag(&first).is_opaque()).then_some(first);
    }
    numbers.parse::<Minor>().ok().map(|minor| minor.to_string())
}

impl Releases {
    /// Parses a target. An alias in the file counts as the release that it stands for.
    pub fn target(&self, text: &str) -> Result<Target, TargetError> {
        let typed = Version::of_tag(text);
        let release = self.canonical(&typed);
        if release.is_opaque() {
            text.parse()
        } else {
            Ok(Target::Release(release.clone()))
        }
    }

    /// Returns the release that a target means, given the channel that is running.
    ///
    /// Returns `None` if no release of that vendor is recommended.
    pub fn resolve(&self, target: &Target, running: Channel) -> Option<Version> {
        match target {
            Target::Release(version) => Some(version.clone()),
            Target::Line(minor) => self.recommended(*minor, running).cloned(),
            Target::Latest => {
                let mut lines = self.lines().iter().rev();
                let newest = lines.find_map(|line| self.recommended(line.minor(), running));
                newest.cloned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_target_is_named_and_the_right_one_suggested() {
        for (text, problem, meant) in [
            ("", Problem::Empty, None),
            ("  ", Problem::Empty, None),
            ("edge-25.4", Problem::NotThreeNumbers, Some("edge-25.4.1")),
            ("edge-25", Problem::NotThreeNumbers, None),
            ("edge-", Problem::NotThreeNumbers, None),
            ("stable-2.14", Problem::NotThreeNumbers, Some("2.14")),
            ("stable-2.14.x", Problem::NotThreeNumbers, None),
            ("2.14.10", Problem::NoChannel, Some("stable-2.14.10")),
            ("v2.14.10", Problem::NoChannel, Some("stable-2.14.10")),
            ("v2.14", Problem::NoChannel, Some("2.14")),
            (
                "2.16.1",
                Problem::NoChannel,
                Some("enterprise-2.16.1, or 2.16 for the edge release of that minor version"),
            ),
            ("25.4.4", Problem::NoChannel, Some("edge-25.4.4")),
            ("1.4.4", Problem::NoChannel, None),
            ("newest", Problem::NoChannel, None),
            ("Latest", Problem::Spelling, Some("latest")),
            ("dev-1a18ca8f", Problem::ForeignChannel, None),
            ("Stable-2.14.10", Problem::Spelling, Some("stable-2.14.10")),
            ("stable_2.14.10", Problem::Spelling, Some("stable-2.14.10")),
            (" 2.16", Problem::Spelling, Some("2.16")),
            ("edge-25.04.4", Problem::Spelling, Some("edge-25.4.4")),
            ("stable-2.14.10-", Problem::Spelling, None),
            ("edge-25.13.1", Problem::NoDate, None),
            ("edge-1.2.3", Problem::NoDate, None),
            ("stable-3.0.0", Problem::NotTwo, None),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert_eq!(
                (error.problem, error.meant.as_deref()),
                (problem, meant),
                "{text}"
            );
            assert!(
                error.to_string().starts_with(&format!("{text:?} ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_line_resolves_to_its_recommended_release() {
        let releases = Releases::embedded();
        let resolve = |text: &str, channel| {
            let release = releases.resolve(&text.parse().unwrap(), channel);
            release.map(|release| release.to_string())
        };
        assert_eq!(
            resolve("2.16", Channel::Stable).as_deref(),
            Some("edge-24.8.2")
        );
        assert_eq!(
            resolve("2.14", Channel::Stable).as_deref(),
            Some("stable-2.14.10")
        );
        assert_eq!(resolve("2.16", Channel::Enterprise), None);
        for (running, latest) in [
            (Channel::Stable, Some("edge-26.6.3")),
            (Channel::Edge, Some("edge-26.6.3")),
            (Channel::Enterprise, Some("enterprise-2.20.2")),
        ] {
            assert_eq!(resolve("latest", running).as_deref(), latest, "{running}");
        }
        assert_eq!(
            resolve("edge-24.8.3", Channel::Stable).as_deref(),
            Some("edge-24.8.3")
        );
    }
}
