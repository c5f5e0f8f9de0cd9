//! Finds commands for people that are written out in a text: those lack the flags of the cluster.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;

use crate::source::File;

/// Programs that use a cluster, and the words after which their name is a command.
const COMMANDS: [(&str, &[&str]); 2] = [
    (
        "kubectl",
        &[
            "-n", "annotate", "apply", "delete", "describe", "get", "logs", "rollout",
        ],
    ),
    ("helm", &["history", "list", "rollback"]),
];

/// The texts of a file that have such a command. Tests say what they expect.
pub(crate) fn written_out(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    if file.path.starts_with("tests") {
        return problems;
    }
    for item in &file.items {
        texts(item.to_token_stream(), &mut |text, line| {
            if let Some(command) = command(text) {
                let path = file.path.display();
                problems.push(format!(
                    "{path}:{line}: `{command}` is written out; Paste makes commands for people"
                ));
            }
        });
    }
    problems
}

fn command(text: &str) -> Option<String> {
    COMMANDS.iter().find_map(|(program, words)| {
        let mut commands = words.iter().map(|word| format!("{program} {word} "));
        let command = commands.find(|command| text.contains(command.as_str()));
        command.map(|command| command.trim_end().to_owned())
    })
}

/// Every text, without those of doc comments.
fn texts(tokens: TokenStream, each: &mut impl FnMut(&str, usize)) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let first = group.stream().into_iter().next();
                if first.is_none_or(|first| first.to_string() != "doc") {
                    texts(group.stream(), each);
                }
            }
            TokenTree::Literal(text) => each(&text.to_string(), text.span().start().line),
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}
