//! The rules about what an upgrade of the control plane does not move: containers that a value
//! holds at another release, and what an older release left behind.

use mesh_records::{Component, ControlPlane, Rule};
use mesh_versions::{Setting, Version};
use serde_json::Value;

use crate::question::Standpoint;
use crate::remark::Remark;

/// A part of the control plane that runs another release than the configuration says.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) name: String,
    pub(super) version: &'a str,
}

/// The values that hold containers at a release: the fact, the value, and the container, or none
/// for all that have the controller's image.
const VALUES: [(&str, &str, Option<&str>); 2] = [
    (
        Setting::PolicyImageVersion.as_str(),
        "policyController.image.version",
        Some("policy"),
    ),
    ("controller_image_version", "controllerImageVersion", None),
];

/// Judges what holds parts of the control plane back.
pub(super) fn remarks(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    let held = plane.components.iter().flat_map(Component::parts);
    let held = held.filter_map(|(part, version)| {
        let value = by_value(&part, version, plane, at)?;
        Some(format!("{value} holds {part} at {}", version?))
    });
    let held: Vec<String> = held.collect();
    let held = (!held.is_empty()).then(|| {
        let message = format!("the control plane is pinned: {}", held.join(", "));
        let hint = "remove the value from the values that the control plane is installed with";
        Remark::new(Rule::ComponentPinned, message).hint(hint)
    });
    held.into_iter().chain(leftovers(plane, at)).collect()
}

/// Returns the parts that run another release than the configuration says, for no value.
pub(super) fn not_held<'a>(plane: &'a ControlPlane, at: &Standpoint<'_>) -> Vec<Part<'a>> {
    let parts = plane.components.iter().flat_map(Component::parts);
    let others = parts.filter_map(|(name, version)| {
        let is_other = !at.same_release(&Version::of_tag(version?), &at.running);
        let is_held = by_value(&name, version, plane, at).is_some();
        (is_other && !is_held).then_some(Part {
            name,
            version: version?,
        })
    });
    others.collect()
}

/// Returns the value that holds a part at another release than the configuration says.
pub(super) fn by_value(
    part: &str,
    version: Option<&str>,
    plane: &ControlPlane,
    at: &Standpoint<'_>,
) -> Option<&'static str> {
    let version = Version::of_tag(version?);
    if at.same_release(&version, &at.running) {
        return None;
    }
    let container = part.rsplit_once('/').map(|(_, container)| container);
    let holds = |(fact, _, only): &&(&str, &str, Option<&str>)| {
        let said = plane.facts.get(*fact).and_then(Value::as_str);
        let is_said = said.is_some_and(|it| at.same_release(&Version::of_tag(it), &version));
        is_said && (only.is_none() || *only == container)
    };
    VALUES.iter().find(holds).map(|(_, value, _)| *value)
}

fn leftovers(plane: &ControlPlane, at: &Standpoint<'_>) -> Option<Remark> {
    let left = plane.facts.get("leftovers")?.as_array()?;
    let left: Vec<&str> = left.iter().filter_map(Value::as_str).collect();
    let message = format!(
        "an older release left objects behind that {} does not have: {}",
        plane.version.as_deref().unwrap_or("the control plane"),
        left.join(", ")
    );
    let mut delete = vec!["delete", "-n", &plane.namespace];
    delete.extend(&left);
    let hint = at.paste.kubectl(&delete);
    (!left.is_empty()).then(|| Remark::new(Rule::LeftoverComponent, message).hint(hint))
}
