//! A table with commas (RFC 4180), as vendors of hardware tokens deliver it. The first line names
//! the columns: `user` and `secret` (base32, hex or an otpauth link), and where they differ from
//! `SHA1`, `6` and `30`, `algorithm`, `digits` and `period`.

use super::entry::{Entry, Factor, Refusal, Used};
use super::secret_text::{self, InvalidText};
use totp_core::otpauth::InvalidUri;
use totp_core::{Digits, Params, Period};

/// The columns that are read; a table with another one is refused, so that nothing is lost.
const COLUMNS: [&str; 5] = ["user", "secret", "algorithm", "digits", "period"];

/// Reads a file. Each line below the first but empty ones becomes an entry; a quoted cell has no
/// line break.
pub fn parse(content: &[u8]) -> Vec<Entry> {
    let mut lines = content.split(|byte| *byte == b'\n').zip(1..);
    let first = lines.next().map_or(&b""[..], |(line, _)| line);
    let refused = |line, refusal| Entry { line, user: None, factor: Err(refusal) };
    let columns = match columns(first) {
        Ok(columns) => columns,
        Err(refusal) => return vec![refused(1, refusal)],
    };
    let mut entries = Vec::new();
    for (line, number) in lines {
        match str::from_utf8(line).map(str::trim) {
            Err(_) => entries.push(refused(number, Refusal::NotText)),
            Ok("") => {}
            Ok(text) => entries.push(entry(text, number, &columns)),
        }
    }
    entries
}

/// The columns of the first line, in lower case.
fn columns(line: &[u8]) -> Result<Vec<String>, Refusal> {
    // A byte order mark is what spreadsheets put in front.
    let text = str::from_utf8(line).map_err(|_| Refusal::NotText)?.trim_start_matches('\u{feff}').trim();
    let names = cells(text).ok_or(Refusal::Malformed("first line"))?;
    let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let known = names.iter().all(|name| COLUMNS.contains(&name.as_str()));
    let twice = COLUMNS.iter().any(|column| names.iter().filter(|name| name == column).count() > 1);
    if !known || twice {
        return Err(Refusal::Malformed(
            "first line, which names the columns user, secret, algorithm, digits and period,",
        ));
    }
    for needed in ["user", "secret"] {
        if !names.iter().any(|name| name == needed) {
            return Err(Refusal::Missing(if needed == "user" { "column user" } else { "column secret" }));
        }
    }
    Ok(names)
}

fn entry(text: &str, line: usize, columns: &[String]) -> Entry {
    let Some(cells) = cells(text).filter(|cells| cells.len() == columns.len()) else {
        return Entry {
            line,
            user: None,
            factor: Err(Refusal::Malformed("number of cells, or a quoted cell,")),
        };
    };
    let cell = |name: &str| {
        let place = columns.iter().position(|column| column == name)?;
        cells.get(place).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
    };
    Entry { line, user: cell("user").map(str::to_owned), factor: factor(cell) }
}

fn factor<'a>(cell: impl Fn(&str) -> Option<&'a str>) -> Result<Factor, Refusal> {
    let read = secret_text::parse(cell("secret").ok_or(Refusal::Missing("secret"))?);
    let read = read.map_err(|invalid| match invalid {
        InvalidText::Link(InvalidUri::Hotp) => Refusal::Hotp,
        invalid => Refusal::Secret(invalid),
    })?;
    let mut params = read.params.unwrap_or_default();
    let link = read.params;
    if let Some(name) = cell("algorithm") {
        params.algorithm = name.parse().map_err(Refusal::Params)?;
    }
    if let Some(digits) = cell("digits") {
        let digits: u8 = digits.parse().map_err(|_| Refusal::Malformed("number of digits"))?;
        params.digits = Digits::try_from(digits).map_err(Refusal::Params)?;
    }
    if let Some(seconds) = cell("period") {
        let seconds: u64 = seconds.parse().map_err(|_| Refusal::Malformed("period"))?;
        params.period = Period::try_from(seconds).map_err(Refusal::Params)?;
    }
    if link.is_some_and(|link: Params| link != params) {
        return Err(Refusal::Malformed("link, which contradicts the other cells,"));
    }
    Ok(Factor { secret: read.secret, params, used: Used::Unknown, scratch_codes: 0, notes: Vec::new() })
}

/// The cells of a line. `None` if a quote is not closed, or stands inside an unquoted cell.
fn cells(text: &str) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        let (cell, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_cell(quoted)?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let cell = &rest[..end];
            if cell.contains('"') {
                return None;
            }
            (cell.to_owned(), &rest[end..])
        };
        cells.push(cell);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(cells),
            None => return None,
        }
    }
}

/// A cell behind its opening quote, in which two quotes stand for one, and what follows it.
fn quoted_cell(text: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        cell.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                cell.push('"');
                rest = after;
            }
            None => return Some((cell, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "3132333435363738393031323334353637383930";

    #[test]
    fn each_line_is_a_user_with_their_parameters() {
        let file = format!(
            "\u{feff}Secret,\"user\",digits,period\r\n{HEX},alice,,\r\n\n\
             \"GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ\",\"bob\",8,60\n"
        );
        let entries = parse(file.as_bytes());
        let [alice, bob] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((alice.line, alice.user.as_deref()), (2, Some("alice")));
        assert_eq!(alice.factor.as_ref().unwrap().params, Params::default());
        assert_eq!((bob.line, bob.user.as_deref()), (4, Some("bob")));
        let factor = bob.factor.as_ref().unwrap();
        assert_eq!((factor.params.digits.get(), factor.params.period.seconds()), (8, 60));
        assert_eq!(factor.secret.as_bytes(), b"12345678901234567890");
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        let refusal = |text: &str| parse(text.as_bytes()).pop().unwrap().factor.unwrap_err();
        assert_eq!(refusal("secret\nx"), Refusal::Missing("column user"));
        assert!(matches!(refusal("user,secret,counter\n"), Refusal::Malformed(_)));
        assert!(matches!(refusal("user,secret,user\n"), Refusal::Malformed(_)));
        assert_eq!(
            refusal(""),
            Refusal::Malformed(
                "first line, which names the columns user, secret, algorithm, digits and period,"
            )
        );
        let line = |line: &str| refusal(&format!("user,secret,digits\n{line}\n"));
        assert!(matches!(line("alice"), Refusal::Malformed(_)));
        assert!(matches!(line("\"alice,x,6"), Refusal::Malformed(_)));
        assert_eq!(line("alice,,6"), Refusal::Missing("secret"));
        assert_eq!(line(&format!("alice,{HEX},six")), Refusal::Malformed("number of digits"));
        assert!(matches!(line(&format!("alice,{HEX},10")), Refusal::Params(_)));
        assert_eq!(line("a,otpauth://hotp/a?secret=GEZDGNBVGY3TQOJQ&counter=1,"), Refusal::Hotp);
        let link = "a,otpauth://totp/a?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=8,6";
        assert!(matches!(line(link), Refusal::Malformed(_)));
        assert_eq!(parse(b"user,secret\n\xff").pop().unwrap().factor, Err(Refusal::NotText));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(content in prop::collection::vec(any::<u8>(), 0..300)) {
            for entry in parse(&content).into_iter().chain(parse(&[b"user,secret\n", &content[..]].concat())) {
                let _ = entry.factor.map_err(|refusal| refusal.to_string());
            }
        }

        #[test]
        fn every_cell_is_read_back(written in prop::collection::vec("[ -~]{0,12}", 1..6)) {
            let line = written.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")));
            prop_assert_eq!(cells(&line.collect::<Vec<_>>().join(",")), Some(written));
        }
    }
}
