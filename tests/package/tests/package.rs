//! What a release has beside the tools is current and true: the schema, the page of fields, the manual
//! pages and the completions.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use mesh_package::completions::SHELLS;
use mesh_package::records::{TOOLS, examples, writes};
use mesh_package::{command, fields, man, validate};
use mesh_records::schema::schema;
use mesh_records::{RecordType, Tool};
use serde_json::{Value, json};

const CURRENT: &str = "run cargo run -p mesh-package -- docs docs";

fn flags(tool: Tool) -> Vec<String> {
    let command = command(tool);
    let shown = command.get_arguments().filter(|it| !it.is_hide_set());
    let flags: Vec<String> = shown
        .filter_map(|it| it.get_long().map(ToOwned::to_owned))
        .collect();
    assert!(flags.len() > 5, "{tool} has lost its flags: {flags:?}");
    flags
}

fn manual(tool: Tool) -> String {
    let mut page = Vec::new();
    man::page(tool, command(tool), &mut page).expect("a vector takes all bytes");
    let page = String::from_utf8(page).expect("a manual page is text");
    page.replace("\\-", "-")
}

#[test]
fn the_schema_and_the_page_of_fields_are_those_of_the_types() {
    let schema = schema().to_value();
    let checked_in = include_str!("../../../docs/records.schema.json");
    assert!(format!("{schema:#}\n") == checked_in, "{CURRENT}");
    let page = fields::page(&schema).unwrap();
    assert!(
        page == include_str!("../../../docs/records.md"),
        "{CURRENT}"
    );
}

#[test]
fn every_example_is_valid_also_with_fields_that_are_not_known() {
    let schema = schema().to_value();
    for (name, line) in examples() {
        let mut record: Value = serde_json::from_str(line).unwrap();
        let faults = |record: &Value| validate::faults(&schema, record);
        assert_eq!(faults(&record), Vec::<String>::new(), "{name}");
        record["a_later_field"] = json!({ "of": null });
        assert_eq!(faults(&record), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn an_example_with_a_field_of_another_type_is_not_valid() {
    let schema = schema().to_value();
    let mut tried = 0;
    for (name, line) in examples() {
        let record: Value = serde_json::from_str(line).unwrap();
        for field in record.as_object().unwrap().keys() {
            let mut wrong = record.clone();
            // No field of a record is a number below zero or null.
            for value in [json!(-1), Value::Null] {
                wrong[field] = value;
                assert_ne!(
                    validate::faults(&schema, &wrong),
                    Vec::<String>::new(),
                    "{name}.{field}"
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

#[test]
fn the_schema_allows_only_the_words_that_may_stand_in_a_place() {
    let schema = schema().to_value();
    let (_, skipped) = examples().find(|(name, _)| name == "skipped").unwrap();
    let mut skipped: Value = serde_json::from_str(skipped).unwrap();
    let is_valid = |record: &Value| validate::faults(&schema, record).is_empty();
    assert!(is_valid(&skipped));
    skipped["reason"] = json!("version-pinned");
    assert!(is_valid(&skipped));
    // A word, but none for a workload that is left alone.
    skipped["reason"] = json!("crash-loop");
    assert!(!is_valid(&skipped));
}

#[test]
fn the_page_of_fields_has_every_field_of_every_example() {
    let page = include_str!("../../../docs/records.md");
    for (name, line) in examples() {
        let start = page.find(&format!("\n## {name}\n")).unwrap();
        let section = &page[start + 1..];
        let section = &section[..section.find("\n#").unwrap_or(section.len())];
        let record: Value = serde_json::from_str(line).unwrap();
        for field in record.as_object().unwrap().keys() {
            let is_there = field == "type" || section.contains(&format!("| `{field}` |"));
            assert!(is_there, "{name}.{field}");
        }
    }
}

#[test]
fn a_manual_page_has_every_flag_every_exit_code_and_the_records_of_its_tool() {
    for tool in TOOLS {
        let page = manual(tool);
        for flag in flags(tool) {
            assert!(page.contains(&format!("--{flag}")), "{tool}: --{flag}");
        }
        for code in ["0", "1", "2", "3", "141", "128+n"] {
            assert!(page.contains(&format!(".TP\n{code}\n")), "{tool}: {code}");
        }
        let shown: BTreeSet<&str> = page
            .lines()
            .filter_map(|it| it.strip_prefix(".SS "))
            .collect();
        let written: Vec<String> = examples().map(|(name, _)| name).collect();
        let written: BTreeSet<&str> = written
            .iter()
            .map(String::as_str)
            .filter(|name| writes(tool, RecordType::named(name)))
            .collect();
        assert_eq!(shown, written, "{tool}");
    }
}

#[test]
fn every_record_is_written_by_a_tool() {
    for (name, _) in examples() {
        let kind = RecordType::named(&name);
        assert!(TOOLS.iter().any(|tool| writes(*tool, kind)), "{name}");
    }
}

#[test]
fn the_completions_of_every_shell_have_every_flag_and_list_contexts() {
    for tool in TOOLS {
        for shell in SHELLS {
            let script = shell.script(command(tool)).unwrap();
            for flag in flags(tool) {
                let is_there = script.contains(&format!("--{flag}"))
                    || script.contains(&format!("-l {flag} "));
                assert!(is_there, "{tool} in {}: --{flag}", shell.shell);
            }
            let lists = script.contains("kubectl config get-contexts -o name");
            assert_eq!(
                lists,
                tool != Tool::MeshSkewcheck,
                "{tool} in {}",
                shell.shell
            );
        }
    }
}

#[test]
fn bash_completes_a_context_with_those_of_the_kubeconfig_that_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let kubectl = folder.path().join("kubectl");
    let listing = "#!/bin/sh\necho \"ctx-of-$6\"; echo ctx-two; echo other\n";
    fs::write(&kubectl, listing).unwrap();
    fs::set_permissions(&kubectl, Permissions::from_mode(0o755)).unwrap();
    let script = SHELLS[0].script(command(Tool::MeshSurvey)).unwrap();
    let table = [
        ("--context c", "ctx-of- ctx-two"),
        ("--kubeconfig a.yaml --context c", "ctx-of-a.yaml ctx-two"),
        (
            "--pods --kubeconfig = a.yaml --context c",
            "ctx-of-a.yaml ctx-two",
        ),
        ("--conte", "--context"),
    ];
    for (line, expected) in table {
        let asks = format!(
            "{script}\nCOMP_WORDS=(mesh-survey {line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _mesh__survey mesh-survey \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
             echo \"${{COMPREPLY[*]}}\""
        );
        let mut bash = Command::new("/bin/bash");
        bash.args(["--norc", "-c", &asks])
            .env("PATH", folder.path());
        let output = bash.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!((said.trim(), &*errors), (expected, ""), "{line}");
    }
}
