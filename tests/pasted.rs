//! The commands that a tool shows to people.

use serde_json::Value;

use crate::Run;

/// The words after which a program's name is a command, and not a word of a sentence.
const COMMANDS: [(&str, &[&str]); 6] = [
    (
        "kubectl",
        &[
            "-", "annotate", "apply", "config", "delete", "describe", "get", "logs", "rollout",
        ],
    ),
    ("helm", &["get", "history", "list", "rollback", "upgrade"]),
    ("linkerd", &["check", "prune", "upgrade"]),
    ("mesh-survey", &["-", "|"]),
    ("mesh-cp-upgrade", &["-", "|"]),
    ("mesh-roll", &["-", "|"]),
];

/// Returns every command in the texts of a run. A run's own records of commands are left out.
#[must_use]
pub fn commands(run: &Run) -> Vec<String> {
    let mut texts = vec![run.stderr.clone()];
    for record in &run.records {
        collect(record, &mut texts);
        // All of it is one command.
        texts.extend(record["next"].as_str().map(|next| format!("{next} |")));
    }
    texts.iter().flat_map(|text| commands_of(text)).collect()
}

/// Checks that each command has the flags of the cluster, quoted where a shell needs it.
///
/// # Panics
/// If one has not.
#[track_caller]
pub fn assert_at(commands: &[String], kubeconfig: &str, context: &str) {
    let quoted = |word: &str| match word.contains(' ') {
        true => format!("'{word}'"),
        false => word.to_owned(),
    };
    let (kubeconfig, context) = (quoted(kubeconfig), quoted(context));
    for command in commands {
        let flag = match command.contains("helm ") {
            true => "--kube-context",
            false => "--context",
        };
        for part in [
            format!("{flag} {context}"),
            format!("--kubeconfig {kubeconfig}"),
        ] {
            assert!(command.contains(&part), "no `{part}` in: {command}");
        }
    }
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => {
            let told = fields
                .iter()
                .filter(|(key, _)| !["argv", "command", "next", "verb"].contains(&key.as_str()));
            told.for_each(|(_, field)| collect(field, texts));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn commands_of(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (program, verbs) in COMMANDS {
        for (at, _) in text.match_indices(&format!("{program} ")) {
            let rest = &text[at + program.len() + 1..];
            if verbs.iter().any(|verb| rest.starts_with(verb)) {
                let end = rest.find(['`', '|', ';', ')', '\n']).unwrap_or(rest.len());
                found.push(format!("{program} {}", &rest[..end]));
            }
        }
    }
    found
}
