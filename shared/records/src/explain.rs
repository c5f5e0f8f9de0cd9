//! Errors that carry a hint: what to do next.

use std::fmt;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error with a hint: what failed, and what to do next.
#[derive(Debug)]
pub struct Explained {
    what: String,
    hint: String,
    next: Option<String>,
    cause: Cause,
}

/// What is behind an error.
#[derive(Debug)]
enum Cause {
    Itself,
    Source(Source),
    /// Several errors, each with its own hint.
    Parts(Vec<Explained>),
}

/// Adds a sentence and a hint to an error.
pub trait Explain<T> {
    /// Wraps the error in an [`Explained`]: `what` failed, and `hint` says what to do next.
    ///
    /// # Errors
    /// Fails when `self` is an error; that error becomes the source.
    fn explain(self, what: impl Into<String>, hint: impl Into<String>) -> Result<T, Explained>;
}

impl Explained {
    /// Makes an error that has no source.
    #[must_use]
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
            next: None,
            cause: Cause::Itself,
        }
    }

    /// Makes one error of several that were found together. Each keeps its own hint.
    #[must_use]
    pub fn of(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let all: Vec<&str> = parts.iter().map(|part| part.what.as_str()).collect();
        let what = all.join("; ");
        Self {
            cause: Cause::Parts(parts),
            ..Self::new(what, "")
        }
    }

    /// Adds the next command, for [`End::next`](crate::End::next).
    #[must_use]
    pub fn with_next(self, command: impl Into<String>) -> Self {
        let next = Some(command.into());
        Self { next, ..self }
    }

    /// Puts another sentence in front, such as what was done before.
    #[must_use]
    pub fn after(mut self, done: &str) -> Self {
        if let Cause::Parts(parts) = &mut self.cause
            && let Some(first) = parts.first_mut()
        {
            first.what = format!("{done}: {}", first.what);
        }
        let what = format!("{done}: {}", self.what);
        Self { what, ..self }
    }

    /// Adds another sentence at the end.
    #[must_use]
    pub fn and(self, more: &str) -> Self {
        let what = format!("{}; {more}", self.what);
        Self { what, ..self }
    }

    /// Replaces the hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        Self { hint, ..self }
    }

    /// Returns the hint.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// Returns the errors that this is made of; none if it is one by itself.
    #[must_use]
    pub fn parts(&self) -> &[Self] {
        match &self.cause {
            Cause::Parts(parts) => parts,
            Cause::Itself | Cause::Source(_) => &[],
        }
    }

    /// Returns the next command.
    #[must_use]
    pub fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Explained {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Source(source) => Some(&**source),
            Cause::Itself | Cause::Parts(_) => None,
        }
    }
}

impl<T, E: Into<Source>> Explain<T> for Result<T, E> {
    fn explain(self, what: impl Into<String>, hint: impl Into<String>) -> Result<T, Explained> {
        self.map_err(|error| Explained {
            what: what.into(),
            hint: hint.into(),
            next: None,
            cause: Cause::Source(error.into()),
        })
    }
}
