//! What could not be looked at. Pure.
//!
//! What was seen and is wrong is the answer no. What could not be looked at leaves the question open.

use std::fmt;
use std::time::Duration;

use mesh_records::{Explain as _, Explained};

/// Why something could not be looked at. An error that has this as a cause is no finding.
#[derive(Debug)]
pub(crate) enum Unseen {
    /// A program did not end in time.
    Late(Duration),
    /// A program says this, because a server did not answer it, or not with what it asked for.
    Unanswered(String),
    /// A program printed what cannot be read, for this reason.
    Garbled(String),
}

/// What a program is asked for, which decides what its failure means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// To read what is there: a failure answers only if it says that nothing is.
    Facts,
    /// To make something of what it is given: a failure is the program's opinion of that.
    Opinion,
}

/// What helm says where a release, a chart or a repository is not there.
const ABSENT: [&str; 3] = ["not found", "no repositories", "helm repo update"];

/// How Go begins to quote a request that got no answer, in small letters. The address and the cause
/// follow.
const REQUESTS: [&str; 6] = [
    "get \"http",
    "head \"http",
    "patch \"http",
    "post \"http",
    "put \"http",
    "delete \"http",
];

/// What helm and the linkerd CLI say of answers that are not about the request itself: the server
/// is busy, broken or interrupted, or this user may not ask.
const ASIDE: [&str; 15] = [
    "Kubernetes cluster unreachable",
    "Internal error occurred",
    "client rate limiter Wait returned an error",
    "error when reading response body",
    "etcdserver: ",
    "executable file not found",
    "failed to download openapi",
    "has prevented the request from succeeding",
    "is forbidden: User ",
    "stale GroupVersion discovery",
    "the server has asked for the client to provide credentials",
    "the server has received too many requests",
    "the server is currently unable to handle the request",
    "the server was unable to return a response in the time allotted",
    "unexpected EOF",
];

// === impl Unseen ===

impl Unseen {
    /// Makes the error of which this is the cause.
    ///
    /// # Errors
    /// Always: it is one.
    pub(crate) fn explain<T>(self, what: impl Into<String>) -> Result<T, Explained> {
        let hint = self.hint();
        Err(self).explain(what, hint)
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Late(_) => {
                "check the API server, or allow more time: the limit is ten times the --request-timeout"
            }
            Self::Unanswered(said) if said.contains("is forbidden: User ") => {
                "allow it with RBAC, then run the pipeline again"
            }
            Self::Unanswered(_) => {
                "check the network, and the server that this error names; then run the pipeline again"
            }
            Self::Garbled(_) => {
                "check that --helm and --linkerd name these programs themselves, not a script that prints more"
            }
        }
    }

    /// Returns true if an error says that something could not be looked at.
    pub(crate) fn causes(error: &anyhow::Error) -> bool {
        error.chain().any(|cause| cause.is::<Self>())
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(limit) => write!(f, "it takes more than {limit:?}"),
            Self::Unanswered(said) | Self::Garbled(said) => f.write_str(said),
        }
    }
}

impl std::error::Error for Unseen {}

// === impl Question ===

impl Question {
    /// Returns true if what a program printed when it failed answers the question.
    pub(crate) fn is_answered_by(self, said: &str) -> bool {
        let said = error(said);
        let is_told = match self {
            Self::Facts => {
                let said = said.to_lowercase();
                ABSENT.iter().any(|part| said.contains(part))
            }
            Self::Opinion => !said.trim().is_empty(),
        };
        is_told && !asks_in_vain(said) && !ASIDE.iter().any(|part| said.contains(part))
    }
}

// Returns true if an error quotes a request that got no answer.
fn asks_in_vain(said: &str) -> bool {
    let said = said.to_lowercase();
    REQUESTS.iter().any(|part| said.contains(part))
}

