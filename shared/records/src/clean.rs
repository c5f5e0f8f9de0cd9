//! Makes text from a cluster safe to print on a terminal.

use std::fmt::{self, Write as _};

/// Displays text with control characters escaped, also those that change the writing direction, so
/// that a name from the cluster cannot move the cursor or hide text.
#[derive(Clone, Copy, Debug)]
pub struct Clean<'a>(pub &'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_harmful(character) {
                write!(f, "{}", character.escape_unicode())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Escapes the same characters in place.
pub(crate) fn clean(text: &mut String) {
    if text.chars().any(is_harmful) {
        *text = Clean(text).to_string();
    }
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::Clean;

    #[test]
    fn escapes_only_characters_that_move_the_cursor_or_change_the_direction() {
        let table = [
            ("web-1 ä 日本", "web-1 ä 日本"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\nb\r", "a\\u{a}b\\u{d}"),
            ("\u{202e}evil", "\\u{202e}evil"),
            ("\u{61c}\u{2066}\u{2028}", "\\u{61c}\\u{2066}\\u{2028}"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ];
        for (raw, clean) in table {
            assert_eq!(Clean(raw).to_string(), clean);
        }
    }
}
