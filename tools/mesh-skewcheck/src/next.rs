//! The next command, or what else is to be done next.

use std::cmp::Ordering;

use mesh_records::{Ask, ControlPlane, Rule};

use crate::acknowledged::PREFIX;
use crate::question::Standpoint;
use crate::rules::health::is_in_progress;
use crate::sentence::roll;
use crate::steps::{self, Deed};
use crate::tally::Tally;

/// Returns what to do next. A command works as it stands, but for placeholders in capitals.
pub(crate) fn next(
    plane: &ControlPlane,
    at: &Standpoint<'_>,
    blocking: &[String],
    tally: &Tally,
) -> Option<String> {
    let blocks = |rule: Rule| blocking.iter().any(|id| id == rule.as_str());
    let to = at.target.as_ref();
    let upgrade = |to: &str| match steps::upgrade(plane, to, at) {
        Deed::Commands(commands) => commands.join(" && "),
        Deed::Sentence(sentence) => sentence,
    };
    let roll = || (tally.counts().roll > 0).then(|| roll(at));
    match (at.ask(), blocking.is_empty()) {
        (Ask::Upgrade, true) => {
            let to = to?;
            let there = at.same_release(&at.running, to) && !is_in_progress(plane, at);
            let done = ["--ask", "done", "--to", to.as_str()];
            Some(match there {
                true => at.judged(&done),
                false => upgrade(to.as_str()),
            })
        }
        (Ask::Upgrade, false) if blocks(Rule::HopSkipsMinor) => {
            let path = at.releases().path(&at.running, to?)?;
            let first = path.first()?.release.as_ref()?;
            Some(at.judged(&["--to", first.as_str()]))
        }
        (Ask::Upgrade, false) if blocking.iter().all(|id| id.starts_with(PREFIX)) => {
            Some(at.judged(&["--notes", "--to", to?.as_str()]))
        }
        // A downgrade never passes the gate, so no command is offered for a target older than the
        // running version.
        (Ask::Done, false) if blocks(Rule::ControlPlaneNotAtTarget) => to
            .filter(|to| at.running.order(to) != Some(Ordering::Greater))
            .map(|to| upgrade(to.as_str())),
        (Ask::Upgrade | Ask::Done | Ask::Roll, false) if blocks(Rule::ControlPlaneUnhealthy) => {
            None
        }
        (Ask::Upgrade | Ask::Done, false) | (Ask::Drift, _) | (Ask::Roll, true) => roll(),
        (Ask::Roll, false) | (Ask::Done, true) => None,
    }
}
