//! Waivers: findings that somebody answers for, each with a reason, a name and an end.

use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use mesh_records::{Explained, Rule, Stream};
use serde::Deserialize;

use crate::rule::is_mandatory;

/// A line of a waivers file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    /// Which workloads, as `NAMESPACE/NAME` with `*` for any text without a slash; all if absent.
    workloads: Option<String>,
    /// The label or uid of the only cluster that it is for.
    cluster: Option<String>,
    reason: String,
    who: String,
    /// A date, which ends at its beginning in UTC, or a time.
    expires: String,
}

/// One finding that somebody answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiver {
    /// Its line in the file, which names it.
    pub(crate) line: usize,
    pub(crate) rule: Rule,
    workloads: Option<String>,
    cluster: Option<String>,
    reason: String,
    who: String,
    pub(crate) expires: Timestamp,
}

/// All waivers of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waivers(Vec<Waiver>);

/// The waivers for one survey, apart by whether they had expired when it was taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct InForce<'a> {
    valid: Vec<&'a Waiver>,
    pub(crate) expired: Vec<&'a Waiver>,
}

// === impl Waivers ===

impl Waivers {
    /// Reads a file of waivers, one JSON object per line.
    ///
    /// # Errors
    /// A line is no waiver, or waives what cannot be waived. The error names the line.
    pub(crate) fn parse(text: &str) -> Result<Self, Explained> {
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.trim().is_empty());
        let waivers = lines.map(|(index, line)| waiver(index + 1, line));
        Ok(Self(waivers.collect::<Result<_, _>>()?))
    }

    /// Returns the waivers for a survey's cluster, judged at the survey's time. Without a time it is
    /// not known whether a waiver still counts, so none does.
    pub(crate) fn at(&self, stream: &Stream) -> InForce<'_> {
        let names = [stream.cluster.as_deref(), stream.cluster_uid.as_deref()];
        let is_here = |it: &&Waiver| it.cluster.is_none() || names.contains(&it.cluster.as_deref());
        let here = self.0.iter().filter(is_here);
        let (valid, expired) =
            here.partition(|it| stream.time.is_some_and(|time| time < it.expires));
        InForce { valid, expired }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiver> {
        self.0.iter()
    }
}

// === impl InForce ===

impl<'a> InForce<'a> {
    /// Returns the waiver for a rule that the control plane breaks.
    pub(crate) fn of_plane(&self, rule: Rule) -> Option<&'a Waiver> {
        let mut of_rule = self.valid.iter().filter(|it| it.rule == rule);
        of_rule.find(|it| it.workloads.is_none()).copied()
    }

    /// Returns the waiver for a rule that a workload breaks.
    pub(crate) fn of_workload(
        &self,
        rule: Rule,
        namespace: &str,
        name: &str,
    ) -> Option<&'a Waiver> {
        let mut of_rule = self.valid.iter().filter(|it| it.rule == rule);
        of_rule.find(|it| it.covers(namespace, name)).copied()
    }

    /// Returns the waiver at a line of the file.
    pub(crate) fn at_line(&self, line: usize) -> Option<&'a Waiver> {
        self.valid.iter().find(|it| it.line == line).copied()
    }
}

// === impl Waiver ===

impl Waiver {
    /// Returns who answers for it, why and until when.
    pub(crate) fn said(&self) -> String {
        let Self {
            reason,
            who,
            expires,
            ..
        } = self;
        format!("{reason} ({who}, until {expires})")
    }

    /// Returns what it is for, as in the file.
    pub(crate) fn named(&self) -> String {
        let Self {
            rule, workloads, ..
        } = self;
        match workloads {
            Some(workloads) => format!("{} of {workloads}", rule.as_str()),
            None => rule.as_str().to_owned(),
        }
    }

    fn covers(&self, namespace: &str, name: &str) -> bool {
        let Some(pattern) = &self.workloads else {
            return true;
        };
        let (of_namespace, of_name) = pattern.split_once('/').unwrap_or(("*", pattern));
        matches(of_namespace, namespace) && matches(of_name, name)
    }
}

