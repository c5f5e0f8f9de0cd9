//! Writes the intent and asks for consent.

use anyhow::Context as _;
use mesh_actor::Outcome;
use mesh_cli::Leave;
use mesh_records::{Deed, Intent, Record};
use sha2::{Digest as _, Sha256};

use crate::anew::Content;
use crate::args::Args;
use crate::gate::Goal;
use crate::plan::{Part, Plan};
use crate::session::Session;
use crate::snapshot::Copied;

/// Writes the intent and asks for consent. Returns false for a dry run.
pub(crate) async fn agree(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    plan: &Plan,
) -> Outcome<bool> {
    if plan.is_done() {
        return Ok(true);
    }
    let deeds = deeds(session, plan)?;
    let from = goal.from.as_ref();
    let message = format!(
        "upgrade the control plane in {} from {} to {}",
        goal.namespace,
        from.map_or("its current version", |from| from.version.as_str()),
        goal.target
    );
    let cluster = session.cluster.label();
    let (now, run) = (session.now(), &mut session.run);
    let intent = Intent::new(cluster, &run.cluster_uid, now, message, deeds);
    let intent = intent.with_warnings(goal.warnings.clone());
    run.emit(&Record::Intent(intent.clone()))?;
    let summary = summary(args, goal, plan, &intent);
    let asking = run.consent(intent, &summary);
    match session.unless_stopped(asking).await?? {
        Leave::Act => Ok(true),
        Leave::DryRun(_) => Ok(false),
    }
}

// The digest of the intent covers the deeds, so each says a hash over all that decides what is
// written: the command, the values, and the content of every object.
fn deeds(session: &Session<'_>, plan: &Plan) -> anyhow::Result<Vec<Deed>> {
    let mut values = Sha256::new();
    for Copied { name, path } in &session.inputs.values {
        let bytes = std::fs::read(path);
        let bytes = bytes.with_context(|| format!("cannot read the copy of `{name}`"))?;
        values.update(Sha256::digest(bytes));
    }
    let values = format!("{:x}", values.finalize());
    let parts = [&plan.crds, &plan.control_plane]
        .into_iter()
        .filter(|part| part.is_needed);
    let deed = |part: &Part| {
        let content = Content::rendered(&part.rendered).digest();
        let all = Sha256::digest(format!("{}\0{values}\0{content}", part.essence));
        let count = part.rendered.manifests.len();
        Deed {
            verb: part
                .command
                .iter()
                .take(2)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(" "),
            object: format!(
                "{} to {} ({count} objects, content {all:.16x})",
                part.name, part.rendered.chart
            ),
        }
    };
    Ok(parts.map(deed).collect())
}

fn summary(args: &Args, goal: &Goal, plan: &Plan, intent: &Intent) -> String {
    let mut lines = vec![intent.message.clone()];
    lines.extend(
        intent
            .deeds
            .iter()
            .map(|deed| format!("  {} {}", deed.verb, deed.object)),
    );
    lines.push(format!(
        "{} components restart; while the proxy injector restarts, new pods may start without a proxy",
        plan.components.len()
    ));
    lines.extend(
        plan.changes
            .iter()
            .map(|change| format!("allowed with --allow-change: {change}")),
    );
    let warnings = goal.warnings.iter();
    lines.extend(warnings.map(|it| format!("the verdict warns: {it}")));
    if goal.verdict.is_none() {
        let reason = args.reason.as_deref().unwrap_or_default();
        lines.push(format!("no verdict (--without-gate): {reason}"));
    }
    lines.join("\n")
}
