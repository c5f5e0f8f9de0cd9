//! The smallest of many, whatever order they come in.

use std::collections::BTreeSet;

/// Keeps the smallest values that it is shown, so that neither their order nor their number
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

    /// Whether a value that compares so to those kept would be kept; saves making it.
    pub(crate) fn would_keep(&self, is_smaller_than: impl Fn(&T) -> bool) -> bool {
        self.kept.len() < self.most || self.kept.last().is_some_and(is_smaller_than)
    }

    /// Says that values were left out unseen.
    pub(crate) fn left_out(&mut self) {
        self.dropped = true;
    }

    /// Whether there were more than are kept.
    pub(crate) fn is_short(&self) -> bool {
        self.dropped
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.kept.iter()
    }
}

impl Smallest<String> {
    /// As `show`, for a text that is likely to be there already.
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
