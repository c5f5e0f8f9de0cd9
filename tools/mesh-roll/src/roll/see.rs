//! What is said about a problem, with the command that shows more of it or ends it.

use mesh_cluster::workload::rollout::Problem;
use mesh_records::{Paste, Trouble, WorkloadKind, WorkloadRef};

use super::words::because_of;

/// Makes commands about one workload.
#[derive(Clone, Copy, Debug)]
pub(super) struct See<'a> {
    pub(super) paste: &'a Paste,
    pub(super) key: &'a WorkloadRef,
}

impl See<'_> {
    /// Returns what is said of the reason.
    pub(super) fn because(&self, reason: Option<Trouble>, problem: Option<&Problem>) -> String {
        match (problem, reason) {
            (Some(problem), _) => format!(": {problem}{}", self.see(problem)),
            (None, Some(Trouble::TimedOut)) => format!("; see {}", self.describe()),
            (None, None) => String::new(),
            (None, Some(reason)) => format!(": {}", because_of(reason)),
        }
    }

    // Returns the command that shows more about a problem, or that ends it.
    fn see(&self, problem: &Problem) -> String {
        let command = match (problem.trouble, &problem.pod, &problem.container) {
            (Trouble::Paused, _, _) => return format!("; resume it: {}", self.resume()),
            // The problem itself has the command.
            (Trouble::NodeNotReady, _, _) | (Trouble::Forbidden, None, _) => return String::new(),
            (Trouble::Budget, None, _) => self.kubectl(&["get", "pdb"]),
            (_, None, _) => self.describe(),
            (Trouble::CrashLoop, Some(pod), Some(container)) => {
                self.kubectl(&["logs", pod, "-c", container, "--previous"])
            }
            (_, Some(pod), _) => self.kubectl(&["describe", "pod", pod]),
        };
        // Its controller does not replace a broken pod, not even when the template is mended.
        let kind = &self.key.kind;
        let delete = problem
            .pod
            .as_ref()
            .filter(|_| *kind == WorkloadKind::StatefulSet);
        let delete = delete.map(|pod| self.kubectl(&["delete", "pod", pod]));
        let delete = delete.map(|it| format!("; once its template is mended, replace it: {it}"));
        format!("; see {command}{}", delete.unwrap_or_default())
    }

    fn describe(&self) -> String {
        let WorkloadRef { kind, name, .. } = self.key;
        self.kubectl(&["describe", &format!("{kind}/{name}")])
    }

    /// Returns the command that ends a pause.
    pub(super) fn resume(&self) -> String {
        let WorkloadRef { kind, name, .. } = self.key;
        self.kubectl(&["rollout", "resume", &format!("{kind}/{name}")])
    }

    fn kubectl(&self, words: &[&str]) -> String {
        let namespace = ["-n", &self.key.namespace];
        self.paste.kubectl(&[&namespace, words].concat())
    }
}
