//! `--backup`: saves what is needed to go back into a folder, without secrets unless
//! `--backup-secrets` asks for them.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use mesh_actor::{Outcome, refused};
use mesh_cluster::control_plane::DEFINITIONS;
use mesh_cluster::control_plane::issuer::SECRETS;
use mesh_cluster::object::{ConfigMap, Object as _};
use mesh_cluster::{Cluster, Kinds, Target, Why, label};
use mesh_records::sayable;
use serde_json::{Value, json};

use crate::args::Args;
use crate::gate::Goal;
use crate::installer::Installer;
use crate::installer::releases::{HelmReleases, Owned};
use crate::installer::staged::OVERRIDES;
use crate::plan::{Plan, Staged};
use crate::render::Manifest;
use crate::scene::Scene;
use crate::session::Session;
use crate::values::Given;

/// A file of the backup, its name and its text.
type File = (String, String);

/// What stands where a secret was.
const REMOVED: &str = "REMOVED: --backup-secrets keeps it";
/// A value with one of these in its name may be a secret.
const SECRET: [&str; 5] = ["keypem", "token", "password", "license", "secret"];
/// What the API server sets by itself.
const OF_SERVER: [&str; 6] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "selfLink",
];

/// Saves the state before the first write, if `--backup` asks for it.
pub(crate) async fn save(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    scene: &Scene,
    prepared: &Staged<Plan>,
) -> Outcome<()> {
    let Some(folder) = &args.backup else {
        return Ok(());
    };
    let mut objects: Vec<&Manifest> = Vec::new();
    match prepared {
        Staged::Whole(plan) if plan.is_done() => return Ok(()),
        Staged::Whole(plan) => {
            objects.extend(&plan.crds.rendered.manifests);
            objects.extend(&plan.control_plane.rendered.manifests);
        }
        Staged::Definitions(first) => objects.extend(&first.part.rendered.manifests),
    }
    let cluster = Arc::clone(&session.cluster);
    let keeps = args.backup_secrets;
    let reading = files(&cluster, goal, scene, &objects, keeps);
    let mut files = session.unless_stopped(reading).await??;
    let time = session.now();
    let from = scene.seen().version;
    let about = json!({
        "cluster": cluster.label(),
        "namespace": goal.namespace,
        "from": from,
        "to": goal.target,
        "time": time.to_string(),
        "back": back(prepared),
    });
    files.push(file("about.yaml", &about)?);
    let name = format!(
        "{}-{from}-{}",
        goal.namespace,
        time.strftime("%Y%m%dT%H%M%SZ")
    );
    let written = write(folder, &name, &files).map_err(|error| {
        let folder = sayable(&folder.display().to_string());
        refused(
            format!("cannot save a backup in `{folder}`: {error}"),
            "name a folder that can be written: --backup DIR",
        )
    })?;
    let written = sayable(&written.display().to_string());
    session.says_object(&format!("saved {} files in {written}", files.len()))
}

fn back(prepared: &Staged<Plan>) -> Option<String> {
    match prepared {
        Staged::Whole(plan) => Some(plan.control_plane.way_back.as_ref()?.command()),
        Staged::Definitions(first) => Some(first.rest.way_back.command()),
    }
}

