//! What a plan says of its changes before it makes them: how long they take, and what they write.

use serde::{Deserialize, Serialize};

use crate::duration::roughly;

/// How long all changes of a plan take at its pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Forecast {
    /// In seconds, without the changes whose duration is unknown; absent if that is so for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The number of changes whose duration is unknown.
    pub unknown: u32,
}

/// What a change writes to its object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Patch {
    /// The field, as jq spells it.
    pub path: String,
    /// The field's value before, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The field's value afterwards. A restart writes its own time, which comes after the plan's.
    pub value: String,
    /// The field manager of the write.
    pub manager: String,
    /// The other field managers of the object; those of its status are not among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<String>,
    /// The owner or the GitOps tool that manages the object, as the survey says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
}

// === impl Forecast ===

impl Forecast {
    /// Returns one sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { seconds, unknown } = *self;
        let Some(seconds) = seconds else {
            return "how long it takes is unknown".to_owned();
        };
        let takes = format!("takes about {} at this pace", roughly(seconds));
        match unknown {
            0 => takes,
            1 => format!("{takes}, without 1 workload of unknown duration"),
            many => format!("{takes}, without {many} workloads of unknown duration"),
        }
    }
}

// === impl Patch ===

impl Patch {
    /// Returns the lines for people: the field, and who else manages the object.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let Self {
            path,
            before,
            value,
            manager,
            managers,
            managed_by,
        } = self;
        let before = before.as_ref().map(|before| format!(", was {before}"));
        let before = before.unwrap_or_default();
        let mut lines = vec![format!("{path}: {value}{before} (field manager {manager})")];
        let others = (!managers.is_empty()).then(|| managers.join(", "));
        let others = others.map(|others| format!("other field managers: {others}"));
        let tool = managed_by.as_ref().map(|tool| format!("managed by {tool}"));
        let who: Vec<String> = others.into_iter().chain(tool).collect();
        if !who.is_empty() {
            lines.push(who.join("; "));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_says_what_it_does_not_know() {
        let table = [
            (Some(252), 0, "takes about 4m12s at this pace"),
            (
                Some(40),
                1,
                "takes about 40s at this pace, without 1 workload of unknown duration",
            ),
            (
                Some(3660),
                3,
                "takes about 1h01m at this pace, without 3 workloads of unknown duration",
            ),
            (None, 3, "how long it takes is unknown"),
        ];
        for (seconds, unknown, sentence) in table {
            assert_eq!(Forecast { seconds, unknown }.sentence(), sentence);
        }
    }

    #[test]
    fn a_patch_names_the_field_and_who_else_manages_the_object() {
        let mut patch = Patch {
            path: ".spec.restartAt".to_owned(),
            before: None,
            value: "T2".to_owned(),
            manager: "mesh-roll".to_owned(),
            managers: Vec::new(),
            managed_by: None,
        };
        assert_eq!(
            patch.lines(),
            [".spec.restartAt: T2 (field manager mesh-roll)"]
        );
        patch.before = Some("T1".to_owned());
        patch.managers = ["argocd-controller", "kubectl"].map(str::to_owned).into();
        patch.managed_by = Some("argocd".to_owned());
        assert_eq!(
            patch.lines(),
            [
                ".spec.restartAt: T2, was T1 (field manager mesh-roll)",
                "other field managers: argocd-controller, kubectl; managed by argocd",
            ]
        );
    }
}
