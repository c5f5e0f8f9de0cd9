//! What is said of a control plane itself, before it is weighed.

use mesh_records::{Decided, Rule};

use crate::rule::Weight;

/// A rule's answer about a control plane, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) rule: Rule,
    pub(crate) decided: Decided,
    pub(crate) weight: Weight,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) page: Option<&'static str>,
}

impl Remark {
    pub(crate) fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self {
            rule,
            decided: Decided::Yes,
            weight: Weight::Full,
            message: message.into(),
            hint: None,
            page: None,
        }
    }

    /// The facts do not suffice.
    pub(crate) fn cannot_tell(rule: Rule, message: impl Into<String>) -> Self {
        Self {
            decided: Decided::CannotTell,
            ..Self::new(rule, message)
        }
    }

    pub(crate) fn weighing(self, weight: Weight) -> Self {
        Self { weight, ..self }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    pub(crate) fn page(self, page: &'static str) -> Self {
        Self {
            page: Some(page),
            ..self
        }
    }
}
