//! What stands in the way of the first write. All of it is looked for before it ends the run.

use mesh_actor::{Ending, Outcome};
use mesh_cluster::{Error, Why};
use mesh_records::{Explained, StepName};

use crate::session::Session;
use crate::unseen::Unseen;
use crate::way_back::explained;

// === impl Session ===

impl Session<'_> {
    /// Keeps what stands in the way for [`Session::conclude`], so that the other checks are made as
    /// well; returns `None` then. What ends a run at once, such as a signal or something that could not
    /// be looked at, is returned.
    pub(crate) fn note<T>(&mut self, outcome: Outcome<T>) -> Outcome<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(Ending::Failed(error)) if !is_open(&error) => {
                self.find(explained(&error))?;
                Ok(None)
            }
            Err(ending) => Err(ending),
        }
    }

    /// Notes one thing that stands in the way.
    pub(crate) fn find(&mut self, finding: Explained) -> Outcome<()> {
        self.fails(&finding)?;
        self.findings.all.push(finding);
        Ok(())
    }

    /// Notes what would keep the control plane from settling. What goes back after a failure is only
    /// warned of it: the state that it leaves is no better.
    pub(crate) fn foresee(&mut self, finding: Explained) -> Outcome<()> {
        match self.goes_back {
            true => self.warn(&finding),
            false => self.find(finding),
        }
    }

    /// Notes what may be over when a run writes: only `--preflight` asks about now, and any other dry
    /// run warns of it.
    pub(crate) fn remark(&mut self, outcome: Outcome<()>) -> Outcome<()> {
        match outcome {
            Err(Ending::Failed(error)) if !is_open(&error) && !self.findings.is_question => {
                self.warn(&explained(&error))
            }
            outcome => self.note(outcome).map(drop),
        }
    }

    fn warn(&mut self, finding: &Explained) -> Outcome<()> {
        self.says_waiting(format!("warning: {finding}"), finding.hint().to_owned())
    }

    /// Ends the run because of the last finding: the steps that are named cannot be done.
    pub(crate) fn unchecked(&mut self, steps: &[(StepName, &str)]) -> Ending {
        for (step, what) in steps {
            let skipped = self.skip(*step, &format!("not checked: {what}"), "see what failed");
            if let Err(ending) = skipped {
                return ending;
            }
        }
        let what: Vec<&str> = steps.iter().map(|(_, what)| *what).collect();
        let last = self.findings.all.pop();
        let said = |last: Explained| {
            last.and(&format!(
                "because of that, not checked: {}",
                what.join(", ")
            ))
        };
        self.findings.all.extend(last.map(said));
        self.all_found()
    }

    /// Adds what was found to the ending of a run that ends before it has looked at everything.
    pub(crate) fn with_findings(&mut self, ending: Ending) -> Ending {
        let error = match ending {
            Ending::Failed(error) if !self.findings.all.is_empty() => error,
            Ending::Done { .. }
            | Ending::No(_)
            | Ending::Failed(_)
            | Ending::Stopped(_)
            | Ending::Skipped(_)
            | Ending::Left { .. } => return ending,
        };
        self.findings.all.push(explained(&error));
        Ending::Failed(Explained::of(std::mem::take(&mut self.findings.all)).into())
    }
}

// Returns true if the API server, or a program, did not answer, or not with what it thinks of the
// request. A question is still open then.
fn is_open(error: &anyhow::Error) -> bool {
    if Unseen::causes(error) {
        return true;
    }
    let mut chain = error.chain();
    let known = chain.find_map(|it| it.downcast_ref::<Error>());
    known.is_some_and(|error| match error.why() {
        Why::Forbidden => error.lacks_a_right(),
        Why::NotFound | Why::Refused | Why::Conflict => false,
        Why::Unreachable
        | Why::TimedOut
        | Why::Unauthorized
        | Why::Gone
        | Why::Busy
        | Why::Broken
        | Why::Malformed => true,
    })
}

#[cfg(test)]
mod tests {
    use mesh_actor::hinted;

    use super::*;

    #[test]
    fn what_could_not_be_looked_at_leaves_the_question_open_whatever_is_said_around_it() {
        let unseen = || {
            let unseen = Unseen::Unanswered("no route to the repository".to_owned());
            anyhow::Error::from(unseen.explain::<()>("cannot download").unwrap_err())
        };
        let seen = || anyhow::anyhow!("release: not found");
        let refused = || Explained::new("a lock is held", "wait");
        // the error, whether nobody knows the answer
        let table = [
            (unseen(), true),
            (unseen().context("rendering"), true),
            (seen(), false),
            (seen().context("rendering"), false),
            (refused().into(), false),
        ];
        for (error, expected) in table {
            let said = format!("{error:#}");
            assert_eq!(is_open(&error), expected, "{said}");
            let Ending::Failed(error) = hinted(error, "try it") else {
                panic!("it fails: {said}");
            };
            assert_eq!(is_open(&error), expected, "a hint hides no cause: {said}");
        }
    }
}
