//! Finds the paths in code, macros' arguments included, without knowing what the code means.

use proc_macro2::{Delimiter, Ident, Spacing, TokenStream, TokenTree};

use crate::source::Segments;

pub(crate) struct Path {
    pub(crate) segments: Segments,
    pub(crate) line: usize,
}

/// Every path in the tokens. `self.run(..)` is read as `Self::run`.
pub(crate) fn paths(tokens: TokenStream) -> Vec<Path> {
    let mut found = Vec::new();
    within(tokens, &[], &mut found);
    found
}

fn within(tokens: TokenStream, before: &[String], found: &mut Vec<Path>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(name) if begins(&tokens, at) => {
                at = path(&tokens, at, name, before, found);
            }
            TokenTree::Group(group) => within(group.stream(), before, found),
            TokenTree::Literal(text) if at > 0 && is(&tokens[at - 1], '=') => {
                quoted(&text.to_string(), text.span().start().line, found);
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) | TokenTree::Punct(_) => {}
        }
        at += 1;
    }
}

/// Reads the path that begins at `at`, and returns where its last token is.
fn path(
    tokens: &[TokenTree],
    mut at: usize,
    name: &Ident,
    before: &[String],
    found: &mut Vec<Path>,
) -> usize {
    let line = name.span().start().line;
    let mut segments = [before, &[name.to_string()]].concat();
    if *name == "self"
        && let [TokenTree::Punct(dot), TokenTree::Ident(method), called, ..] = &tokens[at + 1..]
        && dot.as_char() == '.'
        && (is(called, ':') || is_group(called, Delimiter::Parenthesis))
    {
        segments = vec!["Self".to_owned(), method.to_string()];
    }
    while let [first, second, next, ..] = &tokens[at + 1..]
        && is(first, ':')
        && is(second, ':')
    {
        match next {
            TokenTree::Ident(name) => segments.push(name.to_string()),
            // The group of a `use` inside a function.
            TokenTree::Group(group) if is_group(next, Delimiter::Brace) => {
                within(group.stream(), &segments, found);
                return at + 3;
            }
            TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => break,
        }
        at += 3;
    }
    found.push(Path { segments, line });
    at
}

/// Whether the name at `at` can begin a path: it is no field, no method, no declared name, no
/// lifetime and not the rest of another path.
fn begins(tokens: &[TokenTree], at: usize) -> bool {
    let after = |back: usize, mark: char| at >= back && is(&tokens[at - back], mark);
    let field = after(1, '.') && !after(2, '.');
    let rest = after(1, ':') && after(2, ':') && is_joint(&tokens[at - 2]);
    let declared = match tokens.get(at.wrapping_sub(1)) {
        Some(TokenTree::Ident(word)) => word == "fn",
        _ => false,
    };
    let labelled = tokens.get(at + 1).is_some_and(|next| is(next, ':'))
        && !tokens.get(at + 1).is_some_and(is_joint);
    !(field || rest || declared || labelled || after(1, '\''))
}

/// Adds the path in the text of an attribute such as `default = "crate::value::yes"`.
fn quoted(text: &str, line: usize, found: &mut Vec<Path>) {
    let segments: Segments = text
        .trim_matches('"')
        .split("::")
        .map(str::to_owned)
        .collect();
    let is_name =
        |name: &String| syn::parse_str::<Ident>(name).is_ok() || name == "crate" || name == "super";
    if segments.len() > 1 && segments.iter().all(is_name) {
        found.push(Path { segments, line });
    }
}

fn is(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_joint(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.spacing() == Spacing::Joint)
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}
