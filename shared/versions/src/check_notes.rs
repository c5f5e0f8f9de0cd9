//! Checks the notes of a releases file.

use crate::field::{edge, wrong};
use crate::kubernetes::KubernetesVersion;
use crate::minor::Minor;
use crate::note::{Condition, Demand, Note};
use crate::schema::{FileNote, ReleasesError, Trouble};

/// Checks all notes: hops of one minor version, in order; names as words; no note twice.
pub(crate) fn notes_of(file: Vec<FileNote>) -> Result<Vec<Note>, ReleasesError> {
    let mut notes: Vec<Note> = Vec::with_capacity(file.len());
    for (index, note) in file.into_iter().enumerate() {
        let at = format!("notes[{index}]");
        let note = note_of(&at, note)?;
        if notes.iter().any(|other| other.id == note.id) {
            return Err(wrong(&format!("{at}.name"), Trouble::Duplicate(note.id)));
        }
        if let Some(before) = notes.last().filter(|before| before.to > note.to) {
            let trouble = Trouble::Unsorted(note.to.to_string(), before.to.to_string());
            return Err(wrong(&format!("{at}.hop"), trouble));
        }
        notes.push(note);
    }
    Ok(notes)
}

fn note_of(at: &str, file: FileNote) -> Result<Note, ReleasesError> {
    let FileNote {
        hop,
        name,
        since,
        demand,
        destructive,
        text,
        concerns,
        act,
        page,
        when,
    } = file;
    let to = end_of(&hop).ok_or_else(|| {
        let trouble = Trouble::Not(
            hop.clone(),
            "a hop from one minor version to the next (2.15-2.16)",
        );
        wrong(&format!("{at}.hop"), trouble)
    })?;
    if !is_name(&name) {
        let trouble = Trouble::Not(name, "a name of lower-case letters, digits, - and .");
        return Err(wrong(&format!("{at}.name"), trouble));
    }
    let texts = [("text", Some(&text)), ("concerns", Some(&concerns))];
    for (field, text) in texts.into_iter().chain([("act", act.as_ref())]) {
        if text.is_some_and(|text| text.trim().is_empty()) {
            return Err(wrong(&format!("{at}.{field}"), Trouble::Empty));
        }
    }
    if !page.starts_with("https://") {
        let trouble = Trouble::Not(page, "an address (https://…)");
        return Err(wrong(&format!("{at}.page"), trouble));
    }
    if demand == Demand::Act && act.is_none() {
        let trouble = Trouble::Not("demand: act".to_owned(), "a demand without `act`");
        return Err(wrong(&format!("{at}.demand"), trouble));
    }
    check(&format!("{at}.when"), &when)?;
    let since = since.map(|since| edge(&format!("{at}.since"), &since));
    Ok(Note {
        id: format!("{hop}/{name}"),
        to,
        since: since.transpose()?,
        text,
        concerns,
        act,
        page,
        demand,
        destructive,
        when,
    })
}

fn end_of(hop: &str) -> Option<Minor> {
    let (from, to) = hop.split_once('-')?;
    let (from, to): (Minor, Minor) = (from.parse().ok()?, to.parse().ok()?);
    (from.next() == to).then_some(to)
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    !name.is_empty() && name.chars().all(plain)
}

fn check(at: &str, when: &Condition) -> Result<(), ReleasesError> {
    let all_of = |name: &str, conditions: &[Condition]| {
        if conditions.is_empty() {
            return Err(wrong(&format!("{at}.{name}"), Trouble::Empty));
        }
        let mut conditions = conditions.iter().enumerate();
        conditions.try_for_each(|(index, one)| check(&format!("{at}.{name}[{index}]"), one))
    };
    match when {
        Condition::All(conditions) => all_of("all", conditions),
        Condition::Any(conditions) => all_of("any", conditions),
        Condition::Not(condition) => check(&format!("{at}.not"), condition),
        Condition::KubernetesBelow(version) if KubernetesVersion::of(version).is_none() => {
            let trouble = Trouble::Not(version.clone(), "a Kubernetes version");
            Err(wrong(&format!("{at}.kubernetes_below"), trouble))
        }
        Condition::GatewayBundleOutside(low, high) => {
            let mut bounds = [low, high].into_iter();
            bounds.try_for_each(|bound| {
                semver::Version::parse(bound).map(drop).map_err(|_| {
                    let trouble = Trouble::Not(bound.clone(), "a version of the Gateway API");
                    wrong(&format!("{at}.gateway_bundle_outside"), trouble)
                })
            })
        }
        Condition::Always
        | Condition::Unseen(_)
        | Condition::Is(..)
        | Condition::Set(_)
        | Condition::Above(..)
        | Condition::Used(_)
        | Condition::Counted(_)
        | Condition::Extension(_)
        | Condition::Part(..)
        | Condition::InstalledBy(_)
        | Condition::Component(_)
        | Condition::Definition(_)
        | Condition::Stored(..)
        | Condition::GatewayApi(_)
        | Condition::KubernetesBelow(_)
        | Condition::Channel(_) => Ok(()),
    }
}
