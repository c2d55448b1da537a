//! What the terminal at standard output can show: its size, character set and colours.

use crate::qr::Colours;
use console::{Term, measure_text_width};
use std::io::IsTerminal;

/// The size of a terminal that does not say its own, such as a serial line: columns and rows.
const DEFAULT_SIZE: (usize, usize) = (80, 24);
/// Terminals, and programs that behave like them, that never show UTF-8 (terminfo names).
const WITHOUT_UTF8: [&str; 10] =
    ["vt52", "vt100", "vt102", "vt220", "vt320", "vt420", "vt510", "ansi", "dumb", "unknown"];

/// The terminal at standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terminal {
    /// Characters in a row.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    /// Whether it shows UTF-8.
    pub utf8: bool,
    /// How it shows black and white.
    pub colours: Colours,
}

impl Terminal {
    /// The terminal at standard output; `None` if that is a file or a pipe.
    pub(super) fn of_stdout() -> Option<Self> {
        if !std::io::stdout().is_terminal() {
            return None;
        }
        let environment = Environment::of_process();
        let (columns, rows) = size();
        Some(Self { columns, rows, utf8: environment.is_utf8(), colours: environment.colours() })
    }

    /// This terminal with the size that its window has now.
    pub(super) fn measured_again(self) -> Self {
        let (columns, rows) = size();
        Self { columns, rows, ..self }
    }

    /// What clears the screen, if the terminal has a cursor to move.
    pub(super) fn clear(self) -> &'static str {
        if self.colours == Colours::Plain { "" } else { "\x1b[H\x1b[2J" }
    }
}

/// Whether to print colours: on a terminal that has them, unless `NO_COLOR` is set.
pub(super) fn use_color() -> bool {
    Terminal::of_stdout().is_some_and(|terminal| terminal.colours != Colours::Plain) && !no_color()
}

/// Whether `NO_COLOR` is set and not empty (<https://no-color.org>).
#[expect(clippy::disallowed_methods, reason = "decides nothing but colours")]
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Breaks a text between words into lines of at most this many columns. A word that is longer stays
/// whole: it may be a name or an address. Colours take no columns.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
    let (mut out, mut used) = (String::with_capacity(text.len()), 0);
    for word in text.split(' ') {
        let length = measure_text_width(word);
        if used > 0 && used + 1 + length > columns {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out
}

fn size() -> (usize, usize) {
    Term::stdout()
        .size_checked()
        .map_or(DEFAULT_SIZE, |(rows, columns)| (usize::from(columns), usize::from(rows)))
}

/// The environment variables that describe a terminal.
#[derive(Debug, Default)]
struct Environment {
    /// `LC_ALL`, `LC_CTYPE` and `LANG`: the first that is not empty counts (locale(7)).
    locale: [String; 3],
    /// `TERM`
    term: String,
    /// `COLORTERM`, which terminals with more than 16 colours set.
    colorterm: String,
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "decides nothing but how a QR code is drawn")]
    fn of_process() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Self {
            locale: ["LC_ALL", "LC_CTYPE", "LANG"].map(variable),
            term: variable("TERM"),
            colorterm: variable("COLORTERM"),
        }
    }

    fn is_utf8(&self) -> bool {
        let locale = self.locale.iter().find(|value| !value.is_empty()).map_or("", String::as_str);
        let codeset = locale.split_once('.').map_or("", |(_, codeset)| codeset);
        let codeset = codeset.split('@').next().unwrap_or_default().to_ascii_lowercase();
        matches!(codeset.as_str(), "utf-8" | "utf8") && !self.is_of(&WITHOUT_UTF8)
    }

    fn colours(&self) -> Colours {
        if self.term.is_empty() || self.is_of(&["dumb", "unknown"]) {
            return Colours::Plain;
        }
        let many = ["256color", "direct", "kitty", "alacritty", "ghostty", "foot", "wezterm"];
        if !self.colorterm.is_empty() || many.iter().any(|part| self.term.contains(part)) {
            Colours::Ansi256
        } else {
            Colours::Ansi
        }
    }

    /// Whether `TERM` names one of these, or a variant such as `vt220-w`.
    fn is_of(&self, terminals: &[&str]) -> bool {
        let name = self.term.split('-').next().unwrap_or_default();
        terminals.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(locale: [&str; 3], term: &str, colorterm: &str) -> Environment {
        Environment {
            locale: locale.map(str::to_owned),
            term: term.to_owned(),
            colorterm: colorterm.to_owned(),
        }
    }

    #[test]
    fn a_text_is_wrapped_between_words() {
        assert_eq!(wrapped("one two three", 7), "one two\nthree");
        assert_eq!(wrapped("one two three", 80), "one two three");
        assert_eq!(wrapped("extraordinary long", 5), "extraordinary\nlong");
        assert_eq!(wrapped("東京 大阪 x", 9), "東京 大阪\nx");
        assert_eq!(wrapped("\x1b[1;31m1st\x1b[0m 2nd", 7), "\x1b[1;31m1st\x1b[0m 2nd");
    }

    #[test]
    fn the_first_locale_variable_that_is_set_decides() {
        for (locale, utf8) in [
            (["", "", ""], false),
            (["", "", "en_US.UTF-8"], true),
            (["C", "", "en_US.UTF-8"], false),
            (["", "C.utf8", "C"], true),
            (["POSIX", "C.UTF-8", ""], false),
            (["de_DE.UTF-8@euro", "", ""], true),
            (["de_DE.ISO-8859-15@euro", "", ""], false),
        ] {
            assert_eq!(environment(locale, "xterm-256color", "").is_utf8(), utf8, "{locale:?}");
        }
    }

    #[test]
    fn a_serial_terminal_has_no_utf8_whatever_the_locale() {
        for (term, utf8) in [
            ("vt220", false),
            ("vt220-w", false),
            ("dumb", false),
            ("linux", true),
            ("xterm", true),
            ("tmux", true),
        ] {
            assert_eq!(environment(["C.UTF-8", "", ""], term, "").is_utf8(), utf8, "{term}");
        }
    }

    #[test]
    fn colours_that_themes_leave_alone_are_used_where_there_are_256() {
        for (term, colorterm, colours) in [
            ("xterm-256color", "", Colours::Ansi256),
            ("xterm", "truecolor", Colours::Ansi256),
            ("xterm-kitty", "", Colours::Ansi256),
            ("linux", "", Colours::Ansi),
            ("vt220", "", Colours::Ansi),
            ("dumb", "", Colours::Plain),
            ("", "", Colours::Plain),
        ] {
            assert_eq!(environment(["", "", ""], term, colorterm).colours(), colours, "{term}");
        }
    }
}
