//! The rules about the custom resource definitions: does the API server serve what the release
//! reads, and would it take what the release brings?

use mesh_records::{Ask, ControlPlane, Crd, InstalledBy, Rule};
use mesh_versions::{Line, Minor, ShippedDefinition, Version};
use serde_json::Value;

use crate::question::Standpoint;
use crate::remark::Remark;

const PAGE: &str = "https://linkerd.io/2/tasks/upgrade/";

/// Judges the definitions in the cluster.
pub(crate) fn remarks(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    let behind = behind(plane, at).into_iter();
    behind.chain(stored(plane, at)).collect()
}

/// Whether the survey shows the definitions: the fact about those of the Gateway API is there even
/// where there are none.
fn are_seen(plane: &ControlPlane) -> bool {
    !plane.crds.is_empty() || plane.facts.contains_key("gateway_api_crds")
}

fn behind(plane: &ControlPlane, at: &Standpoint<'_>) -> Option<Remark> {
    let rule = Rule::CrdsBehind;
    let base = at.base();
    let line = at.releases().line(at.releases().minor_of(base)?.minor)?;
    if !are_seen(plane) {
        let message = format!("cannot tell whether the definitions that {base} reads are there");
        let hint = "allow mesh-survey to list customresourcedefinitions.apiextensions.k8s.io";
        return Some(Remark::cannot_tell(rule, message).hint(hint));
    }
    let lacks = line.reads().filter_map(|(name, version)| {
        match plane.crds.iter().find(|it| it.name == name) {
            Some(crd) if crd.served.iter().any(|it| it == version) => None,
            Some(_) => Some(format!("{name} does not serve {version}")),
            None => Some(format!("{name} is missing")),
        }
    });
    let lacks: Vec<String> = lacks.collect();
    let message = format!(
        "{base} needs custom resource definitions: {}",
        lacks.join(", ")
    );
    let remark = Remark::new(rule, message).page(PAGE);
    let hint = match (at.ask(), plane.installed_by) {
        (Ask::Upgrade, InstalledBy::Helm | InstalledBy::Cli) => {
            "mesh-cp-upgrade writes them first".to_owned()
        }
        (_, InstalledBy::Cli) => {
            let upgrade = at.paste.linkerd("linkerd", &["upgrade", "--crds"]);
            format!("{upgrade} | {}", at.paste.kubectl(&["apply", "-f", "-"]))
        }
        (_, InstalledBy::Helm) => "upgrade the Helm release of the chart linkerd-crds".to_owned(),
        (_, InstalledBy::Gitops | InstalledBy::Operator | InstalledBy::Unknown) => {
            "upgrade them with what installed them".to_owned()
        }
    };
    (!lacks.is_empty()).then(|| remark.hint(hint))
}

fn stored(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    let releases = at.releases();
    let line = |version: &Version| releases.line(releases.minor_of(version)?.minor);
    let Some((from, to)) = line(&at.running).zip(at.target.as_ref().and_then(line)) else {
        return Vec::new();
    };
    // A downgrade drops versions too, and is refused anyway.
    if to.minor() < from.minor() {
        return Vec::new();
    }
    let shipped = to.definitions().iter().filter(|it| drops_any(it, from));
    let shipped: Vec<&ShippedDefinition> = shipped.collect();
    if shipped.is_empty() {
        return Vec::new();
    }
    if !are_seen(plane) {
        let names: Vec<&str> = shipped.iter().map(|it| it.name.as_str()).collect();
        let message = format!(
            "cannot tell which versions of {} have stored objects",
            names.join(", ")
        );
        let hint = "allow mesh-survey to list customresourcedefinitions.apiextensions.k8s.io";
        return vec![Remark::cannot_tell(Rule::CrdStoredVersion, message).hint(hint)];
    }
    let remarks = shipped.into_iter().filter_map(|definition| {
        let crd = plane.crds.iter().find(|it| it.name == definition.name)?;
        let is_written = definition.is_own() || is_linkerds(plane, &crd.name);
        let to = to.minor();
        is_written
            .then(|| stored_in(definition, crd, to, at))
            .flatten()
    });
    remarks.collect()
}

/// Whether a definition no longer has a version that an older line's had.
fn drops_any(definition: &ShippedDefinition, from: &Line) -> bool {
    let mut older = from.definitions().iter();
    let older = older.find(|it| it.name == definition.name);
    older.is_some_and(|it| it.served.iter().any(|version| drops(definition, version)))
}

fn drops(definition: &ShippedDefinition, version: &str) -> bool {
    !definition.served.iter().any(|it| it == version)
}

/// Whether Linkerd's charts or CLI wrote a definition of the Gateway API, so that they write the new
/// one over it.
fn is_linkerds(plane: &ControlPlane, name: &str) -> bool {
    let all = plane
        .facts
        .get("gateway_api_crds")
        .and_then(Value::as_array);
    let own = all.into_iter().flatten().find(|it| it["name"] == name);
    own.is_some_and(|it| {
        let by = it["created_by"].as_str().unwrap_or_default();
        by.contains("linkerd") || it.get("release").is_some()
    })
}

fn stored_in(
    definition: &ShippedDefinition,
    crd: &Crd,
    to: Minor,
    at: &Standpoint<'_>,
) -> Option<Remark> {
    let gone = crd.stored.iter().filter(|it| drops(definition, it));
    let gone: Vec<&str> = gone.map(String::as_str).collect();
    let Crd { name, storage, .. } = crd;
    let message = format!(
        "{name} of {to} no longer has {}, but its status says that objects are stored in that \
         version, so the API server would refuse the new definition",
        gone.join(", ")
    );
    let hint = if gone.contains(&storage.as_str()) {
        format!(
            "make another version the storage version of {name} first: the new definition drops it"
        )
    } else {
        let [again, forget] = at.paste.migrate_storage(name, storage);
        format!("store every object anew, then say so: {again} && {forget}")
    };
    let remark = Remark::new(Rule::CrdStoredVersion, message).hint(hint);
    (!gone.is_empty()).then_some(remark)
}