async fn files(
    cluster: &Cluster,
    goal: &Goal,
    scene: &Scene,
    objects: &[&Manifest],
    keeps: bool,
) -> anyhow::Result<Vec<File>> {
    let live = live(cluster, goal, objects).await?;
    let is_definition = |object: &&Value| object["kind"] == DEFINITIONS.kind;
    let (definitions, others): (Vec<Value>, Vec<Value>) =
        live.into_iter().partition(|object| is_definition(&object));
    let one = Target::one(ConfigMap::RESOURCE, Some(&goal.namespace), label::CONFIG);
    let config = cluster.get_as::<Value>(&one).await?;
    let mut files = vec![
        all("definitions.yaml", definitions, keeps)?,
        all("objects.yaml", others, keeps)?,
        all("linkerd-config.yaml", vec![config], keeps)?,
    ];
    match &scene.installer {
        Installer::Helm(releases) => {
            for owned in [&releases.crds, &releases.control_plane] {
                files.extend(of_release(releases, owned, keeps).await?);
            }
        }
        Installer::Cli(_) => {
            let one = Target::one(SECRETS, Some(&goal.namespace), OVERRIDES);
            match cluster.get_as::<Value>(&one).await {
                Ok(stored) => files.push(all("values.yaml", vec![stored], keeps)?),
                Err(error) if error.why() == Why::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(files)
}

async fn of_release(
    releases: &HelmReleases,
    owned: &Owned,
    keeps: bool,
) -> anyhow::Result<Vec<File>> {
    let (helm, name) = (&releases.helm, owned.name());
    let Given(mut values) = helm
        .values(&owned.release, owned.history.base().revision)
        .await?;
    if !keeps {
        redact(&mut values);
    }
    let installed = helm.installed(&owned.release, None).await?;
    let installed = installed
        .into_iter()
        .map(|manifest| manifest.body)
        .collect();
    let latest = owned.history.latest();
    let revision = json!({
        "release": name,
        "namespace": owned.release.namespace,
        "revision": latest.revision,
        "status": latest.status.to_string(),
        "chart": latest.chart,
        "appVersion": latest.app_version,
    });
    Ok(vec![
        file(&format!("{name}-values.yaml"), &values)?,
        file(&format!("{name}-revision.yaml"), &revision)?,
        all(&format!("{name}-manifest.yaml"), installed, keeps)?,
    ])
}

// Reads the objects in the cluster that the upgrade writes.
async fn live(cluster: &Cluster, goal: &Goal, objects: &[&Manifest]) -> anyhow::Result<Vec<Value>> {
    let mut kinds = Kinds::default();
    let mut all = Vec::new();
    for manifest in objects {
        let (version, kind) = (&manifest.api_version, &manifest.kind);
        let Some(kind) = cluster.kind(&mut kinds, version, kind).await? else {
            continue;
        };
        let target = kind.target(&manifest.body, &goal.namespace);
        match cluster.get_as::<Value>(&target).await {
            Ok(object) => all.push(object),
            Err(error) if error.why() == Why::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

fn all(name: &str, objects: Vec<Value>, keeps: bool) -> anyhow::Result<File> {
    let mut text = String::new();
    for mut object in objects {
        bare(&mut object);
        if !keeps {
            redact(&mut object);
        }
        text.push_str("---\n");
        text.push_str(&file(name, &object)?.1);
    }
    Ok((name.to_owned(), text))
}

fn file(name: &str, value: &Value) -> anyhow::Result<File> {
    let text = serde_norway::to_string(value).with_context(|| format!("cannot write {name}"))?;
    Ok((name.to_owned(), text))
}

// Leaves what can be applied again.
fn bare(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !OF_SERVER.contains(&key.as_str()));
    }
}

fn redact(value: &mut Value) {
    let is_secret = value.get("kind").is_some_and(|kind| kind == "Secret");
    match value {
        Value::String(text) if text.contains("PRIVATE KEY") => REMOVED.clone_into(text),
        Value::Object(fields) => {
            for (key, inner) in fields {
                let name = key.to_lowercase();
                let may_be = SECRET.iter().any(|part| name.contains(part));
                match inner {
                    Value::String(text) if may_be => REMOVED.clone_into(text),
                    Value::Object(data) if is_secret && (key == "data" || key == "stringData") => {
                        data.values_mut().for_each(|it| *it = REMOVED.into());
                    }
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_) => redact(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

// Returns the new folder. Nobody else can read it.
fn write(folder: &Path, name: &str, files: &[File]) -> io::Result<PathBuf> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)?;
    let path = folder.join(name);
    DirBuilder::new().mode(0o700).create(&path)?;
    for (name, text) in files {
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        options.open(path.join(name))?.write_all(text.as_bytes())?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_removed_and_certificates_stay() {
        let mut values = json!({
            "identity": { "issuer": { "tls": { "crtPEM": "CERT", "keyPEM": "a key" } } },
            "other": ["-----BEGIN PRIVATE KEY-----"],
            "license": "hush",
            "imagePullSecrets": [{ "name": "pull" }],
        });
        redact(&mut values);
        let expected = json!({
            "identity": { "issuer": { "tls": { "crtPEM": "CERT", "keyPEM": REMOVED } } },
            "other": [REMOVED],
            "license": REMOVED,
            "imagePullSecrets": [{ "name": "pull" }],
        });
        assert_eq!(values, expected);
        let mut secret = json!({ "kind": "Secret", "data": { "tls.key": "eA==", "a": "eQ==" } });
        redact(&mut secret);
        let data = json!({ "tls.key": REMOVED, "a": REMOVED });
        assert_eq!(secret["data"], data);
    }

    #[test]
    fn an_object_is_left_as_it_can_be_applied_again() {
        let meta = json!({ "name": "a", "uid": "1", "resourceVersion": "2", "managedFields": [] });
        let mut object = json!({ "kind": "K", "metadata": meta, "status": { "x": 1 } });
        bare(&mut object);
        assert_eq!(object, json!({ "kind": "K", "metadata": { "name": "a" } }));
    }
}
