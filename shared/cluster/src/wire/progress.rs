//! Whether a list comes to its end: a broken server or proxy may answer with one page for ever.

/// Whether a list gets nearer to its end.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pages: u64,
    // A token of an earlier page. It is replaced ever more rarely, so that a circle of any length
    // comes back to it.
    landmark: Option<String>,
    empty: u32,
}

/// How many pages without an object may follow each other before the last one.
const EMPTY: u32 = 3;
// === impl Progress ===

impl Progress {
    /// Counts a page that is not the last.
    ///
    /// # Errors
    /// The list has no end.
    pub(crate) fn page(&mut self, token: &str, is_empty: bool) -> Result<(), &'static str> {
        if self.landmark.as_deref() == Some(token) {
            return Err("the list has no end: a continue token was repeated");
        }
        self.empty = if is_empty { self.empty + 1 } else { 0 };
        if self.empty >= EMPTY {
            return Err("the list has no end: pages have a continue token and no objects");
        }
        self.pages += 1;
        if self.pages.is_power_of_two() {
            self.landmark = Some(token.to_owned());
        }
        Ok(())
    }
}
