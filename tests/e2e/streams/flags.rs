//! Holds every flag in every text for people against the tools' own `--help`: in the sources (hints,
//! messages, help), in what explains the rules, and in the README
//! and the docs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mesh_tests::toolbox;

const TOOLS: [&str; 4] = [
    "mesh-survey",
    "mesh-skewcheck",
    "mesh-cp-upgrade",
    "mesh-roll",
];
/// Flags of kubectl, helm, the linkerd CLI, cargo, tar, sha256sum and the scripts, which are passed on or shown.
const OTHERS: [&str; 41] = [
    "all",
    "cascade",
    "check",
    "client",
    "crds",
    "destination",
    "devel",
    "dir",
    "disable-openapi-validation",
    "features",
    "ignore-missing",
    "ignored",
    "key",
    "kube-as-group",
    "kube-as-user",
    "kube-context",
    "locked",
    "manual",
    "max",
    "overwrite",
    "password",
    "password-stdin",
    "path",
    "previous",
    "proxy",
    "real",
    "reset-values",
    "revision",
    "set-string",
    "short",
    "show-labels",
    "shutdown",
    "strip-components",
    "subresource",
    "template",
    "test",
    "token",
    "type",
    "username",
    "versions",
    "workspace",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The texts that people read, by file, without the tests.
fn texts() -> BTreeMap<PathBuf, String> {
    let mut texts = BTreeMap::new();
    let mut folders = vec![root().join("tools"), root().join("shared")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let is_text = name.ends_with(".rs") || name.ends_with(".txt");
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if is_text && name != "tests.rs" {
                let text = fs::read_to_string(&path).unwrap();
                texts.insert(path, shown(&text));
            }
        }
    }
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|it| it == "md"));
    for page in docs.chain([root().join("README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        texts.insert(page, text);
    }
    texts
}

/// Takes out unit tests and comments, but for those of which clap makes the help.
fn shown(source: &str) -> String {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let is_comment = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("//") && !line.starts_with("///")
    };
    let lines: Vec<&str> = code.lines().filter(|line| !is_comment(line)).collect();
    lines.join("\n")
}

/// The names of the flags in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut flags = BTreeSet::new();
    for (at, _) in text.match_indices("--") {
        let is_word = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-');
        let rest = &text[at + 2..];
        let name = rest.split(|c| !is_part(c)).next().unwrap_or_default();
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !is_word && is_name {
            flags.insert(name.trim_end_matches('-').to_owned());
        }
    }
    flags
}

/// The commands of a tool that a text shows, each up to what ends a command.
fn commands<'a>(text: &'a str, tool: &str) -> Vec<&'a str> {
    let rest = text.split(tool).skip(1);
    let ends = |c| "|`\"\n;)#".contains(c);
    let commands = rest.filter(|it| it.starts_with(" -"));
    commands.filter_map(|it| it.split(ends).next()).collect()
}

#[test]
fn every_flag_in_every_text_is_one_of_the_tool_that_it_is_said_of() {
    let tools = toolbox!();
    let help = TOOLS.map(|tool| {
        let mut command = tools.run(tool);
        command.arg("--help");
        let help = command.output().unwrap();
        assert!(help.status.success(), "{tool}");
        (tool, flags(&String::from_utf8(help.stdout).unwrap()))
    });
    let known: BTreeSet<&str> = help
        .iter()
        .flat_map(|(_, it)| it)
        .map(String::as_str)
        .collect();
    let mut named = 0;
    for (path, text) in texts() {
        let file = path.display();
        for flag in flags(&text) {
            let is_there = known.contains(&*flag) || OTHERS.contains(&&*flag);
            assert!(is_there, "{file}: no tool has --{flag}");
            named += 1;
        }
        for (tool, own) in &help {
            for command in commands(&text, tool) {
                let unknown: Vec<_> = flags(command).difference(own).cloned().collect();
                assert_eq!(unknown, Vec::<String>::new(), "{file}: {tool}{command}");
            }
        }
    }
    assert!(named > 100, "only {named} flags were found");
    let unused: Vec<_> = OTHERS.iter().filter(|it| known.contains(**it)).collect();
    assert_eq!(unused, Vec::<&&str>::new(), "flags of a tool of ours");
}

#[test]
fn a_flag_that_is_not_there_is_found() {
    let text = "pipe it: mesh-survey --context x | mesh-roll --strategy evict";
    assert_eq!(commands(text, "mesh-roll"), [" --strategy evict"]);
    let both = BTreeSet::from(["context".to_owned(), "strategy".to_owned()]);
    assert_eq!(flags(text), both);
    assert_eq!(
        flags("---- a--b --1 -- (--yes=DIGEST)"),
        BTreeSet::from(["yes".to_owned()])
    );
}
