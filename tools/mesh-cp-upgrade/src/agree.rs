//! Writes the intent and asks for consent.

use anyhow::Context as _;
use mesh_actor::Outcome;
use mesh_cli::Leave;
use mesh_cluster::label;
use mesh_records::{Deed, Intent, Record};
use sha2::{Digest as _, Sha256};

use crate::anew::Content;
use crate::args::Args;
use crate::by_hand::ByHand;
use crate::gate::Goal;
use crate::plan::{Definitions, Part, Plan, Staged};
use crate::render::Manifest;
use crate::session::Session;
use crate::snapshot::Copied;

const WITHOUT_PROXY: &str = "while the proxy injector restarts, new pods may start without a proxy";

/// Writes the intent and asks for consent. Returns false for a dry run.
pub(crate) async fn agree(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    prepared: &Staged<Plan>,
) -> Outcome<bool> {
    if prepared.is_done() {
        return Ok(true);
    }
    let mut deeds = deeds(session, prepared)?;
    if let (true, Staged::Whole(plan)) = (args.rollback_on_failure, prepared) {
        deeds.extend(plan.control_plane.way_back.iter().map(|back| {
            let object = format!("if the upgrade fails: {}", back.command());
            Deed::new("roll back", object)
        }));
    }
    let from = goal.from.as_ref();
    let verb = match args.rollback {
        true => "roll back",
        false => "upgrade",
    };
    let message = format!(
        "{verb} the control plane in {} from {} to {}",
        goal.namespace,
        from.map_or("its current version", |from| from.version.as_str()),
        goal.target
    );
    let cluster = session.cluster.label();
    let (now, run) = (session.now(), &mut session.run);
    let intent = Intent::new(cluster, &run.cluster_uid, now, message, deeds);
    let intent = intent.with_warnings(goal.warnings.clone());
    run.emit(&Record::Intent(intent.clone()))?;
    let summary = summary(args, goal, prepared, &intent);
    match run.ask(intent, &summary).await? {
        Leave::Act => Ok(true),
        Leave::DryRun(_) => Ok(false),
    }
}

// The digest of the intent covers the deeds, so each says a hash over all that decides what is
// written: the command, the values, and the content of every object. Of a control plane that is
// rendered later, it covers all that it is rendered from.
fn deeds(session: &Session<'_>, prepared: &Staged<Plan>) -> anyhow::Result<Vec<Deed>> {
    let mut values = Sha256::new();
    for Copied { name, path } in session.inputs.overrides.copies() {
        let bytes = std::fs::read(path);
        let bytes = bytes.with_context(|| format!("cannot read the copy of `{name}`"))?;
        values.update(Sha256::digest(bytes));
    }
    let values = format!("{:x}", values.finalize());
    let deed = |part: &Part| {
        let content = Content::rendered(&part.rendered).digest();
        let all = Sha256::digest(format!("{}\0{values}\0{content}", part.essence));
        let count = part.rendered.manifests.len();
        let object = format!(
            "{} to {} ({count} objects, content {all:.16x})",
            part.name, part.rendered.chart
        );
        Deed::new(verb(&part.command), object)
    };
    Ok(match prepared {
        Staged::Whole(plan) => {
            let parts = [&plan.crds, &plan.control_plane].into_iter();
            let parts = parts.filter(|part| part.is_needed);
            let deeds = parts.flat_map(|part| [vec![deed(part)], beside(part)].concat());
            deeds.chain(by_hand(&plan.by_hand)).collect()
        }
        Staged::Definitions(first) => {
            let Definitions {
                part,
                rest,
                by_hand: fields,
                missing: _,
            } = &**first;
            let all = Sha256::digest(format!("{}\0{values}", rest.essence));
            let chart = &part.rendered.chart;
            let object = format!(
                "{} to {chart} (rendered when the CRDs are written, from values {all:.16x})",
                rest.name
            );
            let later = Deed::new(verb(&rest.command), object);
            let deeds = [deed(part), later].into_iter();
            deeds.chain(by_hand(fields)).collect()
        }
    })
}

fn by_hand(fields: &[(String, ByHand)]) -> impl Iterator<Item = Deed> {
    let deed =
        |(object, field): &(String, ByHand)| Deed::new(field.verb(), format!("{object}: {field}"));
    fields.iter().map(deed)
}

// What helm deletes, restores and sets otherwise without a word.
fn beside(part: &Part) -> Vec<Deed> {
    let deed = |verb: &str, manifest: &Manifest| {
        let namespace = manifest.namespace.as_deref();
        let place = namespace.map_or(String::new(), |it| format!(" in {it}"));
        Deed::new(verb, format!("{manifest}{place}"))
    };
    let removed = part.removed.iter().map(|it| deed("remove", it));
    let restored = part.restored.iter().map(|it| deed("restore", it));
    let values = part.values.iter();
    let values = values.map(|value| Deed::new(value.verb(), value.to_string()));
    removed.chain(restored).chain(values).collect()
}

