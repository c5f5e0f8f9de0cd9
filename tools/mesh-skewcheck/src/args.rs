//! The command line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use jiff::Timestamp;
use mesh_cli::{EXIT_CODES, Format, OutputArgs};
use mesh_records::{Ask, Explain as _, Explained, Rule, Severity, parse_duration};
use mesh_versions::{Releases, Target};

use crate::about;
use crate::acknowledged::{Acknowledged, PREFIX};
use crate::drive::Demands;
use crate::fresh::Freshness;
use crate::question::{Jobs, Question};
use crate::rule::is_mandatory;
use crate::waiver::Waivers;

/// Check whether the proxies of a Linkerd mesh are within the supported version skew
///
/// Reads the records of mesh-survey from standard input. Writes them again with the skew of each
/// workload, and adds findings, the upgrade path and a verdict. Uses no cluster and no clock: the
/// same input gives the same output.
#[derive(Debug, Parser)]
#[command(name = "mesh-skewcheck", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The question to answer; the default is `upgrade` with --to and `drift` without it
    #[arg(long, value_enum, value_name = "QUESTION")]
    ask: Option<AskArg>,
    /// The target: a release such as stable-2.14.10; a minor version such as 2.16, which means its
    /// recommended release; or latest, the recommended release of the newest minor version
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Require each of these clusters (labels or uids); refuse the input if one is missing
    #[arg(long, value_name = "CLUSTER", value_delimiter = ',')]
    expect: Vec<String>,
    /// Accept a survey of only a part of the cluster; the verdict then says `partial`, and
    /// mesh-cp-upgrade refuses it
    #[arg(long)]
    partial: bool,
    /// Whether a running Job blocks an upgrade if its proxy is too old for the target
    #[arg(long, value_enum, value_name = "POLICY", default_value = "hold")]
    jobs: Jobs,
    /// Accept a finding that you have checked yourself: newer-than-known, certificate-unreadable, or an
    /// upgrade note as its hint names it (note:HOP/NAME@DIGEST)
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    ack: Vec<String>,
    /// Accept the findings of this file: one JSON object per line with id, reason, who, expires, and
    /// if wanted workloads (NAMESPACE/NAME, * for any text) and cluster
    #[arg(long, value_name = "FILE")]
    waivers: Option<PathBuf>,
    /// The mildest severity that makes the answer a no
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "error")]
    fail_on: FailOn,
    /// How many minor versions a proxy may be behind: 1, or 0 to allow none
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(..=1))]
    max_behind: u32,
    /// Count a certificate that expires within this time as an error
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    cert_horizon: Option<Duration>,
    /// Require that all control planes of the input run one release
    #[arg(long)]
    same_version: bool,
    /// Print the upgrade notes on the way to the target, as a page to read and sign off, instead of
    /// the records; it has one form, whatever --output says
    #[arg(long, requires = "to")]
    pub(crate) notes: bool,
    /// Read the known Linkerd releases from this file instead of the built-in list
    #[arg(long, value_name = "FILE")]
    releases: Option<PathBuf>,
    /// Refuse a survey that is older than this at the time --now
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "now")]
    max_age: Option<Duration>,
    /// The time now, for --max-age (RFC 3339)
    #[arg(long, value_name = "TIME", requires = "max_age")]
    now: Option<Timestamp>,
    /// Explain a rule: what it means, why it matters, what to do. Reads no records
    #[arg(long, value_name = "ID", conflicts_with = "list_rules")]
    explain: Option<String>,
    /// List all rules with their severity for each question. Reads no records
    #[arg(long)]
    list_rules: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The findings that `--ack` accepts: a person can check them and nothing else could decide them.
const ACKNOWLEDGED: [Rule; 2] = [Rule::NewerThanKnown, Rule::CertificateUnreadable];

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Info,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AskArg {
    /// May the control plane be upgraded to the target now?
    Upgrade,
    /// Is every proxy's version close enough to the running control plane?
    Drift,
    /// Is it safe to restart workloads now?
    Roll,
    /// Is the upgrade to the target finished?
    Done,
}

impl Args {
    /// Returns the question, and the checks of the whole input. Reads the releases file if one is
    /// named.
    pub(crate) fn question(&self) -> Result<(Question, Demands)> {
        let releases = self.releases()?;
        let ask = self.asked()?;
        let to = self
            .to
            .as_deref()
            .map(|text| target(text, &releases))
            .transpose()?;
        let freshness = self.max_age.zip(self.now);
        let freshness = freshness.map(|(max_age, now)| Freshness { max_age, now });
        let question = Question {
            ask,
            to,
            partial: self.partial,
            jobs: self.jobs,
            acknowledged: self.acknowledged()?,
            waivers: self.waivers()?,
            fail_on: match self.fail_on {
                FailOn::Error => Severity::Error,
                FailOn::Warning => Severity::Warning,
                FailOn::Info => Severity::Info,
            },
            max_behind: self.max_behind,
            cert_horizon: self.cert_horizon,
            same_version: self.same_version,
            notes: self.acknowledged_notes(&releases)?,
            waivers_file: self.waivers.as_ref().map(|it| it.display().to_string()),
            releases_file: self.releases.as_ref().map(|it| it.display().to_string()),
            thresholds: self.thresholds(),
            releases,
        };
        Ok((
            question,
            Demands {
                expected: self.expect.clone(),
                freshness,
            },
        ))
    }

