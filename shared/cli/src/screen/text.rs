//! Small texts: durations, counts, sentences that fit the screen.

use jiff::SignedDuration;
use mesh_records::roughly;

use super::look::{Look, Symbol, Tone};
use crate::Clean;

// A blank at which no line is broken.
const UNBROKEN: &str = "\u{a0}";

/// How many lines of a kind are repeated.
pub(super) const MANY: usize = 5;

/// Returns a duration in the unit that a person would choose.
pub(super) fn took(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        _ => roughly(seconds),
    }
}

/// Returns how long something stays valid, roughly.
pub(super) fn lasts(left: SignedDuration) -> String {
    match left.as_hours() {
        hours @ ..48 => format!("{hours} hours"),
        hours @ 48..17_520 => format!("{} days", hours / 24),
        hours => format!("{} years", hours / 8766),
    }
}

/// Returns a number with its noun.
pub(super) fn many(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Returns a label, padded to `width`, with a sentence beside it that keeps to its own column.
pub(super) fn beside(look: Look, label: (Tone, &str), width: usize, said: (Tone, &str)) -> String {
    hanging(look, label, width.saturating_add(2), said)
}

/// Returns a label and a sentence behind it, all lines of which begin in the column `indent`.
pub(super) fn hanging(
    look: Look,
    label: (Tone, &str),
    indent: usize,
    said: (Tone, &str),
) -> String {
    let ((label_tone, label), (tone, sentence)) = (label, said);
    let sentence = Clean(sentence).to_string();
    let lines = match look.size.map(|size| size.columns.saturating_sub(indent)) {
        Some(room @ 20..) => fitted(&sentence, room),
        // The terminal breaks it better than a column of a few characters.
        Some(_) | None => vec![sentence],
    };
    let mut text = String::new();
    let mut label = Clean(label).to_string();
    if look.size.is_some() && label.trim_end().chars().count() >= indent {
        // The first line would not fit beside it.
        text = look.paint(label_tone, &label) + "\n";
        label.clear();
    }
    for line in lines {
        let rest = indent.saturating_sub(label.chars().count());
        text += &look.paint(label_tone, &label);
        text += &" ".repeat(rest);
        text += &look.paint(tone, &line.replace(UNBROKEN, " "));
        text.push('\n');
        label.clear();
    }
    text
}

/// Returns a text that stays in one line where it stands beside a label.
pub(super) fn unbroken(text: &str) -> String {
    text.replace(' ', UNBROKEN)
}

/// Returns a symbol with what it stands for.
pub(super) fn item(look: Look, tone: Tone, symbol: Symbol, said: &str) -> String {
    let symbol = look.symbol(symbol);
    let indent = symbol.chars().count().saturating_add(1);
    hanging(look, (tone, symbol), indent, (Tone::Plain, said))
}

// A command is broken where a shell reads on, a sentence at its blanks. A command that ends a sentence
// has lines of its own; one within a sentence stays in one piece, so that it can be pasted.
fn fitted(text: &str, width: usize) -> Vec<String> {
    let lines = lines(&quoted(text), width);
    lines
        .iter()
        .map(|line| line.replace(UNBROKEN, " "))
        .collect()
}

// Keeps what stands between backticks in one piece.
fn quoted(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(number, part)| match number % 2 {
        0 => part.to_owned(),
        _ => unbroken(part),
    });
    parts.collect::<Vec<_>>().join("`")
}

fn lines(text: &str, width: usize) -> Vec<String> {
    let words: Vec<&str> = text.split(' ').collect();
    let commands = (0..words.len()).filter(|from| words.get(*from..).is_some_and(is_command));
    match commands.min() {
        Some(0) => piped(text, width),
        Some(_) if text.chars().count() <= width => vec![text.to_owned()],
        Some(from) => {
            let (said, command) = words.split_at(from);
            let command = command.join(" ");
            let words = shell_words(&command);
            match words.iter().position(|word| ends_command(word)) {
                Some(last) => {
                    let (command, rest) = words.split_at(last.saturating_add(1));
                    let parts = [said.join(" "), unbroken(&command.join(" ")), rest.join(" ")];
                    let parts = parts.into_iter().filter(|part| !part.is_empty());
                    lines(&parts.collect::<Vec<_>>().join(" "), width)
                }
                None => {
                    let mut lines = wrapped(&said.join(" "), width);
                    lines.extend(piped(&command, width));
                    lines
                }
            }
        }
        None => wrapped(text, width),
    }
}

