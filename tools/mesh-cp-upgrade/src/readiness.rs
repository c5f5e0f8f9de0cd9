//! Whether pods of the mesh that were ready before an upgrade are still ready after it.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_actor::Outcome;
use mesh_cluster::clock::later;
use tokio::time::{Duration, Instant};

use crate::mesh;
use crate::session::Session;

/// The pods that were ready; `None` without the right to list pods.
#[derive(Debug)]
pub(crate) struct Readiness(Option<BTreeSet<String>>);

/// How long a pod may take to become ready again.
const GRACE: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How many pods are named.
const MOST: usize = 5;

/// Notes which pods of the mesh are ready before the write.
pub(crate) async fn before(session: &mut Session<'_>, namespace: &str) -> Outcome<Readiness> {
    let cluster = Arc::clone(&session.cluster);
    let pods = session.unless_stopped(mesh::pods(&cluster, namespace));
    match pods.await? {
        Ok(pods) => Ok(Readiness(Some(mesh::ready(&pods)))),
        Err(error) => match error.rule() {
            Some(rule) => {
                let why = format!("this user may not list pods: {rule}");
                let message = "warning: whether pods of the mesh stay ready is not watched";
                session.says_waiting(format!("{message}: {why}"), why)?;
                Ok(Readiness(None))
            }
            None => Err(error.into()),
        },
    }
}

/// Says which pods are not ready any more. Nobody knows whether that is the upgrade's doing, so it is
/// no failure.
pub(crate) async fn after(
    session: &mut Session<'_>,
    namespace: &str,
    Readiness(before): Readiness,
) -> Outcome<Option<String>> {
    let Some(before) = before else {
        return Ok(None);
    };
    let cluster = Arc::clone(&session.cluster);
    let deadline = later(GRACE);
    let lost = loop {
        let pods = session.unless_stopped(mesh::pods(&cluster, namespace));
        let lost = pods.await?.map(|pods| mesh::unready(&before, &pods));
        let is_over = Instant::now() >= deadline;
        match lost {
            Ok(lost) if lost.is_empty() => return Ok(None),
            Ok(lost) if is_over => break lost,
            // The upgrade is proven, whatever its pods do.
            Err(error) if is_over || error.rule().is_some() => {
                let why = format!("{error}: {}", error.reason());
                let what = format!("whether pods of the mesh stayed ready was not seen: {why}");
                session.says_waiting(format!("warning: {what}"), why)?;
                return Ok(Some(what));
            }
            Ok(_) | Err(_) => {}
        }
        session
            .unless_stopped(tokio::time::sleep(ASK_AGAIN))
            .await?;
    };
    let named: Vec<&str> = lost.iter().take(MOST).map(String::as_str).collect();
    let rest = match lost.len().saturating_sub(MOST) {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    let what = format!(
        "pods of the mesh were ready before the upgrade and are not now: {}{rest}",
        named.join(", ")
    );
    session.says_waiting(format!("warning: {what}"), what.clone())?;
    Ok(Some(what))
}
