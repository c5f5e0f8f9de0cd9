//! Measures functions and files.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{Block, ImplItem, Item, Signature, TraitItem, spanned::Spanned as _};

use crate::source::File;

const FUNCTION: usize = 60;
const FILE: usize = 300;

/// The functions of a file that are too long, and the file if it is too long.
pub(crate) fn too_long(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    let path = file.path.display();
    for item in &file.items {
        functions(item, &mut |signature, body| {
            let start = signature.fn_token.span.start().line;
            let lines = body.span().end().line + 1 - start;
            if lines > FUNCTION {
                let name = &signature.ident;
                problems.push(format!(
                    "{path}:{start}: fn {name} has {lines} lines, {FUNCTION} are allowed"
                ));
            }
        });
    }
    let mut lines = BTreeSet::new();
    for item in &file.items {
        code_lines(item.to_token_stream(), &mut lines);
    }
    if lines.len() > FILE {
        problems.push(format!(
            "{path}: {} lines of code, {FILE} are allowed",
            lines.len()
        ));
    }
    problems
}

fn functions(item: &Item, each: &mut impl FnMut(&Signature, &Block)) {
    match item {
        Item::Fn(item) => each(&item.sig, &item.block),
        Item::Impl(block) => {
            for item in &block.items {
                if let ImplItem::Fn(item) = item {
                    each(&item.sig, &item.block);
                }
            }
        }
        Item::Trait(item) => {
            for item in &item.items {
                if let TraitItem::Fn(item) = item
                    && let Some(body) = &item.default
                {
                    each(&item.sig, body);
                }
            }
        }
        Item::Mod(module) => {
            for item in module.content.iter().flat_map(|(_, items)| items) {
                functions(item, each);
            }
        }
        _ => {}
    }
}

/// Every line on which there is code: no blank line, no comment, no doc comment.
fn code_lines(tokens: TokenStream, lines: &mut BTreeSet<usize>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let doc = |token: &TokenTree| match token {
            TokenTree::Group(group) => group
                .stream()
                .into_iter()
                .next()
                .is_some_and(|first| first.to_string() == "doc"),
            _ => false,
        };
        match token {
            TokenTree::Punct(mark)
                if mark.as_char() == '#' && tokens.get(at + 1).is_some_and(doc) => {}
            TokenTree::Group(_) if doc(token) => {}
            TokenTree::Group(group) => {
                lines.extend([
                    group.span_open().start().line,
                    group.span_close().end().line,
                ]);
                code_lines(group.stream(), lines);
            }
            other => lines.extend(other.span().start().line..=other.span().end().line),
        }
    }
}
