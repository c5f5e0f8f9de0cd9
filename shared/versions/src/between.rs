//! Which notes are on the way from one version to another.

use crate::hops::Hop;
use crate::note::Note;
use crate::releases::Releases;
use crate::version::Version;

impl Releases {
    /// Returns all notes, in the order of the minor versions.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Returns the note with this id (`HOP/NAME`).
    pub fn note(&self, id: &str) -> Option<&Note> {
        self.notes.iter().find(|note| note.id == id)
    }

    /// Returns the notes on the way from one version to another: those whose change the first does
    /// not have and the second has. Empty if the minor version of one of the two is unknown.
    pub fn notes_between<'a>(
        &'a self,
        from: &'a Version,
        to: &'a Version,
    ) -> impl Iterator<Item = &'a Note> {
        let has = |version, note| self.has(version, note);
        let notes = self.notes.iter();
        notes.filter(move |note| has(from, note) == Some(false) && has(to, note) == Some(true))
    }

    /// Returns true if a hop of a path leads to a version that has a note's change. A hop whose
    /// release is not known leads to its minor version.
    pub fn reaches(&self, hop: &Hop, note: &Note) -> bool {
        let has = hop.release.as_ref().and_then(|it| self.has(it, note));
        has.unwrap_or(hop.to >= note.to)
    }

    /// Whether a version has a note's change. An edge release may have it before the minor version
    /// that the note belongs to, or after it.
    fn has(&self, version: &Version, note: &Note) -> Option<bool> {
        let version = self.canonical(version);
        let dated = version.as_edge().zip(note.since.as_ref());
        if let Some(order) = dated.and_then(|(edge, since)| since.order(&edge)) {
            return Some(order.is_le());
        }
        Some(self.minor_of(version)?.minor >= note.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(from: &str, to: &str) -> Vec<String> {
        let releases = Releases::embedded();
        let (from, to) = (Version::of_tag(from), Version::of_tag(to));
        let notes = releases.notes_between(&from, &to);
        notes.map(|note| note.id.clone()).collect()
    }

    #[test]
    fn a_hop_has_its_own_notes_and_no_others() {
        for (from, to, hop) in [
            ("stable-2.10.2", "stable-2.11.5", "2.10-2.11/"),
            ("stable-2.11.5", "stable-2.12.6", "2.11-2.12/"),
            ("stable-2.12.6", "stable-2.13.7", "2.12-2.13/"),
            ("stable-2.13.7", "stable-2.14.10", "2.13-2.14/"),
            ("stable-2.14.10", "edge-24.2.4", "2.14-2.15/"),
            ("edge-24.2.4", "edge-24.8.2", "2.15-2.16/"),
            ("edge-24.8.2", "edge-24.11.8", "2.16-2.17/"),
            ("edge-24.11.8", "edge-25.4.4", "2.17-2.18/"),
            ("edge-25.4.4", "edge-25.10.7", "2.18-2.19/"),
            ("enterprise-2.15.7", "enterprise-2.16.0", "2.15-2.16/"),
        ] {
            let found = names(from, to);
            assert!(!found.is_empty(), "{from} {to}");
            for id in found {
                assert!(id.starts_with(hop), "{from} {to}: {id}");
            }
        }
    }

    #[test]
    fn an_edge_release_within_a_minor_version_has_the_changes_that_it_already_brings() {
        let shutdown = "2.15-2.16/shutdown-endpoint".to_owned();
        for (from, to, on_the_way) in [
            ("edge-24.2.4", "edge-24.6.1", false),
            ("edge-24.2.4", "edge-24.6.2", true),
            ("edge-24.6.1", "edge-24.8.2", true),
            ("edge-24.6.2", "edge-24.8.2", false),
            ("preview-24.6.2", "preview-24.8.2", false),
            ("stable-2.14.10", "edge-25.4.4", true),
            ("edge-24.8.2", "edge-24.2.4", false),
            ("dev-1", "edge-24.8.2", false),
        ] {
            let found = names(from, to).contains(&shutdown);
            assert_eq!(found, on_the_way, "{from} {to}");
        }
    }

    #[test]
    fn a_hop_reaches_the_notes_that_its_release_brings_whatever_they_are_filed_under() {
        let releases = Releases::embedded();
        let shutdown = releases.note("2.15-2.16/shutdown-endpoint").unwrap();
        for (from, to, reaches) in [
            ("edge-24.2.4", "edge-24.6.1", [false].as_slice()),
            ("edge-24.2.4", "edge-24.6.2", &[true]),
            ("stable-2.14.10", "edge-24.6.2", &[true]),
            ("stable-2.13.7", "edge-24.6.1", &[false, false]),
            ("stable-2.13.7", "edge-24.8.2", &[false, false, true]),
            ("enterprise-2.14.10", "enterprise-2.16.0", &[false, true]),
        ] {
            let path = releases.path(&Version::of_tag(from), &Version::of_tag(to));
            let found: Vec<bool> = path
                .unwrap()
                .iter()
                .map(|hop| releases.reaches(hop, shutdown))
                .collect();
            assert_eq!(found, reaches, "{from} {to}");
        }
    }

    #[test]
    fn a_path_has_the_notes_of_each_of_its_hops_once() {
        let releases = Releases::embedded();
        let (from, to) = ("stable-2.10.0", "edge-26.8.3");
        let whole = names(from, to);
        let path = releases.path(&Version::of_tag(from), &Version::of_tag(to));
        let mut hops = Vec::new();
        let mut before = from.to_owned();
        for hop in path.unwrap() {
            let after = hop.release.unwrap().to_string();
            hops.extend(names(&before, &after));
            before = after;
        }
        assert_eq!(hops, whole);
        assert_eq!(whole.len(), releases.notes().len());
    }
}
