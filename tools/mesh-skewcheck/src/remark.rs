//! A rule's result for a control plane, before it has a severity.

use mesh_records::{Decided, Rule};

use crate::rule::Weight;

/// A rule's result for a control plane, with its message.
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

    /// Makes a remark that facts are missing to decide the rule.
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