// Where more is said behind a command, only this shows its end.
fn ends_command(word: &str) -> bool {
    word.ends_with([',', ';', ')']) || ["and", "or", "of", "then"].contains(&word)
}

// A program with a flag or a pipe, unlike "mesh-roll skips" and "the linkerd CLI".
fn is_command(words: &[&str]) -> bool {
    let [first, rest @ ..] = words else {
        return false;
    };
    let is_variable = |name: &str| name.bytes().all(|it| it.is_ascii_uppercase() || it == b'_');
    if first
        .split_once('=')
        .is_some_and(|(name, _)| is_variable(name))
    {
        return is_command(rest);
    }
    let program = first.rsplit('/').next().unwrap_or_default();
    match program {
        "mesh-survey" | "mesh-skewcheck" | "mesh-cp-upgrade" | "mesh-roll" => rest
            .first()
            .is_some_and(|next| next.starts_with(['-', '|'])),
        "kubectl" | "helm" | "linkerd" => rest.iter().take(4).any(|word| word.starts_with('-')),
        _ => false,
    }
}

/// Returns the first few of these lines, under one label.
pub(super) fn rows(label: &str, lines: &[String], look: Look) -> String {
    let mut label = format!("  {label}");
    let mut text = String::new();
    for line in lines.iter().take(MANY) {
        text += &beside(
            look,
            (Tone::Dim, &std::mem::take(&mut label)),
            11,
            (Tone::Plain, line),
        );
    }
    match lines.len().saturating_sub(MANY) {
        0 => text,
        rest => {
            text + &beside(
                look,
                (Tone::Dim, ""),
                11,
                (Tone::Dim, &format!("and {rest} more")),
            )
        }
    }
}

/// Returns a line that fits the screen: what follows is indented deeper than its beginning.
pub(crate) fn folded(look: Look, line: &str) -> String {
    let words = Clean(line.trim_start()).to_string();
    let blanks = " ".repeat(line.len().saturating_sub(line.trim_start().len()));
    let room = look.size.map_or(usize::MAX, |size| size.columns);
    let lines = fitted(&words, room.saturating_sub(blanks.len()).saturating_sub(2));
    format!("{blanks}{}\n", lines.join(&format!("\n{blanks}  ")))
}

/// Breaks a text into lines of at most `width` characters, at blanks; a longer word stays whole.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if line.chars().count().saturating_add(length) < width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Returns the next command, which works as pasted.
pub(super) fn next(look: Look, command: Option<&str>) -> String {
    const LABEL: &str = "next";
    let indent = LABEL.len().saturating_add(2);
    let room = look
        .size
        .map_or(usize::MAX, |size| size.columns.saturating_sub(indent));
    let lines = command.into_iter().flat_map(|command| piped(command, room));
    let line = |(number, line): (usize, String)| {
        let label = look.paint(Tone::Dim, if number == 0 { LABEL } else { "    " });
        format!("{label}  {}\n", Clean(&line))
    };
    lines.enumerate().map(line).collect()
}

