//! Text for people in columns, as wide as the terminal.
//!
//! On a terminal no line is wider than the window: the last column is wrapped between words, or
//! stands below the others where the window is narrow. In a pipe or a file each row is one line,
//! nothing is cut, and there are no colours (as of systemctl and kubectl). Names and addresses are
//! never cut.

use crate::cli::terminal::{Terminal, use_color, wrapped};
use console::measure_text_width;

/// Blanks between two columns.
const GAP: usize = 2;
/// The fewest columns of a terminal in which the last column is wrapped beside the others.
const NARROWEST: usize = 24;
/// How far the last column is indented below the others.
const INDENT: usize = 4;

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Somebody was or will be refused.
    Bad,
    /// Somebody has to do something, or passed without a code.
    Warning,
    /// As it should be.
    Good,
    /// A heading.
    Heading,
}

/// How wide and how coloured standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The columns of the terminal. `None`: a pipe or a file, where lines have no limit.
    pub columns: Option<usize>,
    /// Whether colours are printed.
    pub color: bool,
}

impl Layout {
    /// The layout of standard output.
    pub(super) fn of_stdout() -> Self {
        Self { columns: Terminal::of_stdout().map(|terminal| terminal.columns), color: use_color() }
    }

    /// A text in the colour of its meaning.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let colour = match tone {
            Tone::Bad => "1;31",
            Tone::Warning => "1;33",
            Tone::Good => "32",
            Tone::Heading => "1",
        };
        format!("\x1b[{colour}m{text}\x1b[0m")
    }

    /// A text in lines that fit, each after `indent` blanks.
    pub(super) fn paragraph(self, indent: usize, text: &str) -> String {
        let blanks = " ".repeat(indent);
        let lines = match self.columns {
            Some(columns) => wrapped(text, columns.saturating_sub(indent)),
            None => text.to_owned(),
        };
        format!("{blanks}{}", lines.replace('\n', &format!("\n{blanks}")))
    }
}

/// A table that is printed in parts. A column may grow from one part to the next.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    layout: Layout,
    headings: [&'static str; N],
    widths: [usize; N],
    started: bool,
}

impl<const N: usize> Table<N> {
    /// A table with these headings.
    pub(super) fn new(layout: Layout, headings: [&'static str; N]) -> Self {
        Self { layout, headings, widths: headings.map(measure_text_width), started: false }
    }

    /// The lines of further rows, after those of the headings at the first call. Without rows there
    /// are no lines.
    pub(super) fn lines(&mut self, rows: &[[String; N]]) -> Vec<String> {
        if rows.is_empty() {
            return Vec::new();
        }
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(cell));
            }
        }
        let mut lines = Vec::with_capacity(rows.len() + 1);
        if !self.started {
            self.started = true;
            let headings = self.headings.map(str::to_owned);
            lines.push(self.layout.paint(Tone::Heading, &self.line(&headings)));
        }
        lines.extend(rows.iter().map(|row| self.line(row)));
        lines
    }

    /// One row, in one line or several.
    fn line(&self, row: &[String; N]) -> String {
        let Some((last, others)) = row.split_last() else { return String::new() };
        let mut line = String::new();
        let mut used = 0;
        for (cell, width) in others.iter().zip(self.widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width + GAP - measure_text_width(cell)));
            used += width + GAP;
        }
        let Some(columns) = self.layout.columns else { return (line + last).trim_end().to_owned() };
        let left = columns.saturating_sub(used);
        if measure_text_width(last) <= left {
            return (line + last).trim_end().to_owned();
        }
        let longest_word = last.split(' ').map(measure_text_width).max().unwrap_or_default();
        if left < NARROWEST.max(longest_word) {
            return format!("{}\n{}", line.trim_end(), self.layout.paragraph(INDENT, last));
        }
        line + &wrapped(last, left).replace('\n', &format!("\n{}", " ".repeat(used)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: Option<usize>, color: bool, rows: &[[&str; 3]]) -> Vec<String> {
        let mut table = Table::new(Layout { columns, color }, ["USER", "STATE", "DETAILS"]);
        table.lines(&rows.iter().map(|row| row.map(str::to_owned)).collect::<Vec<_>>())
    }

    const ROWS: [[&str; 3]; 2] =
        [["alice", "active", ""], ["bob", "LOCKED", "logins from 2001:db8::1 until tomorrow, 3 failures"]];

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let lines = table(None, false, &ROWS);
        assert_eq!(
            lines,
            [
                "USER   STATE   DETAILS",
                "alice  active",
                "bob    LOCKED  logins from 2001:db8::1 until tomorrow, 3 failures"
            ]
        );
        assert_eq!(table(Some(80), false, &ROWS), lines);
        assert_eq!(table(Some(80), false, &[]), [""; 0]);
        let wide = table(None, false, &[["東京", "active", "x"], ["ab", "active", "x"]]);
        assert_eq!(wide[1..], ["東京  active  x", "ab    active  x"]);
    }

    #[test]
    fn the_last_column_wraps_between_words() {
        let lines = table(Some(42), false, &ROWS);
        assert_eq!(
            lines[2],
            "bob    LOCKED  logins from 2001:db8::1\n               until tomorrow, 3 failures"
        );
        let narrow = table(Some(30), false, &ROWS);
        assert_eq!(narrow[2], "bob    LOCKED\n    logins from 2001:db8::1\n    until tomorrow, 3 failures");
    }

    #[test]
    fn colours_take_no_room() {
        let layout = Layout { columns: Some(42), color: true };
        let painted = layout.paint(Tone::Bad, "LOCKED");
        let lines = table(Some(42), true, &[["bob", &painted, ROWS[1][2]]]);
        assert_eq!(lines[0], "\x1b[1mUSER  STATE   DETAILS\x1b[0m");
        assert!(lines[1].starts_with("bob   \x1b[1;31mLOCKED\x1b[0m  logins from"), "{lines:?}");
        assert_eq!(Layout { color: false, ..layout }.paint(Tone::Bad, "LOCKED"), "LOCKED");
    }

    #[test]
    fn a_later_part_has_no_second_heading() {
        let mut table = Table::new(Layout { columns: None, color: false }, ["A", "B"]);
        let row = |a: &str| [[a.to_owned(), "x".to_owned()]];
        assert_eq!(table.lines(&row("a")), ["A  B", "a  x"]);
        assert_eq!(table.lines(&row("long")), ["long  x"]);
        assert_eq!(table.lines(&row("a")), ["a     x"]);
    }
}
