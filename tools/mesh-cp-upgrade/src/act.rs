//! The writes: helm's two upgrades, one after the other.

use mesh_records::{Explained, StepName};

use crate::drive::before_writing;
use crate::ending::{AGAIN, Ending, Outcome};
use crate::helm::{Helm, quote};
use crate::prepare::{Part, Plan};
use crate::session::Session;

/// Upgrades what needs it: the definitions first.
pub(crate) async fn upgrade(session: &mut Session, helm: &Helm, plan: &Plan) -> Outcome<()> {
    run(session, helm, StepName::Crds, &plan.crds).await?;
    run(session, helm, StepName::ControlPlane, &plan.control_plane).await
}

async fn run(session: &mut Session, helm: &Helm, step: StepName, part: &Part) -> Outcome<()> {
    let Part {
        upgrade,
        rendered,
        is_needed,
        way_back,
    } = part;
    let name = &upgrade.release.name;
    if !is_needed {
        let message = format!("{name} is {}", rendered.chart);
        return session.skip(step, &message, "it is at the target already");
    }
    before_writing(session)?;
    let message = format!("helm upgrades {name} to {}", rendered.chart);
    session.begin_command(step, &message, helm.command(upgrade))?;
    // The record may have been the one that nobody heard.
    before_writing(session)?;
    let mut writer = helm.upgrade(upgrade)?;
    let status = session.see_out(writer.finished()).await??;
    if status.success() {
        return session.done(&format!("{name} is {}", rendered.chart));
    }
    let what = format!(
        "helm could not upgrade {name} ({status}): {}",
        quote(&writer.said()?)
    );
    let hint = match way_back {
        Some(revision) => format!(
            "mend what it says and {AGAIN}; or go back: {}",
            helm.way_back(&upgrade.release, *revision)
        ),
        None => format!("mend what it says and {AGAIN}"),
    };
    Err(Ending::No(Explained::new(what, hint)))
}