fn restarting(plan: &Plan) -> Option<String> {
    let objects = plan.control_plane.restarting(&plan.by_hand).iter();
    let names = objects.filter(|it| it.kind == "Deployment");
    let names: Vec<&str> = names.map(|it| it.name.as_str()).collect();
    let said = match names.len() {
        0 => return None,
        all if all == plan.components.len() => format!("{all} components restart"),
        _ => format!("created again: {}", names.join(", ")),
    };
    Some(match names.contains(&label::INJECTOR) {
        true => format!("{said}; {WITHOUT_PROXY}"),
        false => said,
    })
}

fn verb(command: &[String]) -> String {
    let words: Vec<&str> = command.iter().take(2).map(String::as_str).collect();
    words.join(" ")
}

// A command of helm or of the CLI is no verb of the sentence.
fn colon(deed: &Deed) -> &'static str {
    match deed.verb.split(' ').next() {
        Some("helm" | "linkerd") => ":",
        _ => "",
    }
}

fn summary(args: &Args, goal: &Goal, prepared: &Staged<Plan>, intent: &Intent) -> String {
    let mut lines = vec![intent.message.clone()];
    lines.extend(
        intent
            .deeds
            .iter()
            .map(|deed| format!("  {}{} {}", deed.verb, colon(deed), deed.object)),
    );
    if let Staged::Definitions(first) = prepared {
        lines.push(format!(
            "first the CRDs: the linkerd CLI renders the control plane only when the cluster has them \
             all (missing: {})",
            first.missing.join(", ")
        ));
        lines.push(
            "then the control plane is rendered and checked (its version, the identity settings, a dry \
             run of every object, and that it overwrites nothing that was set by hand and is not \
             named here) before any of it is written; if a check fails, the run ends with the CRDs \
             written and the control plane unchanged"
                .to_owned(),
        );
    }
    lines.extend(match prepared {
        Staged::Whole(plan) => restarting(plan),
        Staged::Definitions(_) => Some(format!("the components restart; {WITHOUT_PROXY}")),
    });
    if let Staged::Whole(plan) = prepared {
        let changes = plan.changes.iter();
        lines.extend(changes.map(|change| format!("allowed with --allow-change: {change}")));
        let no_way_back = plan.no_way_back.iter();
        lines.extend(no_way_back.map(|why| format!("there is no way back: {why}")));
    }
    let warnings = goal.warnings.iter();
    lines.extend(warnings.map(|it| format!("the verdict warns: {it}")));
    let reason = args.reason.iter();
    lines.extend(reason.map(|it| format!("no verdict (--without-gate): {it}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use jiff::Timestamp;

    use std::collections::BTreeMap;

    use super::*;
    use crate::installer::back::WayBack;
    use crate::plan::{Rest, Write};
    use crate::render::Rendered;

    #[test]
    fn the_question_says_that_the_crds_come_first_and_what_is_checked_after_them() {
        let first = Definitions {
            part: Part {
                name: "the CRDs".to_owned(),
                command: Vec::new(),
                essence: String::new(),
                rendered: Rendered {
                    chart: "linkerd stable-2.14.10".to_owned(),
                    app_version: None,
                    manifests: Vec::new(),
                    hooks: Vec::new(),
                    fixed: BTreeMap::new(),
                    merge: crate::render::Merge::default(),
                    given: crate::values::Given::default(),
                },
                installed: None,
                values: Vec::new(),
                removed: Vec::new(),
                restored: Vec::new(),
                is_needed: true,
                only_restores: false,
                way_back: None,
                write: Write::Apply,
            },
            missing: vec!["a.example.test".to_owned(), "b.example.test v1".to_owned()],
            by_hand: Vec::new(),
            rest: Rest {
                name: "the control plane".to_owned(),
                command: Vec::new(),
                essence: String::new(),
                way_back: WayBack::Cli(String::new()),
            },
        };
        let goal = Goal {
            namespace: "linkerd".to_owned(),
            target: "stable-2.14.10".to_owned(),
            from: None,
            verdict: None,
            warnings: Vec::new(),
            places: Vec::new(),
        };
        let prepared = Staged::Definitions(Box::new(first));
        let intent = Intent::new(
            "eu",
            "uid",
            Timestamp::UNIX_EPOCH,
            "upgrade".to_owned(),
            vec![],
        );
        let summary = summary(&Args::parse_from(["t"]), &goal, &prepared, &intent);
        for part in [
            "first the CRDs",
            "(missing: a.example.test, b.example.test v1)",
            "then the control plane is rendered and checked",
            "the CRDs written and the control plane unchanged",
        ] {
            assert!(summary.contains(part), "{part}: {summary}");
        }
    }
}
