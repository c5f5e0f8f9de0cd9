//! What the releases file and a release's charts say differently.

use std::collections::BTreeSet;

use mesh_versions::{Known, Line, Releases, ShippedDefinition, Version};

use crate::brought::Brought;

/// Returns the differences, a sentence each.
pub(crate) fn between(version: &Version, brought: &Brought, releases: &Releases) -> Vec<String> {
    let line = releases
        .minor_of(version)
        .and_then(|of| releases.line(of.minor));
    let Some(line) = line else {
        return vec!["the file has no minor version for it".to_owned()];
    };
    let mut said = Vec::new();
    if releases.known(version) == Known::Newer {
        let known = releases.known_until();
        said.push(format!("it is newer than `known_until`, {known}"));
    }
    said.extend(components(line, brought));
    said.extend(definitions(line, brought));
    let floor = brought.kubernetes.as_ref();
    if let Some(floor) = floor.filter(|floor| line.kubernetes().min.is_below(floor)) {
        let (minor, min) = (line.minor(), &line.kubernetes().min);
        said.push(format!(
            "it needs Kubernetes {floor}; the file says {min} for {minor}"
        ));
    }
    said
}

fn components(line: &Line, brought: &Brought) -> Vec<String> {
    let of_file: BTreeSet<&String> = line.components().iter().collect();
    let of_charts: BTreeSet<&String> = brought.components.iter().collect();
    // A folder may have the charts of the definitions alone.
    if of_charts.is_empty() {
        return Vec::new();
    }
    let more = of_charts.difference(&of_file);
    let less = of_file.difference(&of_charts);
    let more = more.map(|name| format!("it has the component {name}, which the file lacks"));
    let less = less.map(|name| format!("it has no component {name}, which the file has"));
    more.chain(less).collect()
}

fn definitions(line: &Line, brought: &Brought) -> Vec<String> {
    if brought.definitions.is_empty() {
        return Vec::new();
    }
    let mut said = Vec::new();
    for (name, theirs) in &brought.definitions {
        match line.definitions().iter().find(|ours| ours.name == *name) {
            None => said.push(format!(
                "it brings {}, which the file lacks",
                spelled(theirs)
            )),
            Some(ours) if spelled(ours) != spelled(theirs) => {
                said.push(format!(
                    "it brings {}; the file has {}",
                    spelled(theirs),
                    spelled(ours)
                ));
            }
            Some(_) => {}
        }
    }
    for ours in line.definitions() {
        if !brought.definitions.contains_key(&ours.name) {
            said.push(format!(
                "it does not bring {}, which the file has",
                ours.name
            ));
        }
    }
    said
}

/// The definition as the documentation of a release would list it: stored version with a star.
fn spelled(definition: &ShippedDefinition) -> String {
    let ShippedDefinition {
        name,
        served,
        storage,
    } = definition;
    let served: BTreeSet<String> = served
        .iter()
        .map(|version| match version == storage {
            true => format!("{version}*"),
            false => version.clone(),
        })
        .collect();
    let served: Vec<String> = served.into_iter().collect();
    format!("{name} {}", served.join(","))
}