// Leaves out the warnings before an error, which may be about something else.
fn error(said: &str) -> &str {
    let mut errors = said.rmatch_indices("Error: ");
    let starts_line = |at: usize| at == 0 || said[..at].ends_with('\n');
    let last = errors.find(|(at, _)| starts_line(*at));
    last.map_or(said, |(at, _)| &said[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_answers_only_if_it_is_about_what_was_asked() {
        use Question::{Facts, Opinion};
        let refused = "dial tcp 127.0.0.1:1: connect: connection refused";
        let request = format!("Error: Get \"https://h/version\": {refused}");
        let busy = "the server is currently unable to handle the request";
        let warned = format!("W1127 metrics.k8s.io/v1beta1: {busy}\n");
        let kube =
            "Error: UPGRADE FAILED: chart requires kubeVersion: >=1.99.0-0 which is incompatible";
        let missing = "Error: release: not found";
        let table = [
            (Facts, missing.to_owned(), true),
            (Facts, format!("{warned}{missing}"), true),
            (Facts, "Error: repo linkerd not found".to_owned(), true),
            (
                Facts,
                "Error: failed to fetch http://h/c.tgz : 404 Not Found".to_owned(),
                true,
            ),
            (
                Facts,
                "Error: no cached repo found. (try 'helm repo update'): open index.yaml".to_owned(),
                true,
            ),
            (
                Facts,
                "Error: failed to fetch http://h/c.tgz : 503 Service Unavailable".to_owned(),
                false,
            ),
            (Facts, request.clone(), false),
            (
                Facts,
                "Error: Get \"https://h/\": getting credentials: exec: executable x not found"
                    .to_owned(),
                false,
            ),
            (
                Facts,
                "Error: GET \"https://h/v2/\": credentials helper not found".to_owned(),
                false,
            ),
            (
                Facts,
                "Error: exec: \"docker-credential-x\": executable file not found in $PATH".to_owned(),
                false,
            ),
            (Facts, String::new(), false),
            (Opinion, kube.to_owned(), true),
            (Opinion, format!("{warned}{kube}"), true),
            (Opinion, format!("{missing}\n{kube}"), true),
            (
                Opinion,
                "CRD servers.policy.linkerd.io not found".to_owned(),
                true,
            ),
            (Opinion, request, false),
            (
                Opinion,
                format!("Error: Kubernetes cluster unreachable: {busy}"),
                false,
            ),
            (Opinion, format!("Error: {busy}"), false),
            (
                Opinion,
                "Error: secrets \"s\" is forbidden: User \"u\" cannot get resource".to_owned(),
                false,
            ),
            (
                Opinion,
                "Error: UPGRADE FAILED: etcdserver: leader changed".to_owned(),
                false,
            ),
            (
                Opinion,
                "Error: unable to retrieve the complete list of server APIs: metrics.k8s.io/v1beta1: \
                 stale GroupVersion discovery: metrics.k8s.io/v1beta1"
                    .to_owned(),
                false,
            ),
            (
                Opinion,
                "Error: client rate limiter Wait returned an error: context deadline exceeded"
                    .to_owned(),
                false,
            ),
            (Opinion, "Error: failed to download openapi: unknown".to_owned(), false),
            (Opinion, "Error: unexpected EOF".to_owned(), false),
            (Opinion, "\n".to_owned(), false),
        ];
        for (question, said, expected) in table {
            assert_eq!(
                question.is_answered_by(&said),
                expected,
                "{question:?}: {said}"
            );
        }
    }

    #[test]
    fn a_cause_is_found_beneath_what_is_said_around_it() {
        let error = || Unseen::Unanswered("no route".to_owned()).explain::<()>("cannot look");
        let error = anyhow::Error::from(error().unwrap_err()).context("rendering");
        assert!(Unseen::causes(&error));
        assert_eq!(format!("{error:#}"), "rendering: cannot look: no route");
        assert!(!Unseen::causes(&anyhow::anyhow!("cannot look: no route")));
    }
}