// Breaks a command where a shell reads on: behind its pipes, and within a longer part behind a
// backslash.
fn piped(command: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in command.split_inclusive(" | ") {
        let length = part.trim_end().chars().count();
        match lines.last_mut() {
            Some(line) if line.chars().count().saturating_add(length) <= width => {
                line.push_str(part);
            }
            Some(_) | None if length <= width => lines.push(part.to_owned()),
            Some(_) | None => lines.extend(continued(part, width)),
        }
    }
    lines
        .into_iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn continued(part: &str, width: usize) -> Vec<String> {
    const GOES_ON: &str = " \\";
    let room = width.saturating_sub(GOES_ON.len());
    let mut lines: Vec<String> = Vec::new();
    for word in shell_words(part.trim_end()) {
        let length = word.chars().count().saturating_add(1);
        match lines.last_mut() {
            Some(line) if line.chars().count().saturating_add(length) <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            Some(line) => {
                line.push_str(GOES_ON);
                lines.push(format!("  {word}"));
            }
            None => lines.push(word),
        }
    }
    // The next part may go on in the last line.
    if part.ends_with(' ')
        && let Some(line) = lines.last_mut()
    {
        line.push(' ');
    }
    lines
}

// The words of a command, with their quotes: a blank within quotes separates nothing.
fn shell_words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quote, mut is_escaped) = (None, false);
    for it in command.chars() {
        match (it, quote) {
            (' ', None) if !is_escaped => {
                words.push(String::new());
                continue;
            }
            ('\'' | '"', None) if !is_escaped => quote = Some(it),
            (_, Some(open)) if it == open && !is_escaped => quote = None,
            _ => {}
        }
        is_escaped = it == '\\' && quote != Some('\'') && !is_escaped;
        if let Some(word) = words.last_mut() {
            word.push(it);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_the_unit_that_a_person_would_choose() {
        let rows = [
            (400, "0.4s"),
            (9_999, "9.9s"),
            (59_999, "59s"),
            (252_000, "4m12s"),
            (3_660_000, "1h01m"),
        ];
        for (milliseconds, words) in rows {
            assert_eq!(took(milliseconds), words);
        }
        let rows = [
            (47, "47 hours"),
            (48, "2 days"),
            (7_300, "304 days"),
            (90_000, "10 years"),
        ];
        for (hours, words) in rows {
            assert_eq!(lasts(SignedDuration::from_hours(hours)), words);
        }
    }

    #[test]
    fn a_command_stays_whole_and_has_its_own_lines_where_it_ends_a_sentence() {
        for (text, lines) in [
            ("mesh-roll skips what the linkerd CLI has", 2),
            ("go back: helm rollback cp 3 -n mesh", 2),
            ("see kubectl --context eu get pods", 2),
            ("see kubectl --context eu get pods; then wait", 3),
            (
                "trust neither linkerd check --proxy nor linkerd version --proxy of 2.15; survey",
                3,
            ),
            ("go back: HELM_DRIVER=sql /opt/helm rollback cp -n mesh", 3),
            (
                "remove what is left with `kubectl --context eu delete secret x`",
                2,
            ),
            ("mesh-survey | mesh-skewcheck | mesh-roll", 2),
            ("run mesh-survey | mesh-skewcheck", 1),
        ] {
            assert_eq!(fitted(text, 32).len(), lines, "{text}");
        }
    }

    #[test]
    fn what_belongs_together_stays_in_one_line() {
        let facts = format!(
            "{} · {}",
            unbroken("valid 9 years"),
            unbroken("1 pod ready")
        );
        let said = beside(
            Look::terminal(30),
            (Tone::Dim, "a"),
            1,
            (Tone::Plain, &facts),
        );
        assert_eq!(said, "a  valid 9 years · 1 pod ready\n");
        let said = beside(
            Look::terminal(26),
            (Tone::Dim, "a"),
            1,
            (Tone::Plain, &facts),
        );
        assert_eq!(said, "a  valid 9 years ·\n   1 pod ready\n");
    }

    #[test]
    fn a_sentence_is_broken_at_blanks_and_a_command_behind_its_pipes() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a-long-word b", 4), ["a-long-word", "b"]);
        let command = "mesh-survey --context eu | mesh-skewcheck | mesh-roll";
        assert_eq!(
            piped(command, 30),
            ["mesh-survey --context eu |", "mesh-skewcheck | mesh-roll"]
        );
        assert_eq!(piped(command, 80), [command]);
    }

    #[test]
    fn a_longer_part_of_a_command_goes_on_behind_a_backslash_and_never_within_quotes() {
        let command =
            "mesh-survey | mesh-roll --exclude a/b --reason 'it is so' --context eu | jq .";
        let lines = [
            "mesh-survey |",
            "mesh-roll --exclude a/b \\",
            "  --reason 'it is so' \\",
            "  --context eu | jq .",
        ];
        assert_eq!(piped(command, 26), lines);
        assert_eq!(
            shell_words(r#"a 'b '\''c d' "e \" f" g"#),
            ["a", r"'b '\''c d'", r#""e \" f""#, "g"]
        );
    }
}