fn waiver(line: usize, text: &str) -> Result<Waiver, Explained> {
    const FIELDS: &str = "a waiver is one JSON object per line with id, reason, who, expires, and if \
                          wanted workloads (NAMESPACE/NAME, with * for any text) and cluster";
    let wrong = |cause: String, hint: &str| Explained::new(format!("line {line}: {cause}"), hint);
    let Line {
        id,
        workloads,
        cluster,
        reason,
        who,
        expires,
    } = serde_json::from_str(text).map_err(|error| wrong(error.to_string(), FIELDS))?;
    let Some(rule) = Rule::named(&id) else {
        let hint = "mesh-skewcheck --list-rules lists the rules";
        return Err(wrong(format!("no rule has the name `{id}`"), hint));
    };
    let is_about_waivers = matches!(rule, Rule::WaiverUnused | Rule::WaiverExpired);
    if is_mandatory(rule) || is_about_waivers {
        let hint = "take the line out of the file and fix the problem that the finding describes";
        return Err(wrong(
            format!("`{id}` is mandatory: it cannot be waived"),
            hint,
        ));
    }
    for (field, value) in [("reason", &reason), ("who", &who)] {
        if value.trim().is_empty() {
            return Err(wrong(format!("{field}: the text is empty"), FIELDS));
        }
    }
    let is_pattern =
        |it: &String| it.split('/').count() == 2 && it.split('/').all(|it| !it.is_empty());
    if workloads.as_ref().is_some_and(|it| !is_pattern(it)) {
        return Err(wrong(
            "workloads: not of the form NAMESPACE/NAME".to_owned(),
            FIELDS,
        ));
    }
    let Some(expires) = time(&expires) else {
        let cause = format!("expires: `{expires}` is neither a date nor a time");
        return Err(wrong(
            cause,
            "write it as 2026-09-01 or 2026-09-01T08:00:00Z",
        ));
    };
    Ok(Waiver {
        line,
        rule,
        workloads,
        cluster,
        reason,
        who,
        expires,
    })
}

fn time(text: &str) -> Option<Timestamp> {
    let date = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok();
    let is_date = text.len() == "2026-09-01".len();
    match is_date {
        true => date().map(|it| it.timestamp()),
        false => text.parse().ok(),
    }
}

/// Returns true if a pattern, in which `*` stands for any text, is the whole of `text`.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(found) => left = &left[found + part.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("web", "web", true),
            ("web", "webs", false),
            ("*", "", true),
            ("*", "web", true),
            ("web-*", "web-1", true),
            ("web-*", "web", false),
            ("*-web", "my-web", true),
            ("*-web", "my-web-2", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*bb*b", "abb", false),
            ("a*a", "a", false),
            ("é*", "été", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_wrong_line_is_refused_with_its_number_and_its_field() {
        let right = r#"{"id":"proxy-too-old","workloads":"shop/web-*","reason":"r","who":"w","expires":"2026-09-01"}"#;
        let all = Waivers::parse(&format!("\n{right}\n\n{right}\n")).unwrap();
        let lines: Vec<usize> = all.iter().map(|it| it.line).collect();
        assert_eq!(lines, [2, 4]);
        let end = all.iter().next().unwrap().expires.to_string();
        assert_eq!(end, "2026-09-01T00:00:00Z");
        for (from, to, cause) in [
            (
                "proxy-too-old",
                "proxy-to-old",
                "no rule has the name `proxy-to-old`",
            ),
            (
                "proxy-too-old",
                "downgrade",
                "`downgrade` is mandatory: it cannot be waived",
            ),
            ("proxy-too-old", "waiver-unused", "cannot be waived"),
            ("\"r\"", "\" \"", "reason: the text is empty"),
            ("\"w\"", "\"\"", "who: the text is empty"),
            (
                "shop/web-*",
                "web-*",
                "workloads: not of the form NAMESPACE/NAME",
            ),
            (
                "shop/web-*",
                "/web",
                "workloads: not of the form NAMESPACE/NAME",
            ),
            (
                "2026-09-01",
                "soon",
                "expires: `soon` is neither a date nor a time",
            ),
            ("2026-09-01", "2026-13-01", "expires: `2026-13-01`"),
            ("\"who\"", "\"by\"", "unknown field `by`"),
            ("\"who\":\"w\",", "", "missing field `who`"),
            ("}", "", "EOF"),
        ] {
            let file = format!("{right}\n{}", right.replacen(from, to, 1));
            let error = Waivers::parse(&file).unwrap_err();
            let text = error.to_string();
            assert!(
                text.starts_with("line 2: ") && text.contains(cause),
                "{text}"
            );
            assert!(!error.hint().is_empty());
        }
    }
}
