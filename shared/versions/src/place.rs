//! Finds the line of a field in a file, for errors.

/// Returns the number of the line, counted from 1, on which the field at `path` stands
/// (`lines[3].floor.edge`); the last one before it if there is no such field. `text` is valid JSON.
pub(crate) fn line_of(text: &[u8], path: &str) -> usize {
    let mut cursor = Cursor { text, at: 0 };
    let steps = path
        .split(['.', '['])
        .map(|step| step.trim_end_matches(']'));
    for step in steps.filter(|step| !step.is_empty()) {
        let found = match step.parse::<usize>() {
            Ok(index) => cursor.item(index),
            Err(_) => cursor.member(step),
        };
        if !found {
            break;
        }
    }
    1 + text[..cursor.at]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Skips blanks and the marks between values.
    fn blanks(&mut self) {
        while self.byte().is_some_and(|byte| b" \t\r\n,:".contains(&byte)) {
            self.at += 1;
        }
    }

    /// Enters an array or an object.
    fn enter(&mut self, bracket: u8) -> bool {
        self.blanks();
        let enters = self.byte() == Some(bracket);
        self.at += usize::from(enters);
        self.blanks();
        enters
    }

    fn item(&mut self, index: usize) -> bool {
        if !self.enter(b'[') {
            return false;
        }
        for _ in 0..index {
            self.value();
            self.blanks();
        }
        self.byte() != Some(b']')
    }

    fn member(&mut self, name: &str) -> bool {
        if !self.enter(b'{') {
            return false;
        }
        while self.byte() == Some(b'"') {
            let start = self.at + 1;
            self.value();
            let is_it = self.text.get(start..self.at - 1) == Some(name.as_bytes());
            self.blanks();
            if is_it {
                return true;
            }
            self.value();
            self.blanks();
        }
        false
    }

    /// Skips one value.
    fn value(&mut self) {
        let mut depth = 0_u32;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => self.string(),
                b'[' | b'{' => depth += 1,
                b']' | b'}' if depth == 0 => return,
                b']' | b'}' => depth -= 1,
                b',' | b':' | b'\n' | b' ' if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
            if depth == 0 && matches!(byte, b'"' | b']' | b'}') {
                return;
            }
        }
    }

    /// Goes to the closing quote of a string.
    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => return,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_that_of_the_field_whatever_stands_before_it() {
        let text = "{\n \"a\\\"]\": [\"}\", {\"b\":\n 1}],\n \"c\": {\"d\": [1,\n {\"e\":\n {\"f\": 2}}]},\n \"g\": 3}";
        for (path, line) in [
            ("c", 4),
            ("c.d", 4),
            ("c.d[0]", 4),
            ("c.d[1]", 5),
            ("c.d[1].e", 6),
            ("c.d[1].e.f", 6),
            ("g", 7),
        ] {
            assert_eq!(line_of(text.as_bytes(), path), line, "{path}");
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_ends_within_the_text() {
        let text = b"{\"a\": [1]}";
        for path in ["", "b", "a[7]", "a.b", "a[0].b", "[0]"] {
            assert_eq!(line_of(text, path), 1, "{path}");
        }
    }
}
