//! Text from a cluster, made harmless for a terminal.

use std::fmt::{self, Write as _};

/// Displays text with its control characters escaped, those that turn the direction of writing
/// included: a name from the cluster can neither move the cursor nor hide a word.
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

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::Clean;

    #[test]
    fn escapes_what_moves_the_cursor_or_turns_the_text_and_nothing_else() {
        let table = [
            ("web-1 ä 日本", "web-1 ä 日本"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\nb\r", "a\\u{a}b\\u{d}"),
            ("\u{202e}evil", "\\u{202e}evil"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ];
        for (raw, clean) in table {
            assert_eq!(Clean(raw).to_string(), clean);
        }
    }
}
