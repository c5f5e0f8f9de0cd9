//! Runs the recipes of the docs: on the example streams, and on two clusters.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use mesh_testbed::Bed;
use mesh_tests::{Toolbox, on_both_beds, toolbox, write_program};

use crate::commands::{Block, blocks};
use crate::{FROM, Said, root};

on_both_beds! {
    operations_run_as_written_on_two_clusters
}

fn page(name: &str) -> String {
    fs::read_to_string(root(&format!("docs/{name}.md"))).unwrap()
}

/// What each question must say of the example streams.
const ANSWERS: [&[&str]; 11] = [
    &["true"],
    &[
        "payments\tcheckout/Deployment/payment\tstable-2.13.7",
        "logistics\twarehouse/Deployment/legacy-erp\tstable-2.12.6",
    ],
    &["proxy-too-old\t1 workload runs proxies more than one minor version behind stable-2.14.10"],
    &["accounts/Deployment/login\t2 of 2 pods without a proxy"],
    &[
        "2026-12-31T00:00:00Z\twebhook\tlinkerd-proxy-injector-k8s-tls",
        "2027-01-05T00:00:00Z\tissuer\t",
    ],
    &["checkout\tstable-2.13.7\t5", "warehouse\tstable-2.12.6\t1"],
    &["warehouse/Deployment/label-printer\tstrategy Recreate: all pods stop"],
    &["warehouse/Deployment/legacy-erp\ttemplate\tstable-2.12.6"],
    &[
        "512 s\tcheckout/Deployment/payment\tfailed",
        "98 s\tstorefront/StatefulSet/sessions\tproven",
    ],
    &[
        "version-pinned\twarehouse/Deployment/legacy-erp has a pinned proxy",
        "crash-loop\tcheckout/Deployment/payment failed",
    ],
    &["storefront/Deployment/api"],
];

/// A command in a folder with copies of the example streams.
fn in_example(tools: &Toolbox, line: &str) -> Command {
    for entry in fs::read_dir(root("docs/example")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, tools.folder().join(path.file_name().unwrap())).unwrap();
    }
    let mut command = tools.shell(line);
    command.current_dir(tools.folder());
    command
}

#[test]
fn each_question_is_one_line_of_jq_with_the_answer_that_the_streams_hold() {
    let tools = toolbox!();
    symlink(root("scripts"), tools.folder().join("scripts")).unwrap();
    let page = page("recipes");
    let all: Vec<Block> = blocks(&page);
    let asked: Vec<&Block> = all
        .iter()
        .filter(|it| it.lines[0].contains("jq "))
        .collect();
    assert_eq!(asked.len(), ANSWERS.len());
    for (block, answers) in asked.iter().zip(ANSWERS) {
        let [line] = block.lines[..] else {
            panic!("more than one line: {:?}", block.lines);
        };
        let said = Said::of(&mut in_example(&tools, line)).exits(0).stdout;
        for answer in answers {
            let mut lines = said.lines();
            assert!(lines.any(|it| it.starts_with(answer)), "{line}\n{said}");
        }
        // A recipe that ends well without its stream would call a missing stream fine.
        let gone = "rm *.ndjson\n".to_owned() + line;
        let said = Said::of(&mut in_example(&tools, &gone));
        assert_ne!(said.code, Some(0), "{line}");
    }
    for block in all.iter().filter(|it| !it.lines[0].contains("jq ")) {
        for line in &block.lines {
            Said::of(&mut in_example(&tools, line)).exits(0);
        }
    }
    let cut =
        "head -n 5 survey.ndjson > cut; mv cut survey.ndjson\n".to_owned() + asked[0].lines[0];
    Said::of(&mut in_example(&tools, &cut)).exits(1);
}

#[test]
fn example_is_what_the_tools_write_today() {
    let tools = toolbox!();
    let line = "mesh-skewcheck --to stable-2.14.10 < survey.ndjson | cmp - verdict.ndjson";
    let said = Said::of(&mut in_example(&tools, line));
    assert_eq!(
        said.stdout, "",
        "the judgement of docs/example is not today's"
    );
    // The survey itself says no, and both programs agree on it.
    said.exits(1);
}

fn operations_run_as_written_on_two_clusters(bed: Bed) {
    let other = bed.another().unwrap();
    let beds = [bed, other];
    for bed in &beds {
        bed.install_linkerd_by_cli(FROM).unwrap();
        bed.shop().unwrap();
    }
    let tools = toolbox!();
    symlink(root("scripts"), tools.folder().join("scripts")).unwrap();
    // The files name their clusters alike, and kubeconfigs are merged by name.
    let named = |bed: &Bed, name: &str| {
        let path = bed.kubeconfig_named(name).unwrap();
        let text = fs::read_to_string(path).unwrap();
        let own = tools.folder().join(format!("kubeconfig-{name}"));
        fs::write(&own, text.replace("\"testbed\"", &format!("\"{name}\""))).unwrap();
        own
    };
    let both = std::env::join_paths([named(&beds[0], "eu"), named(&beds[1], "us")]).unwrap();
    for line in blocks(&page("operations")).iter().flat_map(|it| &it.lines) {
        let mut command = tools.shell(line);
        command.current_dir(tools.folder()).env("KUBECONFIG", &both);
        Said::of(&mut command).exits(0);
    }
}

/// Every pipeline of the README and the docs, with a survey that is killed half-way.
#[test]
fn every_pipeline_fails_when_its_survey_is_killed() {
    let tools = toolbox!();
    symlink(root("scripts"), tools.folder().join("scripts")).unwrap();
    let survey = root("docs/example/survey.ndjson");
    let half = format!(
        "#!/bin/sh\nhead -n 6 '{}'\nkill -KILL $$\n",
        survey.display()
    );
    fs::remove_file(tools.tool("mesh-survey")).unwrap();
    write_program(&tools.tool("mesh-survey"), &half);
    let readme = fs::read_to_string(root("README.md")).unwrap();
    let mut seen = 0;
    for page in [readme, page("recipes"), page("operations")] {
        for line in blocks(&page).into_iter().flat_map(|it| it.lines) {
            if line.contains("mesh-survey") || line.contains("scripts/runbook") {
                let mut command = tools.shell(line);
                command.current_dir(tools.folder());
                let said = Said::of(&mut command);
                assert_ne!(said.code, Some(0), "{line}\n{}", said.stdout);
                seen += 1;
            }
        }
    }
    assert!(seen >= 12, "only {seen} pipelines were found");
}
