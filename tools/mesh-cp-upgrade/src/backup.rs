//! `--backup`: saves what is needed to go back into a folder, without secrets unless
//! `--backup-secrets` asks for them.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh_actor::{Outcome, refused};
use mesh_cluster::control_plane::DEFINITIONS;
use mesh_cluster::control_plane::issuer::SECRETS;
use mesh_cluster::object::{ConfigMap, Object as _};
use mesh_cluster::{Cluster, Error, Kinds, Target, Why, label};
use mesh_records::{Explained, sayable};
use serde_json::{Map, Value, json};

use crate::args::Args;
use crate::definition::Definition;
use crate::gate::Goal;
use crate::installer::Installer;
use crate::installer::back::NO_REVISION;
use crate::installer::owned::Owned;
use crate::installer::releases::HelmReleases;
use crate::installer::staged::OVERRIDES;
use crate::labelled::{KINDS, labelled};
use crate::plan::{Plan, Staged};
use crate::redacted::{bare, redact};
use crate::render::{Manifest, crds};
use crate::scene::Scene;
use crate::session::Session;
use crate::values::Given;

/// A file of the backup, its name and its text.
type File = (String, String);

/// The files of a backup.
struct Files {
    all: Vec<File>,
    /// Whether secrets are kept.
    keeps: bool,
    /// The objects that are not whole without their secrets.
    left_out: Vec<String>,
}

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
    if let Staged::Whole(plan) = prepared
        && plan.is_done()
    {
        return Ok(());
    }
    let cluster = Arc::clone(&session.cluster);
    let mut files = Files {
        all: Vec::new(),
        keeps: args.backup_secrets,
        left_out: Vec::new(),
    };
    let reading = files.read(&cluster, goal, scene, prepared);
    session.unless_stopped(reading).await??;
    let time = session.now();
    let from = scene.seen().version;
    let mut about = json!({
        "cluster": cluster.label(),
        "namespace": goal.namespace,
        "from": from,
        "to": goal.target,
        "time": time.to_string(),
        "without_secrets": files.left_out,
    });
    if let Some(about) = about.as_object_mut() {
        about.extend(back(prepared));
    }
    files.add("about.yaml", &about)?;
    let files = files.all;
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

// Says how to go back, or why that is not possible.
fn back(prepared: &Staged<Plan>) -> Map<String, Value> {
    let (way_back, none) = match prepared {
        Staged::Whole(plan) => (
            plan.control_plane.way_back.as_ref(),
            plan.no_way_back.as_ref(),
        ),
        Staged::Definitions(first) => (Some(&first.rest.way_back), None),
    };
    let mut all = Map::new();
    let mut say = |key: &str, text: String| all.insert(key.to_owned(), text.into());
    match (way_back, none) {
        (_, Some(why)) => {
            say("no_way_back", why.clone());
        }
        (None, None) => {
            say("no_way_back", NO_REVISION.to_owned());
        }
        (Some(way_back), None) => {
            say("back", way_back.command());
            if let Some(needs) = way_back.needs() {
                say("back_needs", needs.to_owned());
            }
        }
    }
    all
}

// === impl Files ===

impl Files {
    async fn read(
        &mut self,
        cluster: &Cluster,
        goal: &Goal,
        scene: &Scene,
        prepared: &Staged<Plan>,
    ) -> anyhow::Result<()> {
        let mut live = match prepared {
            Staged::Whole(plan) => {
                let parts = [&plan.crds, &plan.control_plane];
                let removed = parts.iter().flat_map(|part| &part.removed);
                let objects = parts.iter().flat_map(|part| &part.rendered.manifests);
                let live = written(cluster, goal, objects.chain(removed)).await?;
                for part in parts {
                    self.of_lost(cluster, &part.removed).await?;
                }
                live
            }
            // What will be written of the control plane is not rendered yet.
            Staged::Definitions(first) => {
                let mut live = written(cluster, goal, &first.part.rendered.manifests).await?;
                let mut kinds = Kinds::default();
                for (kind, place) in KINDS {
                    let objects = labelled(cluster, &mut kinds, &goal.namespace, kind, place);
                    live.extend(objects.await?);
                }
                live
            }
        };
        let definitions = live.extract_if(.., |it| it["kind"] == DEFINITIONS.kind);
        self.objects("definitions.yaml", definitions.collect())?;
        let secrets = live.extract_if(.., |it| it["kind"] == SECRETS.kind);
        self.objects("secrets.yaml", secrets.collect())?;
        self.objects("objects.yaml", live)?;
        let one = Target::one(ConfigMap::RESOURCE, Some(&goal.namespace), label::CONFIG);
        let config = cluster.get_as::<Value>(&one).await?;
        self.objects("linkerd-config.yaml", vec![config])?;
        match &scene.installer {
            Installer::Helm(releases) => {
                self.of_release(releases, &releases.crds).await?;
                self.of_release(releases, &releases.control_plane).await
            }
            Installer::Cli(_) => self.stored_values(cluster, &goal.namespace).await,
        }
    }

