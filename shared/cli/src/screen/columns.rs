//! Rows under a head, in columns that fit the screen.

use super::look::{Look, Symbol, Tone};
use super::text::wrapped;
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
    is_broken: bool,
    is_spare: bool,
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
            is_broken: false,
            is_spare: false,
        }
    }

    /// A column of names, the ends of which may be left out where the screen is narrow.
    pub(super) fn shrinking(head: &'static str, at_least: usize) -> Self {
        Self {
            at_least,
            ..Self::fixed(head)
        }
    }

    /// A column of sentences, which go on below themselves where the screen is narrow.
    pub(super) fn broken(head: &'static str, at_least: usize) -> Self {
        Self {
            is_broken: true,
            ..Self::shrinking(head, at_least)
        }
    }

    /// A column of numbers.
    pub(super) fn right(head: &'static str) -> Self {
        Self {
            is_right: true,
            ..Self::fixed(head)
        }
    }

    /// The same column, which is left out where the screen is too narrow for all; the first of
    /// several goes first.
    pub(super) fn spare(self) -> Self {
        Self {
            is_spare: true,
            ..self
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
        let head = self.columns.iter().map(|it| Cell::new(Tone::Dim, it.head));
        let head: Vec<Cell> = head.collect();
        let rows = std::iter::once(&head).chain(&self.rows);
        rows.map(|row| self.row(row, &widths, look)).collect()
    }

    // A row has as many lines as its longest sentence.
    fn row(&self, row: &[Cell], widths: &[Option<usize>], look: Look) -> String {
        let shown = row.iter().zip(&self.columns).zip(widths);
        let shown = shown.filter_map(|(it, width)| Some((it, (*width)?)));
        let cells: Vec<(&Column, Tone, usize, Vec<String>)> = shown
            .map(|((cell, column), width)| {
                let pieces = match column.is_broken {
                    true => wrapped(&cell.text, width),
                    false => vec![shortened(&cell.text, width, look)],
                };
                (column, cell.tone, width, pieces)
            })
            .collect();
        let height = cells.iter().map(|it| it.3.len()).max().unwrap_or(0);
        let mut lines = String::new();
        for number in 0..height {
            let mut blanks = 0;
            for (column, tone, width, pieces) in &cells {
                let text = pieces.get(number).map_or("", String::as_str);
                let rest = width.saturating_sub(count(text));
                let before = if column.is_right { rest } else { 0 };
                if !text.is_empty() {
                    lines.push_str(&" ".repeat(blanks));
                    lines.push_str(&" ".repeat(before));
                    lines.push_str(&look.paint(*tone, text));
                    blanks = 0;
                }
                let after = if text.is_empty() { *width } else { rest };
                let is_filled = column.is_right && !text.is_empty();
                let after = if is_filled { 0 } else { after };
                blanks = blanks.saturating_add(after).saturating_add(GAP.len());
            }
            lines.push('\n');
        }
        lines
    }

    // The widths of the columns that are shown.
    fn widths(&self, look: Look) -> Vec<Option<usize>> {
        let widest = |(number, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(number));
            let widest = cells.map(|cell| count(&cell.text)).max().unwrap_or(0);
            Some(widest.max(count(column.head)))
        };
        let mut widths: Vec<Option<usize>> = self.columns.iter().enumerate().map(widest).collect();
        let Some(size) = look.size else {
            return widths;
        };
        for spare in 0..self.columns.len() {
            let least = |(width, column): (&Option<usize>, &Column)| {
                width.map(|width| width.min(column.at_least))
            };
            let least: Vec<Option<usize>> = widths.iter().zip(&self.columns).map(least).collect();
            let is_spare = self.columns.get(spare).is_some_and(|it| it.is_spare);
            if total(&least) > size.columns
                && is_spare
                && let Some(width) = widths.get_mut(spare)
            {
                *width = None;
            }
        }
        for _ in size.columns..total(&widths) {
            let shown = widths.iter_mut().zip(&self.columns);
            let shown = shown.filter_map(|(width, column)| Some((width.as_mut()?, column)));
            // A sentence is whole on several lines too; a name without its middle is not.
            let spare = shown.map(|(width, column)| {
                let spare = width.saturating_sub(column.at_least);
                (spare, column.is_broken && spare > 0, width)
            });
            let Some((1.., _, width)) = spare.max_by_key(|it| (it.1, it.0)) else {
                break;
            };
            *width = width.saturating_sub(1);
        }
        widths
    }
}

// The width of all columns that are shown, with the gaps between them.
fn total(widths: &[Option<usize>]) -> usize {
    let shown = || widths.iter().flatten();
    let gaps = shown().count().saturating_sub(1);
    shown()
        .sum::<usize>()
        .saturating_add(gaps.saturating_mul(GAP.len()))
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
    fn a_sentence_goes_on_below_itself_and_a_spare_column_makes_room() {
        let mut columns = Columns::new(vec![
            Column::shrinking("NAME", 6),
            Column::right("READY").spare(),
            Column::broken("NOTE", 10),
        ]);
        let cells = ["a-long-name", "3/3", "asks for a proxy"].map(Cell::plain);
        columns.rows.push(cells.to_vec());
        let all = "NAME         READY  NOTE\na-long-name    3/3  asks for a proxy\n";
        assert_eq!(columns.lines(Look::terminal(40)), all);
        let narrow =
            "NAME         READY  NOTE\na-long-name    3/3  asks for a\n                    proxy\n";
        assert_eq!(columns.lines(Look::terminal(30)), narrow);
        let narrow = "NAME    READY  NOTE\na-l…me    3/3  asks for a\n               proxy\n";
        assert_eq!(columns.lines(Look::terminal(25)), narrow);
        let spared = "NAME    NOTE\na-l…me  asks for a\n        proxy\n";
        assert_eq!(columns.lines(Look::terminal(18)), spared);
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
