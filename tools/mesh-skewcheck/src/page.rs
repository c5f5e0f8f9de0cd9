//! The upgrade notes as a page that a person reads and signs off.

use std::fmt::{self, Write as _};

use mesh_cli::Clean;
use mesh_records::{Decided, HopKind, Severity};

use crate::notes::Shown;
use crate::verdict::Judgement;

/// The width of the page.
const WIDTH: usize = 80;
const INDENT: &str = "    ";

/// The page for one control plane.
pub(crate) struct Page<'a>(pub(crate) &'a Judgement);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.0.verdict;
        let target = verdict.target.as_deref().unwrap_or_default();
        let title = format!(
            "Upgrade notes: {}, control plane {}",
            verdict.cluster, verdict.control_plane
        );
        line(f, "", &title)?;
        line(f, "", &format!("{} to {target}", verdict.from.version))?;
        if let Some(surveyed) = verdict.surveyed {
            line(f, "", &format!("as surveyed at {surveyed}"))?;
        }
        let digest: String = verdict.releases_sha256.chars().take(12).collect();
        line(
            f,
            "",
            &format!("notes of the releases file with SHA-256 {digest}…"),
        )?;
        self.legend(f)?;
        self.hops(f)?;
        f.write_char('\n')?;
        line(f, "", &blank_for("Read by", "Date"))
    }
}

impl Page<'_> {
    fn legend(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let notes = &self.0.notes;
        let count = |severity| notes.iter().filter(|it| it.severity == severity).count();
        let (act, look, know) = (
            count(Severity::Error),
            count(Severity::Warning),
            count(Severity::Info),
        );
        f.write_char('\n')?;
        let counted =
            format!("{act} to act on before the upgrade, {look} to look at, {know} to know.");
        line(f, "", &counted)
    }

    fn hops(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(plan) = &self.0.plan else {
            f.write_char('\n')?;
            return line(
                f,
                "",
                "There is no path from the running version to the target.",
            );
        };
        for hop in plan
            .hops
            .iter()
            .filter(|hop| hop.kind == HopKind::ControlPlane)
        {
            f.write_char('\n')?;
            let title = format!("{} to {}: {}", hop.from, hop.to, hop.release);
            line(f, "", &title)?;
            line(f, "", &"-".repeat(title.chars().count().min(WIDTH)))?;
            if hop.notes.is_empty() {
                line(f, "", "No note concerns this cluster.")?;
            }
            let all = self.0.notes.iter();
            for shown in all.filter(|shown| hop.notes.contains(&shown.id())) {
                note(f, shown)?;
            }
        }
        Ok(())
    }
}

fn note(f: &mut fmt::Formatter<'_>, shown: &Shown) -> fmt::Result {
    let box_of = if shown.acknowledged { "[x]" } else { "[ ]" };
    let word = match (shown.severity, shown.decided()) {
        (Severity::Error, _) => "ACT",
        (Severity::Warning, Decided::Yes) => "LOOK",
        (Severity::Warning | Severity::Info, Decided::CannotTell) => "CHECK",
        (Severity::Info, Decided::Yes) => "KNOW",
    };
    line(f, "", &format!("{box_of} {word} {}", shown.id()))?;
    line(f, INDENT, &shown.note.text)?;
    line(f, INDENT, &shown.concerned())?;
    if let Some(act) = &shown.note.act {
        line(f, INDENT, &format!("Do: {act}"))?;
    }
    line(f, INDENT, &format!("See {}", shown.note.page))?;
    if shown.is_grave {
        line(f, INDENT, &format!("--ack {}", shown.acknowledgement()))?;
    }
    Ok(())
}

/// Writes a text in lines of at most [`WIDTH`] characters, broken at blanks.
fn line(f: &mut fmt::Formatter<'_>, indent: &str, text: &str) -> fmt::Result {
    let clean = Clean(text).to_string();
    let mut column = 0;
    for word in clean.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            f.write_char('\n')?;
            column = 0;
        }
        let gap = if column == 0 { indent } else { " " };
        write!(f, "{gap}{word}")?;
        column += gap.len() + length;
    }
    f.write_char('\n')
}

fn blank_for(name: &str, date: &str) -> String {
    format!("{name}: {} {date}: {}", "_".repeat(40), "_".repeat(16))
}
