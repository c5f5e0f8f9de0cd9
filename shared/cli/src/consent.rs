//! Asks for consent on the terminal (`/dev/tty`), because standard input carries the records.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use mesh_records::{Explain as _, Explained, Intent};

use crate::Clean;

/// The consent flags of an action.
#[derive(Args, Clone, Debug)]
pub struct ConsentArgs {
    /// Do not ask for confirmation; with =DIGEST, act only if the plan still has this digest
    // `--yes=` with an empty value is refused: it usually comes from an unset shell variable.
    #[arg(long, value_name = "DIGEST", num_args = 0..=1, require_equals = true,
          value_parser = NonEmptyStringValueParser::new())]
    pub yes: Option<Option<String>>,

    /// Show what would change and change nothing; with `server` the API server checks each write
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true,
          default_value = "none", default_missing_value = "client")]
    pub dry_run: DryRun,
}

/// kubectl's `--dry-run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Act for real.
    None,
    /// Send no write to the API server.
    Client,
    /// Send each write with `dryRun=All`.
    Server,
}

impl DryRun {
    /// As the records have it: nothing where it acts.
    #[must_use]
    pub fn recorded(self) -> Option<mesh_records::DryRun> {
        match self {
            Self::None => None,
            Self::Client => Some(mesh_records::DryRun::Client),
            Self::Server => Some(mesh_records::DryRun::Server),
        }
    }
}

/// What the tool may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Act for real.
    Act,
    /// Only show what would be done.
    DryRun(DryRun),
}

/// Asks whether the tool may do what `intent` says. The flags answer first; otherwise `summary` is
/// shown on the terminal with a question.
///
/// # Errors
/// No flag answers and there is no terminal, the answer is no, or the digest belongs to another
/// intent. The caller must then change nothing.
pub fn consent(args: &ConsentArgs, intent: &Intent, summary: &str) -> Result<Leave, Explained> {
    if args.dry_run != DryRun::None {
        return Ok(Leave::DryRun(args.dry_run));
    }
    match &args.yes {
        Some(None) => Ok(Leave::Act),
        Some(Some(digest)) if *digest == intent.digest => Ok(Leave::Act),
        Some(Some(digest)) => Err(Explained::new(
            format!(
                "the plan has changed: its digest is {}, not `{}`",
                intent.digest,
                Clean(digest)
            ),
            "read the new plan with --dry-run, then pass its digest to --yes",
        )),
        None => ask(summary),
    }
}

fn ask(summary: &str) -> Result<Leave, Explained> {
    let way_out = "pass --yes to act without confirmation, or --dry-run to see the plan";
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    let mut terminal = terminal.explain(
        "nothing was changed: no terminal to confirm on (/dev/tty)",
        way_out,
    )?;
    let cannot = "cannot ask for confirmation on the terminal";
    let question: String = summary
        .lines()
        .map(|line| format!("{}\n", Clean(line)))
        .collect();
    write!(terminal, "{question}Go on? [y/N] ").explain(cannot, way_out)?;
    let mut answer = String::new();
    BufReader::new(terminal)
        .read_line(&mut answer)
        .explain(cannot, way_out)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(Leave::Act),
        _ => Err(Explained::new("cancelled; nothing was changed", way_out)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use jiff::Timestamp;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        consent: ConsentArgs,
    }

    fn leave(flag: &str) -> Option<Leave> {
        let line = Line::try_parse_from(["it", flag]).ok()?;
        let intent = Intent {
            cluster: "eu".into(),
            run: None,
            dry_run: None,
            time: Timestamp::UNIX_EPOCH,
            message: String::new(),
            deeds: Vec::new(),
            digest: "d1".into(),
        };
        consent(&line.consent, &intent, "").ok()
    }

    #[test]
    fn yes_acts_without_a_digest_or_with_the_intents_own_digest() {
        assert_eq!(leave("--yes"), Some(Leave::Act));
        assert_eq!(leave("--yes=d1"), Some(Leave::Act));
        assert_eq!(leave("--yes=d2"), None);
        assert_eq!(leave("--yes="), None, "a digest that was never set");
        let looks = Some(Leave::DryRun(DryRun::Client));
        assert_eq!(leave("--dry-run"), looks);
    }
}
