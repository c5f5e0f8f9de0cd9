//! Acknowledgements of upgrade notes.

use mesh_records::{Explained, Rule};
use mesh_versions::Releases;

use crate::remark::Remark;

/// The beginning of a note's id as a finding and as `--ack` has it.
pub(crate) const PREFIX: &str = "note:";

/// An acknowledgement of a note (`--ack note:HOP/NAME@DIGEST`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) id: String,
    pub(crate) digest: String,
}

// === impl Acknowledged ===

impl Acknowledged {
    /// Reads an argument of `--ack`; `None` if it is not about a note.
    pub(crate) fn of(text: &str, releases: &Releases) -> Option<Result<Self, Explained>> {
        let note = text.strip_prefix(PREFIX)?;
        let (id, digest) = note.split_once('@').unwrap_or((note, ""));
        if releases.note(id).is_none() {
            let what = format!("--ack: the releases file has no note `{id}`");
            let hint = "take it from the hint of the finding, or from the page of --notes";
            return Some(Err(Explained::new(what, hint)));
        }
        if digest.is_empty() {
            let what = format!("--ack {text} does not say what was read");
            let hint =
                "add the digest as the hint of the finding has it: --ack note:HOP/NAME@DIGEST";
            return Some(Err(Explained::new(what, hint)));
        }
        Some(Ok(Self {
            id: id.to_owned(),
            digest: digest.to_owned(),
        }))
    }

    /// Returns the remark about an acknowledgement that changed nothing.
    pub(crate) fn unused(&self) -> Remark {
        let Self { id, digest } = self;
        let message = format!(
            "`--ack {PREFIX}{id}@{digest}` has no effect: the note is not on this path, or what it \
             concerns has changed"
        );
        Remark::new(Rule::WaiverUnused, message)
    }
}
