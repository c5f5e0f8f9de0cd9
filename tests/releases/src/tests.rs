//! Compares small rendered charts with the releases file.

use std::fmt::Write as _;
use std::path::Path;

use mesh_versions::{Releases, Version};

use super::{compared, run};

/// Manifests that bring what the file says of a release, and its chart.
fn charts(release: &str) -> String {
    let releases = Releases::embedded();
    let minor = releases.minor_of(&Version::of_tag(release)).unwrap().minor;
    let line = releases.line(minor).unwrap();
    let mut text = String::new();
    for component in line.components() {
        write!(
            text,
            "---\nkind: Deployment\nmetadata:\n  name: {component}\n  labels:\n    linkerd.io/control-plane-component: x\n"
        )
        .unwrap();
    }
    for definition in line.definitions() {
        let name = &definition.name;
        write!(
            text,
            "---\nkind: CustomResourceDefinition\nmetadata: {{name: {name}}}\nspec:\n  versions:\n"
        )
        .unwrap();
        for version in &definition.served {
            let stored = *version == definition.storage;
            writeln!(
                text,
                "  - {{name: {version}, served: true, storage: {stored}}}"
            )
            .unwrap();
        }
    }
    text
}

fn lay(folder: &Path, release: &str, manifests: &str, chart: &str) {
    let folder = folder.join(release);
    std::fs::create_dir_all(folder.join("linkerd-crds")).unwrap();
    std::fs::write(folder.join("all.yaml"), manifests).unwrap();
    std::fs::write(folder.join("linkerd-crds/Chart.yaml"), chart).unwrap();
}

#[test]
fn charts_that_bring_what_the_file_says_differ_in_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for release in [
        "stable-2.11.5",
        "stable-2.14.10",
        "edge-24.8.2",
        "edge-26.6.3",
    ] {
        lay(
            folder.path(),
            release,
            &charts(release),
            "kubeVersion: '>=1.17.0-0'\n",
        );
    }
    let path = folder.path().to_str().unwrap().to_owned();
    assert!(run(&[path]).unwrap());
}

#[test]
fn each_difference_is_said_with_its_release() {
    let renamed = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    };
    let edge = charts("edge-25.4.4");
    let table = [
        (
            "edge-25.4.4",
            renamed(
                &edge,
                "name: linkerd-destination\n",
                "name: linkerd-destiny\n",
            ),
            "1.23",
            vec![
                "edge-25.4.4: it has the component linkerd-destiny, which the file lacks",
                "edge-25.4.4: it has no component linkerd-destination, which the file has",
            ],
        ),
        (
            "edge-25.4.4",
            renamed(
                &edge,
                "{name: egressnetworks.policy",
                "{name: ingressnetworks.policy",
            ),
            "1.23",
            vec![
                "edge-25.4.4: it brings ingressnetworks.policy.linkerd.io v1alpha1*, which the file lacks",
                "edge-25.4.4: it does not bring egressnetworks.policy.linkerd.io, which the file has",
            ],
        ),
        (
            "edge-25.4.4",
            renamed(
                &edge,
                "{name: v1beta2, served: true",
                "{name: v1beta2, served: false",
            ),
            "1.23",
            vec![
                "edge-25.4.4: it brings httproutes.policy.linkerd.io v1alpha1,v1beta1,v1beta3*; the file has httproutes.policy.linkerd.io v1alpha1,v1beta1,v1beta2,v1beta3*",
                "edge-25.4.4: it brings servers.policy.linkerd.io v1alpha1,v1beta1,v1beta3*; the file has servers.policy.linkerd.io v1alpha1,v1beta1,v1beta2,v1beta3*",
            ],
        ),
        (
            "edge-25.4.4",
            edge.clone(),
            "1.24.0-0",
            vec!["edge-25.4.4: it needs Kubernetes 1.24.0-0; the file says 1.23 for 2.18"],
        ),
        (
            "edge-26.9.1",
            charts("edge-26.9.1"),
            "1.31",
            vec!["edge-26.9.1: it is newer than `known_until`, edge-26.8.3"],
        ),
        (
            "edge-18.9.1",
            String::new(),
            "1.9",
            vec!["edge-18.9.1: the file has no minor version for it"],
        ),
    ];
    for (release, manifests, floor, expected) in table {
        let folder = tempfile::tempdir().unwrap();
        lay(
            folder.path(),
            release,
            &manifests,
            &format!("kubeVersion: \">={floor}\"\n"),
        );
        let said = compared(folder.path(), &Releases::embedded()).unwrap();
        assert_eq!(said, expected);
    }
}

#[test]
fn a_folder_without_a_release_and_a_broken_manifest_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let said = |arguments: &[String]| format!("{:#}", run(arguments).unwrap_err());
    let one = std::slice::from_ref(&path);
    assert!(said(one).contains("named as a Linkerd release"));
    assert!(said(&[format!("{path}/none")]).contains("cannot read the folder"));
    assert!(said(&[]).contains("name a folder"));
    lay(folder.path(), "edge-25.4.4", "kind: [", "");
    assert!(said(one).contains("all.yaml"));
    std::fs::write(folder.path().join("releases.json"), "{}").unwrap();
    let file = format!("{path}/releases.json");
    assert!(said(&[path.clone(), file]).contains("cannot use the releases file"));
}