    /// Returns what is shown instead of judging records, if that was asked for.
    pub(crate) fn shown(&self) -> Result<Option<String>> {
        match (&self.explain, self.list_rules, self.output.format()) {
            (Some(id), _, _) => Ok(Some(about::explain(id)?)),
            (None, true, Format::Ndjson) => Ok(Some(about::lines()?)),
            (None, true, Format::Table | Format::Wide | Format::Name | Format::Github) => {
                Ok(Some(about::table()))
            }
            (None, false, _) => Ok(None),
        }
    }

    fn asked(&self) -> Result<Ask, Explained> {
        let ask = match (self.ask, &self.to) {
            (None, None) => return Ok(Ask::Drift),
            (None, Some(_)) => return Ok(Ask::Upgrade),
            (Some(AskArg::Upgrade), _) => Ask::Upgrade,
            (Some(AskArg::Drift), _) => Ask::Drift,
            (Some(AskArg::Roll), _) => Ask::Roll,
            (Some(AskArg::Done), _) => Ask::Done,
        };
        match (ask, &self.to) {
            (Ask::Drift | Ask::Roll | Ask::Done, _) if self.notes => Err(Explained::new(
                format!("`--notes` is about an upgrade, not `--ask {ask}`"),
                "leave out --ask",
            )),
            (Ask::Upgrade | Ask::Done, None) => {
                let what = format!("`--ask {ask}` needs a target");
                Err(Explained::new(
                    what,
                    format!("name the target: --ask {ask} --to stable-2.14.10"),
                ))
            }
            (Ask::Drift | Ask::Roll, Some(_)) => {
                let what = format!("`--ask {ask}` checks the running versions and takes no `--to`");
                Err(Explained::new(
                    what,
                    "leave out --to, or use --ask upgrade or --ask done",
                ))
            }
            (Ask::Upgrade | Ask::Done, Some(_)) | (Ask::Drift | Ask::Roll, None) => Ok(ask),
        }
    }

    fn releases(&self) -> Result<Releases> {
        let Some(path) = &self.releases else {
            return Ok(Releases::embedded());
        };
        let what = || format!("cannot use the releases file `{}`", path.display());
        let built_in = "leave out --releases to use the built-in list";
        let bytes = std::fs::read(path).explain(what(), built_in)?;
        Releases::parse(&bytes).with_context(what)
    }

    fn waivers(&self) -> Result<Waivers, anyhow::Error> {
        let Some(path) = &self.waivers else {
            return Ok(Waivers::default());
        };
        let what = || format!("cannot use the waivers file `{}`", path.display());
        let text = std::fs::read_to_string(path);
        let text = text.explain(
            what(),
            "name a file that you can read, or leave out --waivers",
        )?;
        Waivers::parse(&text).with_context(what)
    }

    fn acknowledged(&self) -> Result<Vec<Rule>, Explained> {
        let rule = |id: &String| match Rule::named(id) {
            Some(rule) if ACKNOWLEDGED.contains(&rule) => Ok(rule),
            Some(rule) if is_mandatory(rule) => {
                let what = format!("`{id}` is mandatory: --ack cannot accept it");
                Err(Explained::new(
                    what,
                    "leave out --ack and fix the problem that the finding describes",
                ))
            }
            Some(_) => {
                let what = format!("--ack does not accept `{id}`");
                Err(Explained::new(
                    what,
                    "give a reason and an end for it in a file: --waivers FILE",
                ))
            }
            None => Err(Explained::new(
                format!("no rule has the name `{id}`"),
                "--ack accepts newer-than-known and certificate-unreadable",
            )),
        };
        let rules = self.ack.iter().filter(|id| !id.starts_with(PREFIX));
        rules.map(rule).collect()
    }

    fn acknowledged_notes(&self, releases: &Releases) -> Result<Vec<Acknowledged>, Explained> {
        let notes = self
            .ack
            .iter()
            .filter_map(|text| Acknowledged::of(text, releases));
        notes.collect()
    }

    fn thresholds(&self) -> BTreeMap<String, String> {
        let jobs = match self.jobs {
            Jobs::Hold => None,
            Jobs::Ignore => Some("ignore".to_owned()),
        };
        let fail_on = match self.fail_on {
            FailOn::Error => None,
            FailOn::Warning => Some("warning".to_owned()),
            FailOn::Info => Some("info".to_owned()),
        };
        let list = |items: &[String]| (!items.is_empty()).then(|| items.join(","));
        [
            ("partial", self.partial.then(|| "true".to_owned())),
            ("jobs", jobs),
            ("ack", list(&self.ack)),
            ("expect", list(&self.expect)),
            ("fail_on", fail_on),
            (
                "max_behind",
                (self.max_behind < 1).then(|| self.max_behind.to_string()),
            ),
            (
                "cert_horizon",
                self.cert_horizon.map(|it| format!("{it:?}")),
            ),
            ("same_version", self.same_version.then(|| "true".to_owned())),
            ("max_age", self.max_age.map(|age| format!("{age:?}"))),
            ("now", self.now.map(|now| now.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}

fn target(text: &str, releases: &Releases) -> Result<Target, Explained> {
    releases.target(text).map_err(|error| {
        let hint = error
            .hint()
            .unwrap_or_else(|| "write it as stable-2.14.10, edge-25.4.4 or 2.16".into());
        Explained::new(format!("--to: {error}"), hint)
    })
}
