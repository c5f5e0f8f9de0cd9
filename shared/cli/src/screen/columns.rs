//! Rows under a head, in columns that fit the screen.

use super::look::{Look, Symbol, Tone};
use crate::Clean;

/// A text in a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

/// A column: its head, and the width to which it may shrink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    head: &'static str,
    at_least: usize,
    is_right: bool,
}

/// Rows of cells, as wide as their columns need, or as the screen allows.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
}

const GAP: &str = "  ";

// === impl Cell ===

impl Cell {
    /// Makes a cell of a text that may come from a cluster.
    pub(super) fn new(tone: Tone, text: &str) -> Self {
        let text = Clean(text).to_string();
        Self { text, tone }
    }

    pub(super) fn plain(text: &str) -> Self {
        Self::new(Tone::Plain, text)
    }
}

// === impl Column ===

impl Column {
    /// A column that keeps its width.
    pub(super) fn fixed(head: &'static str) -> Self {
        Self {
            head,
            at_least: usize::MAX,
            is_right: false,
        }
    }

    /// A column of names, the ends of which may be left out where the screen is narrow.
    pub(super) fn shrinking(head: &'static str, at_least: usize) -> Self {
        Self {
            at_least,
            ..Self::fixed(head)
        }
    }

    /// A column of numbers.
    pub(super) fn right(head: &'static str) -> Self {
        Self {
            is_right: true,
            ..Self::fixed(head)
        }
    }
}

// === impl Columns ===

impl Columns {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Returns the lines. Only a terminal is too narrow for a row; names stay whole in a file.
    pub(super) fn lines(&self, look: Look) -> String {
        let widths = self.widths(look);
        let mut lines = String::new();
        let head = self.columns.iter().map(|it| Cell::new(Tone::Dim, it.head));
        let head: Vec<Cell> = head.collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            let mut blanks = 0;
            for ((cell, column), width) in row.iter().zip(&self.columns).zip(&widths) {
                let text = shortened(&cell.text, *width, look);
                let rest = width.saturating_sub(count(&text));
                let before = if column.is_right { rest } else { 0 };
                if !text.is_empty() {
                    line.push_str(&" ".repeat(blanks));
                    line.push_str(&" ".repeat(before));
                    line.push_str(&look.paint(cell.tone, &text));
                    blanks = 0;
                }
                let after = if text.is_empty() { *width } else { rest };
                let after = if column.is_right { 0 } else { after };
                blanks = blanks.saturating_add(after).saturating_add(GAP.len());
            }
            lines += &line;
            lines.push('\n');
        }
        lines
    }

    fn widths(&self, look: Look) -> Vec<usize> {
        let widest = |(number, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(number));
            let widest = cells.map(|cell| count(&cell.text)).max().unwrap_or(0);
            widest.max(count(column.head))
        };
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(widest).collect();
        let Some(size) = look.size else {
            return widths;
        };
        let gaps = GAP.len().saturating_mul(widths.len().saturating_sub(1));
        let mut excess = widths.iter().sum::<usize>().saturating_add(gaps);
        excess = excess.saturating_sub(size.columns);
        while excess > 0 {
            let spare = |(number, width): (usize, &usize)| {
                let least = self
                    .columns
                    .get(number)
                    .map_or(usize::MAX, |it| it.at_least);
                width.saturating_sub(least)
            };
            let all = widths.iter().enumerate().map(|it| (spare(it), it.0));
            let Some((1.., number)) = all.max() else {
                break;
            };
            if let Some(width) = widths.get_mut(number) {
                *width = width.saturating_sub(1);
            }
            excess = excess.saturating_sub(1);
        }
        widths
    }
}

// The ends of names are what they differ in, so the middle is left out.
fn shortened(text: &str, width: usize, look: Look) -> String {
    let length = count(text);
    if length <= width {
        return text.to_owned();
    }
    let more = look.symbol(Symbol::More);
    let kept = width.saturating_sub(count(more));
    let tail = kept / 2;
    let head = text.chars().take(kept.saturating_sub(tail));
    let tail = text.chars().skip(length.saturating_sub(tail));
    head.chain(more.chars()).chain(tail).collect()
}

fn count(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Columns {
        let mut columns = Columns::new(vec![
            Column::shrinking("NAME", 6),
            Column::right("PODS"),
            Column::fixed("NOTE"),
        ]);
        for (name, pods, note) in [("web", "3/3", ""), ("a-very-long-name", "10/10", "pinned")] {
            let cells = [name, pods, note].map(Cell::plain);
            columns.rows.push(cells.to_vec());
        }
        columns
    }

    #[test]
    fn a_row_fits_the_screen_and_is_whole_elsewhere() {
        let narrow = "NAME       PODS  NOTE\nweb         3/3\na-ve…ame  10/10  pinned\n";
        assert_eq!(table().lines(Look::terminal(23)), narrow);
        let whole = table().lines(Look::default());
        assert!(
            whole.contains("\na-very-long-name  10/10  pinned\n"),
            "{whole}"
        );
        let least = table().lines(Look::terminal(2));
        assert!(least.contains("\na-v…me  10/10  pinned\n"), "{least}");
    }

    #[test]
    fn colours_and_empty_cells_do_not_move_a_column_nor_leave_blanks_at_the_end() {
        let mut table = table();
        table.rows.push(vec![
            Cell::new(Tone::Bad, "b"),
            Cell::default(),
            Cell::new(Tone::Warn, "not ready\u{1b}"),
        ]);
        let plain = table.lines(Look::default());
        let coloured = table.lines(Look::default().coloured());
        assert!(coloured.contains("\u{1b}[31mb\u{1b}[0m"), "{coloured:?}");
        let bare = coloured.replace("\u{1b}[31m", "").replace("\u{1b}[33m", "");
        let bare = bare.replace("\u{1b}[2m", "").replace("\u{1b}[0m", "");
        assert_eq!(bare, plain);
        assert!(plain.lines().all(|line| !line.ends_with(' ')), "{plain:?}");
        assert!(!plain.contains('\u{1b}'));
    }
}
