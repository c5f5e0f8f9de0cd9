//! The API server's opinion of every object, before any of them is written.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use mesh_actor::{Ending, Outcome, refused};
use mesh_cluster::wire::kinds::Kind;
use mesh_cluster::{Cluster, Error, Kinds, Opinion};
use mesh_records::StepName;

use crate::apply::MANAGER;
use crate::gate::Goal;
use crate::plan::{Plan, Write};
use crate::render::Manifest;
use crate::session::Session;

/// As many questions as the API server is asked at once.
const AT_ONCE: usize = 8;

/// Asks about every object; the first refusal is the answer.
pub(crate) async fn preflight(session: &mut Session<'_>, goal: &Goal, plan: &Plan) -> Outcome<()> {
    session.begin(StepName::Preflight, "server-side dry run of every object")?;
    let cluster = Arc::clone(&session.cluster);
    let parts = [&plan.crds, &plan.control_plane]
        .into_iter()
        .filter(|part| part.is_needed);
    let write = &plan.control_plane.write;
    let manifests: Vec<&Manifest> = parts.flat_map(|part| &part.rendered.manifests).collect();
    let to_come = plan.crds.rendered.new_kinds();
    let rehearsing = async {
        let mut kinds = Kinds::default();
        let mut questions = Vec::new();
        let mut unasked = 0;
        for manifest in &manifests {
            match cluster
                .kind(&mut kinds, &manifest.api_version, &manifest.kind)
                .await?
            {
                Some(kind) => questions.push((kind, *manifest)),
                None if to_come.contains(&manifest.kind) => unasked += 1,
                None => return Err(unknown_kind(manifest)),
            }
        }
        let asked = questions.len();
        let answers = futures::stream::iter(questions).map(|(kind, manifest)| {
            let cluster = &cluster;
            async move {
                match rehearse(cluster, &kind, manifest, &goal.namespace, write).await? {
                    Opinion::Accepted => Ok(()),
                    Opinion::Refused(reason) => Err(refused(
                        format!("the API server would refuse {manifest}: {reason}"),
                        "nothing was written; fix what it says, then run the pipeline again",
                    )),
                }
            }
        });
        answers
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok((asked, unasked))
    };
    let (asked, unasked) = session.unless_stopped(rehearsing).await??;
    let rest = match unasked {
        0 => String::new(),
        count => format!("; {count} more are of kinds that the new definitions bring"),
    };
    session.done(&format!(
        "server-side dry run: all {asked} objects accepted{rest}"
    ))
}

// In the way in which it will be written.
async fn rehearse(
    cluster: &Cluster,
    kind: &Kind,
    manifest: &Manifest,
    namespace: &str,
    write: &Write,
) -> Result<Opinion, Error> {
    let body = &manifest.body;
    match write {
        Write::Helm(..) => cluster.rehearse(kind, body, namespace, "helm").await,
        Write::Apply => match cluster.rehearse(kind, body, namespace, MANAGER).await? {
            Opinion::Accepted => cluster.rehearse_apply(kind, body, namespace, MANAGER).await,
            refused @ Opinion::Refused(_) => Ok(refused),
        },
    }
}

fn unknown_kind(manifest: &Manifest) -> Ending {
    refused(
        format!(
            "the API server does not know the kind of {manifest} ({})",
            manifest.api_version
        ),
        "is the cluster's Kubernetes too old or too new for the target?",
    )
}
