//! The permissions that the project ships are enough, and those of the watching alone are too.

use std::path::PathBuf;

use mesh_testbed::Bed;
use mesh_tests::{Run, on_both_beds, run};

use crate::shop::web;
use crate::stage::{FROM, Stage, TO};

on_both_beds! {
    [Rbac]
    shipped_rights_are_enough_for_an_upgrade_and_back_with_helm
    shipped_rights_are_enough_for_an_upgrade_with_helm_4
    shipped_rights_are_enough_for_an_upgrade_by_the_cli
    optional_rights_are_optional
    first_role_is_enough_to_watch_and_not_to_write
    helm_patches_and_an_update_is_no_patch
    what_helm_deletes_needs_a_right_that_no_dry_run_shows
    what_helm_keeps_of_a_release_needs_a_right_that_no_dry_run_shows
}

const RBAC: &str = include_str!("../../../tools/mesh-cp-upgrade/rbac.yaml");

/// Makes a kubeconfig with the rights of `rbac.yaml`, with or without those to write.
fn kubeconfig(bed: &Bed, writes: bool) -> PathBuf {
    let is_meant = |document: &&str| writes || !document.contains("-write");
    let documents: Vec<&str> = RBAC.split("\n---\n").filter(is_meant).collect();
    kubeconfig_of(bed, &documents.join("\n---\n"))
}

fn kubeconfig_of(bed: &Bed, rbac: &str) -> PathBuf {
    bed.apply(rbac).unwrap();
    let token = ["-n", "linkerd", "create", "token", "mesh-cp-upgrade"];
    let token = bed.kubectl(token).unwrap();
    bed.kubeconfig_with_token("mesh-cp-upgrade", token.trim())
        .unwrap()
}

fn upgraded(stage: &Stage) -> PathBuf {
    web(&stage.bed, "shop", 1);
    let kubeconfig = kubeconfig(&stage.bed, true);
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", &kubeconfig);
    let run = run(command, &stage.judged());
    assert_eq!(run.code, Some(0), "{}", run.said());
    let proven = run.step("prove", "done").unwrap()["message"]
        .as_str()
        .unwrap();
    assert!(
        proven.contains("a new pod of shop/Deployment/web gets"),
        "{proven}"
    );
    assert_eq!(stage.configured(), TO);
    kubeconfig
}

fn shipped_rights_are_enough_for_an_upgrade_and_back_with_helm(bed: Bed) {
    let stage = Stage::new(bed);
    let kubeconfig = upgraded(&stage);
    let mut back = stage.tool();
    back.args(["--rollback", "--yes"])
        .env("KUBECONFIG", kubeconfig);
    let back = run(back, "");
    assert_eq!(back.code, Some(0), "{}", back.said());
    assert_eq!(stage.configured(), FROM);
}

fn shipped_rights_are_enough_for_an_upgrade_with_helm_4(bed: Bed) {
    upgraded(&Stage::by_helm4(bed));
}

fn shipped_rights_are_enough_for_an_upgrade_by_the_cli(bed: Bed) {
    upgraded(&Stage::by_cli_without_definitions(bed));
}

fn optional_rights_are_optional(bed: Bed) {
    let stage = Stage::new(bed);
    let needed: Vec<&str> = RBAC
        .lines()
        .filter(|it| !it.contains("# optional"))
        .collect();
    let kubeconfig = kubeconfig_of(&stage.bed, &needed.join("\n"));
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", &kubeconfig);
    let run = run(command, &stage.judged());
    assert_eq!(run.code, Some(0), "{}", run.said());
    let blind: Vec<&str> = run.end()["blind"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    assert!(blind.contains(&"events"), "{blind:?}");
}

fn first_role_is_enough_to_watch_and_not_to_write(bed: Bed) {
    let stage = Stage::new(bed);
    web(&stage.bed, "shop", 1);
    let kubeconfig = kubeconfig(&stage.bed, false);
    let watch = |to: &str| -> Run {
        let mut command = stage.tool();
        command.args(["--watch-only", "--to", to]);
        command.env("KUBECONFIG", &kubeconfig);
        run(command, "")
    };
    let watched = watch(FROM);
    assert_eq!(watched.code, Some(0), "{}", watched.said());
    assert!(watched.step("prove", "done").is_some());
    let mut command = stage.command(&[]);
    command.env("KUBECONFIG", &kubeconfig);
    let refused = run(command, &stage.judged());
    assert_eq!(refused.code, Some(2), "{}", refused.said());
    stage.assert_unchanged(true);
}

/// Asks for the preflight with all rights but this verb on these kinds.
#[track_caller]
fn refused_without(stage: &Stage, (rules, verb): (&str, &str), parts: &[&str], more: &[&str]) {
    let judged = stage.judged();
    let lines = RBAC.lines().map(|line| match line.contains(rules) {
        true => line
            .replace(&format!("{verb}, "), "")
            .replace(&format!(", {verb}"), ""),
        false => line.to_owned(),
    });
    let lines: Vec<String> = lines.collect();
    let kubeconfig = kubeconfig_of(&stage.bed, &lines.join("\n"));
    let mut command = stage.command(&[&["--preflight"], more].concat());
    command.env("KUBECONFIG", &kubeconfig);
    let run = run(command, &judged);
    assert_eq!(run.code, Some(1), "{}", run.said());
    for part in parts {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    stage.assert_unchanged(false);
}

fn helm_patches_and_an_update_is_no_patch(bed: Bed) {
    let parts = [
        "cannot patch resource \"deployments\"",
        "hint: allow it, for example with the RBAC rule apiGroups: [\"apps\"], resources: \
         [\"deployments\"], verbs: [patch] in namespace linkerd",
    ];
    let right = (
        "resources: [deployments], verbs: [get, list, create",
        "patch",
    );
    refused_without(&Stage::new(bed), right, &parts, &[]);
}

fn what_helm_deletes_needs_a_right_that_no_dry_run_shows(bed: Bed) {
    let parts = [
        "this user may not delete cronjobs in linkerd; helm, for linkerd/linkerd-control-plane, needs \
         that",
        "hint: allow it, for example with the RBAC rule apiGroups: [\"batch\"], resources: \
         [\"cronjobs\"], verbs: [delete] in namespace linkerd",
    ];
    let without = ["--set", "disableHeartBeat=true"];
    refused_without(
        &Stage::new(bed),
        ("resources: [cronjobs]", "delete"),
        &parts,
        &without,
    );
}

fn what_helm_keeps_of_a_release_needs_a_right_that_no_dry_run_shows(bed: Bed) {
    let parts = [
        "this user may not create secrets in linkerd; helm, for linkerd/linkerd-crds, needs that",
        "verbs: [create] in namespace linkerd",
    ];
    let right = ("resources: [secrets, configmaps, serviceaccounts", "create");
    refused_without(&Stage::new(bed), right, &parts, &[]);
}
