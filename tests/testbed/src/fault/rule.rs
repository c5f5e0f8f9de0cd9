//! Selects the requests for a fault.

use http::{Method, request::Parts, uri::PathAndQuery};

use super::harm::Fault;
use crate::event::AuditEvent;

/// Conditions on requests; without conditions it matches every request.
#[derive(Clone, Debug, Default)]
pub struct Match {
    methods: Vec<Method>,
    /// Parts that the path with its query must contain, and parts that it must not contain.
    with: Vec<String>,
    without: Vec<String>,
    agent: Option<String>,
    like: Option<Likeness>,
    nth: Option<usize>,
}

/// What two requests have in common if they differ only in time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Likeness {
    user_agent: String,
    verb: String,
    path: String,
    dry_run: bool,
}

/// A fault and the requests that it is for.
#[derive(Debug)]
pub(super) struct Rule {
    matcher: Match,
    fault: Fault,
    seen: usize,
}

// === impl Match ===

impl Match {
    /// Matches every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Matches requests that change something, without dry runs and access reviews.
    pub fn writes() -> Self {
        let methods = vec![Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let without = ["dryRun=", "authorization.k8s.io/", "authentication.k8s.io/"];
        Self {
            methods,
            without: without.map(str::to_owned).into(),
            ..Self::default()
        }
    }

    /// Matches requests with one method.
    pub fn method(method: Method) -> Self {
        Self {
            methods: vec![method],
            ..Self::default()
        }
    }

    /// Matches watches whose path contains `part`.
    pub fn watches(part: &str) -> Self {
        Self::method(Method::GET).path(part).path("watch=")
    }

    /// Matches requests like `event`: same user agent, verb, path, and dry run or not.
    pub fn like(event: &AuditEvent) -> Self {
        Self {
            like: Some(Likeness::of(event)),
            ..Self::default()
        }
    }

    /// Keeps only requests whose path with its query contains `part`.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.with.push(part.to_owned());
        self
    }

    /// Keeps only requests whose user agent starts with `prefix`.
    #[must_use]
    pub fn agent(self, prefix: &str) -> Self {
        Self {
            agent: Some(prefix.to_owned()),
            ..self
        }
    }

    /// Keeps only the `n`th of the requests, counted from one.
    #[must_use]
    pub fn nth(self, n: usize) -> Self {
        Self {
            nth: Some(n),
            ..self
        }
    }

    fn covers(&self, request: &Parts, event: &AuditEvent) -> bool {
        let Self {
            methods,
            with,
            without,
            agent,
            like,
            nth: _,
        } = self;
        let path = request
            .uri
            .path_and_query()
            .map_or("", PathAndQuery::as_str);
        (methods.is_empty() || methods.contains(&request.method))
            && with.iter().all(|part| path.contains(part.as_str()))
            && !without.iter().any(|part| path.contains(part.as_str()))
            && agent
                .as_ref()
                .is_none_or(|prefix| event.user_agent.starts_with(prefix.as_str()))
            && like
                .as_ref()
                .is_none_or(|like| *like == Likeness::of(event))
    }
}

impl Likeness {
    fn of(event: &AuditEvent) -> Self {
        let path = event.uri.split('?').next().unwrap_or_default();
        Self {
            user_agent: event.user_agent.clone(),
            verb: event.verb.clone(),
            path: path.to_owned(),
            dry_run: event.dry_run,
        }
    }
}

// === impl Rule ===

impl Rule {
    pub(super) fn new(matcher: Match, fault: Fault) -> Self {
        Self {
            matcher,
            fault,
            seen: 0,
        }
    }

    /// Returns the fault if it is for this request. Counts the requests that match.
    pub(super) fn strike(&mut self, request: &Parts, event: &AuditEvent) -> Option<Fault> {
        if !self.matcher.covers(request, event) {
            return None;
        }
        self.seen += 1;
        self.matcher
            .nth
            .is_none_or(|n| n == self.seen)
            .then(|| self.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::fault::{body::Spoil, log};

    fn parts(method: &str, path: &str) -> Parts {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("user-agent", "mesh-roll/1");
        request.body(()).unwrap().into_parts().0
    }

    fn strikes(matcher: Match, requests: &[(&str, &str)]) -> Vec<bool> {
        let mut rule = Rule::new(matcher, Fault::Spoil(Spoil::Garble));
        let mut strike = |(method, path): &(&str, &str)| {
            let parts = parts(method, path);
            rule.strike(&parts, &log::event(&parts, b"")).is_some()
        };
        requests.iter().map(&mut strike).collect()
    }

    #[test]
    fn only_the_requests_that_match_are_counted() {
        let requests = [
            ("GET", "/apis/apps/v1/deployments"),
            ("PATCH", "/apis/apps/v1/deployments/a"),
            ("PATCH", "/apis/apps/v1/deployments/a?dryRun=All"),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            ),
            ("PATCH", "/apis/apps/v1/deployments/b"),
        ];
        let first = |method, path| log::event(&parts(method, path), b"");
        let list = first("GET", "/apis/apps/v1/deployments?limit=1");
        let watch = first("GET", "/apis/apps/v1/deployments?watch=1");
        let dry = first("PATCH", "/apis/apps/v1/deployments/a?dryRun=All");
        for (matcher, wanted) in [
            (Match::any(), [true, true, true, true, true]),
            (Match::writes(), [false, true, false, false, true]),
            (Match::writes().nth(2), [false, false, false, false, true]),
            (
                Match::method(Method::GET),
                [true, false, false, false, false],
            ),
            (
                Match::any()
                    .path("deployments")
                    .path("dryRun")
                    .agent("mesh-"),
                [false, false, true, false, false],
            ),
            (Match::any().agent("kubectl"), [false; 5]),
            (Match::like(&list), [true, false, false, false, false]),
            (Match::like(&watch), [false; 5]),
            (Match::like(&dry), [false, false, true, false, false]),
        ] {
            assert_eq!(strikes(matcher.clone(), &requests), wanted, "{matcher:?}");
        }
    }
}
