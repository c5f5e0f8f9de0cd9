//! Checks what an upgrade claims to have done, at once and over the run's own connection: a program
//! in helm's place may swallow an exit code, do nothing, or work on another cluster.

use std::sync::Arc;

use mesh_actor::{Ending, Outcome};
use mesh_cluster::object::Deployment;
use mesh_cluster::{Cluster, Selection, label};
use mesh_records::Explained;

use crate::anew::Content;
use crate::gate::Goal;
use crate::identity::{Identity, Issuer, changes};
use crate::installer::history::{Revision, Status};
use crate::live::look;
use crate::plan::{Doing, Helming, Part, Plan, Write};
use crate::present::{differs, missing};
use crate::session::Session;

/// Checks that helm wrote a revision after `over` of what was agreed to, on this cluster. Returns it.
pub(crate) async fn release(
    session: &mut Session<'_>,
    agreed: &Part,
    helming: &Helming,
) -> Outcome<Revision> {
    let Helming { helm, over, .. } = helming;
    let release = helming.release();
    let cluster = Arc::clone(&session.cluster);
    let checking = async {
        let reading = (helm.history(release), helm.installed(release, None));
        let (history, installed) = futures::future::join(reading.0, reading.1).await;
        let history = history?;
        let latest = history.latest();
        if let Some(there) = not_upgraded(latest, *over, &agreed.rendered.chart) {
            return Ok(Err(there));
        }
        let absent = helm.driver.missing(&cluster, release, latest.revision);
        if let Some(there) = absent.await? {
            return Ok(Err(there));
        }
        let installed = Content::of(&installed?);
        let differing = installed.differing(&Content::of(&agreed.rendered.manifests));
        let there = format!("it wrote {latest} with other objects than those that were agreed to");
        if !differing.is_empty() {
            return Ok(Err(format!("{there}: {}", differing.join(", "))));
        }
        let agreed = &agreed.rendered.manifests;
        let missing = missing(&cluster, agreed, &release.namespace).await?;
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Ok(Err(format!(
                "the cluster lacks objects of {latest}: {missing}"
            )));
        }
        Ok::<_, anyhow::Error>(Ok(latest.clone()))
    };
    match session.see_out(checking).await?? {
        Ok(latest) => Ok(latest),
        Err(there) => Err(false_claim(&claimed(helming, &agreed.name), &there)),
    }
}

fn not_upgraded(latest: &Revision, over: u32, chart: &str) -> Option<String> {
    if latest.revision <= over {
        return Some(format!("the newest revision is still {latest}"));
    }
    let is = latest.status == Status::Deployed && latest.chart == chart;
    (!is).then(|| format!("the newest revision is {latest}, not {chart}, deployed"))
}

/// Checks that the control plane in the cluster is the one that was agreed to.
pub(crate) async fn control_plane(
    session: &mut Session<'_>,
    goal: &Goal,
    plan: &Plan,
) -> Outcome<()> {
    let cluster = Arc::clone(&session.cluster);
    let checking = async {
        let live = look(&cluster, &goal.namespace).await?;
        let version = live.configuration().version.unwrap_or("no version");
        if version != goal.target {
            return Ok(Some(format!(
                "linkerd-config names {version}, not {}",
                goal.target
            )));
        }
        if let Some(there) = other_components(&cluster, goal, plan).await? {
            return Ok(Some(there));
        }
        // Of helm's definitions, the revision of their release is checked, and a rollback writes none.
        let Part { rendered, .. } = &plan.crds;
        if matches!(plan.control_plane.write, Write::Apply)
            && differs(&cluster, &rendered.manifests, &goal.namespace).await?
        {
            let name = &plan.crds.name;
            return Ok(Some(format!("{name} differs from what was agreed to")));
        }
        let live = live.identity(&cluster).await?;
        let mut agreed = Identity::rendered(&plan.control_plane.rendered)?;
        if live.issuer == Issuer::Unreadable {
            agreed.issuer = Issuer::Unreadable;
        }
        let all = changes(&agreed, &live).into_iter();
        let words = all.map(|change| {
            let (key, to, from) = (change.key.sentence(), change.to, change.from);
            format!("{key}: there is {to}, agreed was {from}")
        });
        let words: Vec<String> = words.collect();
        Ok::<_, Ending>((!words.is_empty()).then(|| words.join("; ")))
    };
    match session.see_out(checking).await?? {
        None => Ok(()),
        Some(there) => {
            let part = &plan.control_plane;
            let claim = match &part.write {
                Write::Helm(helming) => claimed(helming, &part.name),
                Write::Apply => "every object was written".to_owned(),
            };
            Err(false_claim(&claim, &there))
        }
    }
}

async fn other_components(
    cluster: &Cluster,
    goal: &Goal,
    plan: &Plan,
) -> Result<Option<String>, mesh_cluster::Error> {
    let selection = Selection {
        namespace: Some(&goal.namespace),
        labels: Some(label::COMPONENT),
    };
    let deployments = cluster.pages::<Deployment>(selection).all().await?;
    Ok(plan.components.iter().find_map(|expected| {
        let name = &expected.name;
        let mut all = deployments.iter();
        match all.find(|deployment| deployment.meta.name == *name) {
            None => Some(format!("the Deployment {name} does not exist")),
            Some(deployment) => {
                let other = expected.other_image(&deployment.spec.template.spec)?;
                Some(format!("the Deployment {name} has {other}"))
            }
        }
    }))
}

fn claimed(helming: &Helming, name: &str) -> String {
    match helming.deed {
        Doing::Upgrade(_) => format!("helm claims to have upgraded {name}"),
        Doing::Rollback(_) => format!("helm claims to have rolled back {name}"),
    }
}

fn false_claim(claim: &str, there: &str) -> Ending {
    let hint = "look at what is there, and at the program that --helm or --linkerd names";
    Ending::No(Explained::new(format!("{claim}, but {there}"), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_needs_a_newer_revision_that_is_deployed_and_of_the_chart() {
        let latest = |revision, status, chart: &str| Revision {
            revision,
            status,
            chart: chart.to_owned(),
            app_version: String::new(),
            description: String::new(),
        };
        let chart = "cp-1.16.11";
        let table = [
            (latest(2, Status::Deployed, chart), None),
            (latest(1, Status::Deployed, chart), Some("is still")),
            (latest(2, Status::Failed, chart), Some("failed")),
            (latest(2, Status::PendingUpgrade, chart), Some("pending")),
            (latest(2, Status::Deployed, "cp-1.12.7"), Some("cp-1.12.7")),
        ];
        for (latest, part) in table {
            let said = not_upgraded(&latest, 1, chart);
            assert_eq!(said.is_some(), part.is_some(), "{latest}");
            assert!(said.unwrap_or_default().contains(part.unwrap_or("")));
        }
    }
}
