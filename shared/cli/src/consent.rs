//! Asks for consent on the terminal (`/dev/tty`), because standard input carries the records.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ColorChoice, ValueEnum};
use mesh_records::{Explain as _, Explained, Intent};
use rustix::termios::{QueueSelector, tcflush};

use crate::Clean;
use crate::screen::{Look, folded};
use crate::stop::has_hung_up;

/// What a run says that ends at the question.
pub const CANCELLED: &str = "Cancelled. Nothing was changed.";

// Whether the question stands on the terminal, without an end of its line.
static STANDS: AtomicBool = AtomicBool::new(false);

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

impl ConsentArgs {
    /// Returns true if a person is asked on the terminal.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.dry_run == DryRun::None && self.yes.is_none()
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

/// Why the tool may not act.
#[derive(Debug)]
pub enum Declined {
    /// The terminal went away before somebody answered.
    HungUp,
    /// The answer is no, or nobody can be asked.
    Because(Explained),
}

impl From<Explained> for Declined {
    fn from(why: Explained) -> Self {
        Self::Because(why)
    }
}

/// Asks whether the tool may do what `intent` says. The flags answer first; otherwise `summary` is
/// shown on the terminal with a question.
///
/// # Errors
/// No flag answers and there is no terminal, the answer is no, or the digest belongs to another
/// intent. The caller must then change nothing.
pub fn consent(args: &ConsentArgs, intent: &Intent, summary: &str) -> Result<Leave, Declined> {
    if args.dry_run != DryRun::None {
        return Ok(Leave::DryRun(args.dry_run));
    }
    match &args.yes {
        Some(None) => Ok(Leave::Act),
        Some(Some(digest)) if *digest == intent.digest => Ok(Leave::Act),
        Some(Some(digest)) => Err(Declined::Because(Explained::new(
            format!(
                "the plan has changed: its digest is {}, not `{}`",
                intent.digest,
                Clean(digest)
            ),
            "read the new plan with --dry-run, then pass its digest to --yes",
        ))),
        None => ask(summary),
    }
}

fn ask(summary: &str) -> Result<Leave, Declined> {
    let way_out = "pass --yes to act without confirmation, or --dry-run to see the plan";
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    let mut terminal = terminal.explain(
        "nothing was changed: no terminal to confirm on (/dev/tty)",
        way_out,
    )?;
    let look = Look::of(&terminal, ColorChoice::Auto);
    let question: String = summary.lines().map(|line| folded(look, line)).collect();
    let answer = answer(&mut terminal, &format!("{question}Go on? [y/N] "));
    // After a hang-up a read shows the end of the input, as after Ctrl-D, and only a write fails.
    let answer = match answer {
        Ok(answer) if answer.is_empty() => terminal.write_all(b"\n").map(|()| answer),
        answer => answer,
    };
    match answer {
        Ok(answer) if ["y", "Y", "yes"].contains(&answer.trim()) => Ok(Leave::Act),
        Ok(_) => {
            Err(Explained::new(CANCELLED, "answer y to act; --dry-run shows the plan alone").into())
        }
        Err(error) if has_hung_up(&error) => Err(Declined::HungUp),
        Err(error) => {
            let cannot = "cannot ask for confirmation on the terminal";
            Err(Explained::new(format!("{cannot}: {error}"), way_out).into())
        }
    }
}

// What was typed before the question is shown is no answer to it, so it is dropped.
fn answer(terminal: &mut File, question: &str) -> io::Result<String> {
    tcflush(&*terminal, QueueSelector::IFlush)?;
    terminal.write_all(question.as_bytes())?;
    STANDS.store(true, Ordering::SeqCst);
    let mut answer = String::new();
    let read = BufReader::new(terminal).read_line(&mut answer);
    STANDS.store(false, Ordering::SeqCst);
    read.map(|_| answer)
}

/// Ends the line of a question that nobody will answer any more.
pub(crate) fn end_question() {
    if STANDS.swap(false, Ordering::SeqCst)
        && let Ok(mut terminal) = File::options().write(true).open("/dev/tty")
    {
        // A terminal that has gone away needs no end of a line.
        drop(terminal.write_all(b"\n"));
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
            waves: Vec::new(),
            warnings: Vec::new(),
            forecast: None,
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
