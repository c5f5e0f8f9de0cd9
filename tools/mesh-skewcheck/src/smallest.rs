//! Keeps the smallest values of a sequence, in any order of arrival.

use std::collections::BTreeSet;

/// Keeps at most `most` values: the smallest ones. Neither the order nor the number of the others
/// matters.
#[derive(Debug)]
pub(crate) struct Smallest<T> {
    most: usize,
    kept: BTreeSet<T>,
    dropped: bool,
}

impl<T: Ord> Smallest<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            kept: BTreeSet::new(),
            dropped: false,
        }
    }

    pub(crate) fn show(&mut self, value: T) {
        self.kept.insert(value);
        if self.kept.len() > self.most {
            self.kept.pop_last();
            self.dropped = true;
        }
    }

    /// Returns true if a value would be kept, given how it compares with the kept ones. Saves
    /// allocating it.
    pub(crate) fn would_keep(&self, is_smaller_than: impl Fn(&T) -> bool) -> bool {
        self.kept.len() < self.most || self.kept.last().is_some_and(is_smaller_than)
    }

    /// Records that values were left out without being shown.
    pub(crate) fn left_out(&mut self) {
        self.dropped = true;
    }

    /// Returns true if values were left out.
    pub(crate) fn is_short(&self) -> bool {
        self.dropped
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.kept.iter()
    }
}

impl Smallest<String> {
    /// Like `show`, but allocates only if the text is new and would be kept.
    pub(crate) fn show_text(&mut self, text: &str) {
        if self.kept.contains(text) {
            return;
        }
        if self.would_keep(|last| text < last.as_str()) {
            self.show(text.to_owned());
        } else {
            self.left_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_are_kept_in_every_order() {
        for order in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 5, 1, 4, 2]] {
            let mut smallest = Smallest::new(2);
            for value in order {
                if smallest.would_keep(|last| value < *last) {
                    smallest.show(value);
                } else {
                    smallest.left_out();
                }
            }
            assert_eq!(smallest.iter().copied().collect::<Vec<_>>(), [1, 2]);
            assert!(smallest.is_short());
        }
    }
}
