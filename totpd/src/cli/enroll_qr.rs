//! The QR code of `totpd enroll`: drawn where the terminal has room for it and shows its
//! characters, or written to a file.

use super::args::QrForm;
use crate::cli::output::{CommandError, ExitStatus, Output, failed};
use crate::cli::terminal::{Terminal, wrapped};
use crate::cli::verify;
use crate::qr::{self, Colours, Drawing};
use qrcode::types::QrError;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Rows below a code that must be on the screen with it: the question for the first code.
const QUESTION: usize = 1;

/// What becomes of a code in the terminal.
#[derive(Debug)]
enum Shown {
    /// It is drawn.
    Drawn(Drawing),
    /// It is not, and this says why and what to do.
    LeftOut(String),
}

/// The code of `uri` for the terminal; `None` if it went to a file, or none is wanted. Where it
/// does not fit, the user is told so, and can make the window larger.
///
/// # Errors
/// When a file cannot be written, or the URI fits no QR code.
pub(super) fn for_terminal(
    out: Output,
    uri: &str,
    form: Option<&QrForm>,
    terminal: Option<Terminal>,
) -> Result<Option<Drawing>, CommandError> {
    let no_code = |error: QrError| failed(ExitStatus::Refused, format!("no QR code: {error}"));
    match form {
        Some(QrForm::None) => return Ok(None),
        Some(QrForm::Png(file)) => {
            return write_secret(out, file, &qr::png(uri).map_err(no_code)?).map(|()| None);
        }
        Some(QrForm::Svg(file)) => {
            return write_secret(out, file, qr::svg(uri).map_err(no_code)?.as_bytes()).map(|()| None);
        }
        Some(QrForm::Utf8 | QrForm::Ascii) | None => {}
    }
    let Some(mut terminal) = terminal else {
        let drawing = match form {
            Some(QrForm::Ascii) => qr::ascii(uri, Colours::Plain),
            _ => qr::utf8(uri, Colours::Plain),
        };
        return drawing.map(Some).map_err(no_code);
    };
    loop {
        match choose(uri, form, terminal).map_err(no_code)? {
            Shown::Drawn(drawing) => return Ok(Some(drawing)),
            Shown::LeftOut(why) => out.line(wrapped(&why, terminal.columns))?,
        }
        if !out.interactive() {
            return Ok(None);
        }
        let answer = verify::ask("Enter measures the window again, n goes on without a QR code: ")?;
        if !answer.reveal().is_empty() {
            return Ok(None);
        }
        terminal = terminal.measured_again();
    }
}

/// Draws the code in the form that is asked for, or else in the one that the terminal shows.
fn choose(uri: &str, form: Option<&QrForm>, terminal: Terminal) -> Result<Shown, QrError> {
    let fits =
        |drawing: &Drawing| drawing.columns <= terminal.columns && drawing.rows + QUESTION <= terminal.rows;
    let ascii_asked = form == Some(&QrForm::Ascii);
    // Who asks for UTF-8 knows better than the locale.
    let utf8 = form == Some(&QrForm::Utf8) || (terminal.utf8 && !ascii_asked);
    let drawing = if utf8 { qr::utf8(uri, terminal.colours)? } else { qr::ascii(uri, terminal.colours)? };
    if fits(&drawing) {
        return Ok(Shown::Drawn(drawing));
    }
    let (columns, rows) = (drawing.columns, drawing.rows + QUESTION);
    let window = format!("this window has {} by {}", terminal.columns, terminal.rows);
    let instead = "The key and the link work too, and so does --qr png:FILE";
    Ok(Shown::LeftOut(if utf8 {
        format!(
            "The QR code needs {columns} columns and {rows} rows, and {window}: make it larger. {instead}."
        )
    } else if ascii_asked {
        format!(
            "The QR code in ASCII needs {columns} columns and {rows} rows, and {window}: make it larger, or use --qr \
             utf8, which takes half of that. {instead}."
        )
    } else {
        format!(
            "This terminal does not show UTF-8 (LC_ALL, LC_CTYPE, LANG and TERM say so), and the QR code in ASCII needs \
             {columns} columns and {rows} rows, and {window}: make it larger, or use --qr utf8 if it does show UTF-8. \
             {instead}."
        )
    }))
}

/// Writes a QR code, which holds the secret, to a new file of mode 0600. Never follows a link or
/// replaces a file.
fn write_secret(out: Output, path: &Path, content: &[u8]) -> Result<(), CommandError> {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content));
    written.map_err(|error| {
        failed(
            ExitStatus::Refused,
            format!(
                "{}: {error}. The user is enrolled, but saw no QR code: run totpd enroll again",
                path.display()
            ),
        )
    })?;
    out.line(format!("The QR code is in {}. It holds the secret: delete it after use.\n", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "otpauth://totp/web01.prod.example.com:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
                       &issuer=web01.prod.example.com";

    fn terminal(columns: usize, rows: usize, utf8: bool) -> Terminal {
        Terminal { columns, rows, utf8, colours: Colours::Ansi256 }
    }

    #[track_caller]
    fn drawn(form: Option<&QrForm>, terminal: Terminal) -> (usize, usize) {
        match choose(URI, form, terminal).unwrap() {
            Shown::Drawn(drawing) => (drawing.columns, drawing.rows),
            Shown::LeftOut(why) => panic!("{why}"),
        }
    }

    #[track_caller]
    fn left_out(form: Option<&QrForm>, terminal: Terminal) -> String {
        match choose(URI, form, terminal).unwrap() {
            Shown::Drawn(drawing) => panic!("{drawing:?}"),
            Shown::LeftOut(why) => why,
        }
    }

    #[test]
    fn the_code_is_drawn_where_it_fits_with_the_question() {
        assert_eq!(drawn(None, terminal(80, 24, true)), (41, 21));
        assert_eq!(drawn(None, terminal(41, 22, true)), (41, 21));
        for (columns, rows) in [(40, 24), (80, 21)] {
            let why = left_out(None, terminal(columns, rows, true));
            assert!(why.contains("41 columns and 22 rows") && why.contains("png:FILE"), "{why}");
        }
    }

    #[test]
    fn without_utf8_the_code_is_ascii_or_left_out() {
        assert_eq!(drawn(None, terminal(120, 50, false)), (82, 41));
        let why = left_out(None, terminal(80, 24, false));
        assert!(why.contains("does not show UTF-8") && why.contains("--qr utf8"), "{why}");
        // Who asks for blocks gets them.
        assert_eq!(drawn(Some(&QrForm::Utf8), terminal(80, 24, false)), (41, 21));
    }

    #[test]
    fn ascii_is_left_out_where_it_is_too_wide() {
        let why = left_out(Some(&QrForm::Ascii), terminal(80, 24, true));
        assert!(why.contains("82 columns and 42 rows") && why.contains("80 by 24"), "{why}");
        assert_eq!(drawn(Some(&QrForm::Ascii), terminal(90, 50, true)), (82, 41));
    }
}
