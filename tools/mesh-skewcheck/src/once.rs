//! Finds a workload that a survey has twice: the second would hide in the totals that another one was
//! removed.
//!
//! mesh-survey writes workloads in the order of their identities, and filters keep that order, so it
//! is enough to compare each with the one before it. The first ones are remembered all the same, for
//! streams that something sorted anew. Memory does not grow with a survey that is in order.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use mesh_records::WorkloadKind;

use crate::seen::Identity;

/// How many workloads are remembered while they are in order.
const REMEMBERED: usize = 1 << 16;

/// The workloads of one control plane so far.
#[derive(Debug, Default)]
pub(crate) struct Once {
    /// The last one, while all came in order.
    last: Option<Last>,
    is_disordered: bool,
    /// Hashes of identities, which need less memory than names.
    known: HashSet<u64>,
    has_forgotten: bool,
}

/// Why a workload is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It came before.
    Twice,
    /// It is out of order after so many in order that the first are forgotten.
    TooLate,
}

/// An identity, in buffers that the next one reuses.
#[derive(Debug)]
struct Last {
    namespace: String,
    kind: WorkloadKind,
    name: String,
    uid: String,
}

// === impl Once ===

impl Once {
    /// Takes a workload.
    ///
    /// # Errors
    /// It came before, or that cannot be told any more.
    pub(crate) fn take(&mut self, one: &Identity<'_>) -> Result<(), Refused> {
        self.take_within(one, REMEMBERED)
    }

    fn take_within(&mut self, one: &Identity<'_>, most: usize) -> Result<(), Refused> {
        if !self.is_disordered {
            match self.last.as_ref().map(|last| last.as_identity().cmp(one)) {
                Some(Ordering::Equal) => return Err(Refused::Twice),
                Some(Ordering::Greater) if self.has_forgotten => return Err(Refused::TooLate),
                Some(Ordering::Greater) => self.is_disordered = true,
                Some(Ordering::Less) => self.last.iter_mut().for_each(|last| last.become_one(one)),
                None => self.last = Some(Last::of(one)),
            }
        }
        if self.has_forgotten {
            return Ok(());
        }
        if !self.is_disordered && self.known.len() >= most {
            self.known = HashSet::default();
            self.has_forgotten = true;
            return Ok(());
        }
        match self.known.insert(hash_of(one)) {
            true => Ok(()),
            false => Err(Refused::Twice),
        }
    }
}

// === impl Last ===

impl Last {
    fn of(one: &Identity<'_>) -> Self {
        Self {
            namespace: one.namespace.to_owned(),
            kind: one.kind.clone(),
            name: one.name.to_owned(),
            uid: one.uid.to_owned(),
        }
    }

    fn become_one(&mut self, one: &Identity<'_>) {
        let texts = [
            (&mut self.namespace, one.namespace),
            (&mut self.name, one.name),
            (&mut self.uid, one.uid),
        ];
        for (text, new) in texts {
            text.clear();
            text.push_str(new);
        }
        if self.kind != *one.kind {
            self.kind = one.kind.clone();
        }
    }

    fn as_identity(&self) -> Identity<'_> {
        Identity {
            namespace: &self.namespace,
            kind: &self.kind,
            name: &self.name,
            uid: &self.uid,
        }
    }
}

fn hash_of(one: &Identity<'_>) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(numbers: &[u32], most: usize) -> Result<(), (usize, Refused)> {
        let mut once = Once::default();
        for (index, number) in numbers.iter().enumerate() {
            let one = Identity {
                namespace: &format!("n{}", number / 8),
                kind: &WorkloadKind::Deployment,
                name: &format!("w{number:03}"),
                uid: "u",
            };
            let taken = once.take_within(&one, most);
            taken.map_err(|refused| (index, refused))?;
            assert!(once.is_disordered || once.known.len() <= most);
        }
        Ok(())
    }

    #[test]
    fn a_workload_that_comes_twice_is_found_in_any_order_and_memory_does_not_grow_in_order() {
        use Refused::{TooLate, Twice};
        let in_order: Vec<u32> = (0..40).collect();
        assert_eq!(taken(&in_order, 4), Ok(()));
        for (numbers, expected) in [
            (&[1, 1][..], Err((1, Twice))),
            (&[1, 2, 3, 4, 5, 6, 6], Err((6, Twice))),
            (&[3, 1, 2, 0], Ok(())),
            (&[3, 1, 2, 0, 4, 5, 6, 7, 8, 9], Ok(())),
            (&[1, 2, 3, 1], Err((3, Twice))),
            (&[1, 3, 2, 4, 5, 6, 3], Err((6, Twice))),
            (&[1, 3, 2, 4, 5, 6, 7, 8, 9, 1], Err((9, Twice))),
            // What came before is forgotten, so a repetition must not pass.
            (&[1, 2, 3, 4, 5, 6, 1], Err((6, TooLate))),
            (&[1, 2, 3, 4, 5, 6, 0], Err((6, TooLate))),
            (&[8, 9, 10, 11, 12, 1], Err((5, TooLate))),
        ] {
            assert_eq!(taken(numbers, 4), expected, "{numbers:?}");
        }
    }
}
