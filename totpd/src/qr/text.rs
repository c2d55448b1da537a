//! QR codes in a terminal: half blocks, or two ASCII characters a module.

use super::encode::smallest;
use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode};

/// Light modules around a code in a terminal. Half of what ISO/IEC 18004 asks for: readers of
/// phones do with it, and a code of 37 modules then fits 24 rows together with a question.
const QUIET: usize = 2;

/// How modules get their colours in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Nothing but characters, in the colours of the terminal. Light modules are the lit
    /// ones: right where text is light on dark.
    Plain,
    /// Black on white by the escape sequences of ECMA-48 and of aixterm (bright white).
    Ansi,
    /// Black on white by entries of the 256 colours that themes leave alone: some light themes
    /// exchange black and white among the first sixteen.
    Ansi256,
}

/// A code as lines of text.
#[derive(Debug)]
pub struct Drawing {
    /// The lines, without an end of line after the last one.
    pub text: String,
    /// Columns of a terminal that it takes.
    pub columns: usize,
    /// Rows of a terminal that it takes.
    pub rows: usize,
}

/// A code with its quiet zone.
struct Modules {
    code: Vec<Color>,
    width: usize,
}

impl Modules {
    /// Error correction L keeps the code small: a screen has no dirt on it.
    fn of(text: &str) -> Result<Self, QrError> {
        let code: QrCode = smallest(text, EcLevel::L)?;
        Ok(Self { width: code.width(), code: code.into_colors() })
    }

    /// Modules of a side, with the quiet zone.
    const fn side(&self) -> usize {
        self.width + 2 * QUIET
    }

    /// Whether a module is dark. Those of the quiet zone and beyond are light.
    fn is_dark(&self, column: usize, row: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < self.width);
        match (inside(column), inside(row)) {
            (Some(x), Some(y)) => self.code.get(y * self.width + x) == Some(&Color::Dark),
            _ => false,
        }
    }
}

/// Half blocks: a character is one module wide and two high.
///
/// # Errors
/// When the text is too long for any QR code.
pub fn utf8(text: &str, colours: Colours) -> Result<Drawing, QrError> {
    let modules = Modules::of(text)?;
    let (columns, rows) = (modules.side(), modules.side().div_ceil(2));
    let start = match colours {
        Colours::Plain => "",
        Colours::Ansi => "\x1b[30;47;107m",
        Colours::Ansi256 => "\x1b[38;5;16;48;5;231m",
    };
    let end = if colours == Colours::Plain { "" } else { "\x1b[0m" };
    let lines = (0..rows).map(|row| {
        let cells = (0..columns).map(|column| {
            // What is drawn is what is lit when the text is plain, and what is dark otherwise.
            let drawn = |row| modules.is_dark(column, row) != (colours == Colours::Plain);
            // Below an odd last row is more of the quiet zone.
            match (drawn(2 * row), drawn(2 * row + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            }
        });
        format!("{start}{}{end}", cells.collect::<String>())
    });
    Ok(Drawing { text: lines.collect::<Vec<_>>().join("\n"), columns, rows })
}

/// Two characters a module, for terminals without UTF-8: coloured blanks, or plain `##` for light
/// modules.
///
/// # Errors
/// As [`utf8`].
pub fn ascii(text: &str, colours: Colours) -> Result<Drawing, QrError> {
    let modules = Modules::of(text)?;
    let rows = modules.side();
    let (dark, light, end) = match colours {
        Colours::Plain => ("  ", "##", ""),
        // Reversed, so that a terminal without colours draws light modules as well.
        Colours::Ansi => ("\x1b[0;30;40m  ", "\x1b[0;7;37;97;40m  ", "\x1b[0m"),
        Colours::Ansi256 => ("\x1b[48;5;16m  ", "\x1b[48;5;231m  ", "\x1b[0m"),
    };
    let lines = (0..rows).map(|row| {
        let cells = (0..rows).map(|column| if modules.is_dark(column, row) { dark } else { light });
        format!("{}{end}", cells.collect::<String>())
    });
    Ok(Drawing { text: lines.collect::<Vec<_>>().join("\n"), columns: 2 * rows, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "otpauth://totp/web01.prod.example.com:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
                       &issuer=web01.prod.example.com";

    #[test]
    fn the_code_of_a_long_host_name_has_21_rows() {
        let drawing = utf8(URI, Colours::Ansi).unwrap();
        assert_eq!((drawing.columns, drawing.rows), (41, 21));
        let drawing = ascii(URI, Colours::Ansi).unwrap();
        assert_eq!((drawing.columns, drawing.rows), (82, 41));
    }

    #[test]
    fn a_drawing_has_the_size_that_it_says() {
        for colours in [Colours::Plain, Colours::Ansi, Colours::Ansi256] {
            for drawing in [utf8(URI, colours).unwrap(), ascii(URI, colours).unwrap()] {
                let lines: Vec<&str> = drawing.text.lines().collect();
                assert_eq!(lines.len(), drawing.rows);
                for line in lines {
                    let bare: String = line
                        .split('\x1b')
                        .map(|part| part.split_once('m').map_or(part, |(_, rest)| rest))
                        .collect();
                    assert_eq!(bare.chars().count(), drawing.columns, "{line:?}");
                    assert_eq!(line.contains('\x1b'), colours != Colours::Plain);
                }
            }
        }
    }

    #[test]
    fn every_line_of_a_coloured_code_ends_with_a_reset() {
        for drawing in [utf8(URI, Colours::Ansi256).unwrap(), ascii(URI, Colours::Ansi).unwrap()] {
            assert!(drawing.text.lines().all(|line| line.ends_with("\x1b[0m")));
        }
    }
}
