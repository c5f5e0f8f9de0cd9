//! Writes the objects that the linkerd CLI rendered, one after the other.

use std::sync::Arc;
use std::time::Duration;

use mesh_actor::{AGAIN, Ending, Outcome};
use mesh_cluster::{Cluster, Error, Kinds, Options, Target, Why, label};
use mesh_records::Explained;
use serde_json::Value;

use crate::field_managers::{remember, take_over};
use crate::plan::Part;
use crate::render::Manifest;
use crate::session::Session;

/// The field manager of these writes.
pub(crate) const MANAGER: &str = "mesh-cp-upgrade";

/// How often a write is tried. A repeated write changes nothing.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// How long to wait until the API server serves the kind of a new definition, in pauses of
/// [`PAUSE`].
const PATIENCE: u32 = 30;

/// Writes a part's objects. A first signal does not stop it: webhooks and their certificates belong
/// together, and the rest takes only seconds.
pub(crate) async fn apply(session: &mut Session<'_>, namespace: &str, part: &Part) -> Outcome<()> {
    let cluster = Arc::clone(&session.cluster);
    let mut kinds = Kinds::default();
    for (written, manifest) in in_order(&part.rendered.manifests).into_iter().enumerate() {
        session.begun(objects(written, part));
        session.says_object(&format!("writing {manifest}"))?;
        let mut attempt = 1;
        let mut is_clear = true;
        loop {
            session.run.holds_lock()?;
            session.begun(Some(perhaps(written, manifest, part)));
            let writing = write(&cluster, &mut kinds, manifest, namespace);
            let wrote = session.see_out(writing).await?;
            is_clear &= wrote.as_ref().err().is_none_or(says_no);
            if is_clear {
                session.begun(objects(written, part));
            }
            match wrote {
                Ok(true) => break,
                Ok(false) if attempt < PATIENCE => kinds = Kinds::default(),
                Ok(false) => {
                    let why = format!("the API server does not serve the kind {}", manifest.kind);
                    return Err(failed(manifest, &why));
                }
                Err(error) if is_passing(&error) && attempt < ATTEMPTS => {}
                Err(error) => {
                    return Err(failed(manifest, &said(manifest, error)));
                }
            }
            attempt += 1;
            session.see_out(tokio::time::sleep(PAUSE)).await?;
        }
    }
    Ok(())
}

// Says what is written of a part; `None` if that is nothing.
fn objects(written: usize, part: &Part) -> Option<String> {
    let (all, name) = (part.rendered.manifests.len(), &part.name);
    (written > 0).then(|| format!("{written} of {all} objects of {name}"))
}

// Without an answer nobody knows whether an object was written.
fn perhaps(written: usize, manifest: &Manifest, part: &Part) -> String {
    match objects(written, part) {
        Some(objects) => format!("{objects}, and perhaps {manifest}"),
        None => format!("perhaps {manifest}"),
    }
}

// Returns false if the API server does not serve the kind yet.
async fn write(
    cluster: &Cluster,
    kinds: &mut Kinds,
    manifest: &Manifest,
    namespace: &str,
) -> Result<bool, Error> {
    let (version, kind) = (&manifest.api_version, &manifest.kind);
    let Some(kind) = cluster.kind(kinds, version, kind).await? else {
        return Ok(false);
    };
    let target = kind.target(&manifest.body, namespace);
    let was_applied = take_over(cluster, &target, version, MANAGER).await?;
    let mut body = manifest.body.clone();
    if was_applied {
        remember(&mut body);
    }
    let options = Options {
        dry_run: false,
        field_manager: Some(MANAGER),
    };
    // The manifest is what the installation is to be: whoever else set one of its fields, such as
    // somebody's `kubectl edit`, yields, as with `kubectl apply`.
    cluster
        .apply(&target, &placed(body, &target), options)
        .await?;
    Ok(true)
}

/// Writes the namespace where an object goes into its manifest.
pub(crate) fn placed(mut body: Value, target: &Target) -> Value {
    let metadata = body.get_mut("metadata").and_then(Value::as_object_mut);
    if let (Some(metadata), Some(namespace)) = (metadata, target.namespace()) {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    body
}

fn is_passing(error: &Error) -> bool {
    match error.why() {
        Why::Unreachable | Why::TimedOut | Why::Busy | Why::Conflict | Why::Broken => true,
        Why::Unauthorized
        | Why::Forbidden
        | Why::NotFound
        | Why::Gone
        | Why::Refused
        | Why::Malformed => false,
    }
}

// Returns false if the object may be written all the same.
fn says_no(error: &Error) -> bool {
    match error.why() {
        Why::Unreachable | Why::TimedOut | Why::Broken | Why::Malformed => false,
        Why::Unauthorized
        | Why::Forbidden
        | Why::NotFound
        | Why::Gone
        | Why::Refused
        | Why::Busy
        | Why::Conflict => true,
    }
}

// What the API server says of a Secret may quote it.
fn said(manifest: &Manifest, error: Error) -> String {
    let may_quote = match error.why() {
        Why::Refused | Why::Broken | Why::Conflict => true,
        Why::Forbidden => error.rule().is_none(),
        Why::Unreachable
        | Why::TimedOut
        | Why::Unauthorized
        | Why::NotFound
        | Why::Gone
        | Why::Busy
        | Why::Malformed => false,
    };
    if manifest.kind == "Secret" && may_quote {
        return format!("{}: the API server refuses it", error.what());
    }
    format!("{:#}", anyhow::Error::new(error))
}

fn failed(manifest: &Manifest, why: &str) -> Ending {
    let what = format!("cannot write {manifest}: {why}");
    let hint = format!("fix the error that the API server reports, then {AGAIN}");
    Ending::No(Explained::new(what, hint))
}

fn in_order(manifests: &[Manifest]) -> Vec<&Manifest> {
    let mut all: Vec<&Manifest> = manifests.iter().collect();
    all.sort_by_key(|manifest| rank(manifest));
    all
}

// The order of writes: first the namespace and the definitions, then what pods read, then the
// configuration, and the components last.
fn rank(manifest: &Manifest) -> u8 {
    match manifest.kind.as_str() {
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        "Secret" => 2,
        "ConfigMap" if manifest.name == label::CONFIG => 4,
        "Deployment" => 5,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::manifests;

    #[test]
    fn secrets_are_written_early_and_the_configuration_and_deployments_last() {
        let yaml: String = [
            ("Deployment", "a"),
            ("ConfigMap", "linkerd-config"),
            ("Role", "b"),
            ("ConfigMap", "c"),
            ("Secret", "d"),
            ("CustomResourceDefinition", "e"),
            ("Namespace", "f"),
        ]
        .map(|(kind, name)| {
            format!("---\n{{apiVersion: v1, kind: {kind}, metadata: {{name: {name}}}}}\n")
        })
        .concat();
        let manifests = manifests(&yaml).unwrap();
        let names: Vec<&str> = in_order(&manifests)
            .iter()
            .map(|manifest| manifest.name.as_str())
            .collect();
        assert_eq!(names, ["f", "e", "d", "b", "c", "linkerd-config", "a"]);
    }
}