    // With a definition that helm deletes, all objects of its kind are deleted.
    async fn of_lost(&mut self, cluster: &Cluster, removed: &[Manifest]) -> anyhow::Result<()> {
        for name in crds(removed) {
            // Somebody may serve other versions than the chart did.
            let Some(definition) = Definition::get(cluster, name).await? else {
                continue;
            };
            let objects = definition.objects(cluster).await?;
            self.objects(&format!("{name}.yaml"), objects)?;
        }
        Ok(())
    }

    async fn stored_values(&mut self, cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
        let one = Target::one(SECRETS, Some(namespace), OVERRIDES);
        let stored = match cluster.get_as::<Value>(&one).await {
            Ok(stored) => stored,
            Err(error) if error.why() == Why::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // The parsers' errors would quote the values.
        let text = stored["data"][OVERRIDES].as_str().unwrap_or_default();
        let text = STANDARD.decode(text).ok();
        let values = text.and_then(|text| serde_norway::from_slice::<Value>(&text).ok());
        let values = values.ok_or_else(|| {
            Explained::new(
                format!("the values in the Secret {OVERRIDES} cannot be read"),
                "repair the Secret, because the linkerd CLI upgrades with these values",
            )
        })?;
        self.values("values.yaml", values)
    }

    async fn of_release(&mut self, releases: &HelmReleases, owned: &Owned) -> anyhow::Result<()> {
        let (helm, name) = (&releases.helm, owned.name());
        // A newer one has failed.
        let base = owned.history.base();
        let Given(values) = helm.values(&owned.release, base.revision).await?;
        let installed = helm.installed(&owned.release, Some(base.revision));
        let installed = installed.await?;
        let installed = installed.into_iter().map(|manifest| manifest.body);
        let revision = json!({
            "release": name,
            "namespace": owned.release.namespace,
            "revision": base.revision,
            "status": base.status.to_string(),
            "chart": base.chart,
            "appVersion": base.app_version,
        });
        self.values(&format!("{name}-values.yaml"), values)?;
        self.add(&format!("{name}-revision.yaml"), &revision)?;
        self.objects(&format!("{name}-manifest.yaml"), installed.collect())
    }

    fn values(&mut self, file: &str, mut values: Value) -> anyhow::Result<()> {
        self.without_secrets(&mut values, || file.to_owned());
        self.add(file, &values)
    }

    fn objects(&mut self, file: &str, objects: Vec<Value>) -> anyhow::Result<()> {
        let mut text = String::new();
        for mut object in objects {
            bare(&mut object);
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let name = format!(
                "{} {}",
                word(&object["kind"]),
                word(&object["metadata"]["name"])
            );
            self.without_secrets(&mut object, || format!("{name} in {file}"));
            text.push_str("---\n");
            text.push_str(&yaml(file, &object)?);
        }
        self.all.push((file.to_owned(), text));
        Ok(())
    }

    fn without_secrets(&mut self, value: &mut Value, name: impl FnOnce() -> String) {
        if self.keeps {
            return;
        }
        let whole = value.clone();
        redact(value);
        if *value != whole {
            self.left_out.push(name());
        }
    }

    fn add(&mut self, file: &str, value: &Value) -> anyhow::Result<()> {
        let text = yaml(file, value)?;
        self.all.push((file.to_owned(), text));
        Ok(())
    }
}

// Reads the objects in the cluster that the upgrade writes.
async fn written(
    cluster: &Cluster,
    goal: &Goal,
    objects: impl IntoIterator<Item = &Manifest>,
) -> Result<Vec<Value>, Error> {
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
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

fn yaml(file: &str, value: &Value) -> anyhow::Result<String> {
    serde_norway::to_string(value).with_context(|| format!("cannot write {file}"))
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
