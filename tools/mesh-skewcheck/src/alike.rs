//! Remembers how workloads were judged, so that those which differ in nothing but their names are
//! parsed and judged once.
//!
//! A workload's line, as mesh-survey writes it, begins with what names the workload. Where that is
//! plain text, a parser goes on after it in the same way whatever the text is. So the kind, the
//! control plane and the bytes after them decide all else: whether the line is a valid record, and
//! how it is judged. A line that begins in another way is always parsed.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::rc::Rc;

use crate::rules::workload::Judged;
use crate::seen::Identity;

/// How many judgements are remembered: many times the number that a mesh has.
const PLACES: usize = 1 << 12;
/// The longest text that is remembered, so that there is a bound for all of them.
const LONGEST: usize = 1 << 12;

/// A workload's line, apart in what names the workload and the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split<'a> {
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) control_plane: &'a str,
    /// All bytes after them, and after the labels, which are not judged.
    pub(crate) rest: &'a str,
    hash: u64,
}

/// The judgements of one control plane's workloads. Each text has one place, which it takes from
/// another: there is nothing to clear, and memory does not grow with a survey.
#[derive(Debug, Default)]
pub(crate) struct Alike {
    places: Vec<Place>,
}

#[derive(Debug, Default)]
struct Place {
    known: Option<Known>,
    /// The hash of the text that was parsed last.
    parsed: u64,
}

#[derive(Debug)]
struct Known {
    rest: Box<str>,
    judged: Rc<Judged>,
}

// === impl Split ===

impl<'a> Split<'a> {
    /// Splits a line; returns `None` if it does not begin as mesh-survey writes it.
    pub(crate) fn of(line: &'a str) -> Option<Self> {
        let mut rest = line.strip_prefix("{\"type\":\"workload\"")?;
        plain(&mut rest, ",\"cluster\":\"")?;
        // Nothing reads it, so it may be missing.
        plain(&mut rest, ",\"ref\":\"");
        let kind = plain(&mut rest, ",\"kind\":\"")?;
        let namespace = plain(&mut rest, ",\"namespace\":\"")?;
        let name = plain(&mut rest, ",\"name\":\"")?;
        let uid = plain(&mut rest, ",\"uid\":\"")?;
        let control_plane = plain(&mut rest, ",\"control_plane\":\"")?;
        labels(&mut rest);
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        Some(Self {
            kind,
            namespace,
            name,
            uid,
            control_plane,
            rest,
            hash: hasher.hash_one((kind, rest)),
        })
    }

    /// Returns what names the workload; its kind is the one that `judged` was made of.
    pub(crate) fn identity(&self, judged: &'a Judged) -> Identity<'a> {
        Identity {
            namespace: self.namespace,
            kind: &judged.kind,
            name: self.name,
            uid: self.uid,
        }
    }

    fn place(&self) -> usize {
        self.hash as usize % PLACES
    }
}

/// Takes `start` and the text up to the next quotation mark off `rest`, if the text stands for itself.
fn plain<'a>(rest: &mut &'a str, start: &str) -> Option<&'a str> {
    let text = rest.strip_prefix(start)?;
    let end = text
        .bytes()
        .position(|it| matches!(it, b'"' | b'\\' | ..b' '))?;
    let (value, after) = text.split_at(end);
    *rest = after.strip_prefix('"')?;
    Some(value)
}

/// Takes the labels off `rest`, if there are any and all are plain.
fn labels(rest: &mut &str) -> Option<()> {
    let mut after = rest.strip_prefix(",\"labels\":{")?;
    loop {
        plain(&mut after, "\"")?;
        plain(&mut after, ":\"")?;
        match after.strip_prefix(',') {
            Some(more) => after = more,
            None => break,
        }
    }
    *rest = after.strip_prefix('}')?;
    Some(())
}

// === impl Alike ===

impl Alike {
    /// Returns how a workload was judged that differs in its name alone.
    pub(crate) fn get(&self, line: &Split<'_>) -> Option<&Rc<Judged>> {
        let known = self.places.get(line.place())?.known.as_ref()?;
        let is_alike = *known.rest == *line.rest && known.judged.kind.as_str() == line.kind;
        is_alike.then_some(&known.judged)
    }

    /// Remembers how the workload of this line was judged, from its second time on: what comes once
    /// is not worth a copy, nor the place of another.
    pub(crate) fn put(&mut self, line: &Split<'_>, judged: &Rc<Judged>) {
        self.places.resize_with(PLACES, Place::default);
        let Place { known, parsed } = &mut self.places[line.place()];
        let is_new = std::mem::replace(parsed, line.hash) != line.hash;
        if is_new || line.rest.len() > LONGEST {
            return;
        }
        *known = Some(Known {
            rest: line.rest.into(),
            judged: Rc::clone(judged),
        });
    }
}
