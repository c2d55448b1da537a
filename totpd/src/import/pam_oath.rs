//! The usersfile of pam_oath
//! ([`UsersFile`](https://github.com/archiecobbs/mod-authn-otp/wiki/UsersFile)): a line for each
//! user, `HOTP/T30/6 user PIN secret-in-hex [offset [last-code [time]]]`, with `#` for comments.

use super::entry::{Entry, Factor, Refusal, Used};
use super::secret_text::{Form, InvalidText};
use data_encoding::{DecodeKind, HEXLOWER_PERMISSIVE};
use totp_core::{Digits, Params, Period, Secret};
use zeroize::Zeroizing;

/// Reads a file. Each line but comments and empty ones becomes an entry.
pub fn parse(content: &[u8]) -> Vec<Entry> {
    let lines = content.split(|byte| *byte == b'\n').zip(1..);
    lines.filter_map(|(line, number)| entry(line, number)).collect()
}

fn entry(line: &[u8], number: usize) -> Option<Entry> {
    let Ok(text) = str::from_utf8(line) else {
        return Some(Entry { line: number, user: None, factor: Err(Refusal::NotText) });
    };
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let user = fields.get(1).map(|name| (*name).to_owned());
    Some(Entry { line: number, user, factor: factor(&fields) })
}

fn factor(fields: &[&str]) -> Result<Factor, Refusal> {
    let field = |at: usize, name| fields.get(at).copied().ok_or(Refusal::Missing(name));
    let params = params(field(0, "type")?)?;
    field(1, "user")?;
    // "+" says that another module has asked for the password.
    if !matches!(field(2, "PIN (write -)")?, "-" | "+") {
        return Err(Refusal::Pin);
    }
    let secret = secret(field(3, "secret")?).map_err(Refusal::Secret)?;
    if fields.get(4).is_some_and(|offset| offset.parse::<u64>().is_err()) {
        return Err(Refusal::Malformed("counter"));
    }
    let used = match fields.get(5) {
        None => Used::Unknown,
        Some(code) if (6..=8).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit()) => {
            Used::LastCode(code.parse().map_err(|_| Refusal::Malformed("last code"))?)
        }
        Some(_) => return Err(Refusal::Malformed("last code")),
    };
    if fields.len() > 7 {
        return Err(Refusal::Malformed("line, which has more than seven fields,"));
    }
    Ok(Factor { secret, params, used, scratch_codes: 0, notes: Vec::new() })
}

/// Reads `HOTP/T30/6`: time-based codes with a period, and 6 digits by default. `HOTP` and
/// `HOTP/E/6` are counter-based.
fn params(kind: &str) -> Result<Params, Refusal> {
    let mut parts = kind.split('/');
    let other = || Refusal::OtherKind;
    if parts.next() != Some("HOTP") {
        return Err(other());
    }
    let period = match parts.next() {
        None | Some("E") => return Err(Refusal::Hotp),
        Some(period) => period.strip_prefix('T').ok_or_else(other)?,
    };
    let digits = parts.next().map_or(Ok(6), str::parse::<u8>).map_err(|_| other())?;
    if parts.next().is_some() {
        return Err(other());
    }
    Ok(Params {
        period: Period::try_from(period.parse::<u64>().map_err(|_| other())?).map_err(Refusal::Params)?,
        digits: Digits::try_from(digits).map_err(Refusal::Params)?,
        ..Params::default()
    })
}

fn secret(text: &str) -> Result<Secret, InvalidText> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map(Zeroizing::new);
    let bytes = bytes.map_err(|error| match error.kind {
        DecodeKind::Length => InvalidText::Length(Form::Hex, text.len()),
        _ => InvalidText::Foreign(Form::Hex, error.position + 1),
    })?;
    Secret::from_bytes(&bytes).map_err(|_| InvalidText::Size(Form::Hex, bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use totp_core::Time;
    use totp_core::otp::totp_at;

    const KEY: &str = "3132333435363738393031323334353637383930";

    fn line(line: &str) -> Result<Factor, Refusal> {
        parse(line.as_bytes()).pop().unwrap().factor
    }

    #[test]
    fn lines_of_users_are_read_and_comments_are_not() {
        let file = format!(
            "# users\n\nHOTP/T30\talice\t-\t{KEY}\n  HOTP/T60/8 bob + {KEY} 0 01234567 2026-01-01T00:00:00L\n"
        );
        let entries = parse(file.as_bytes());
        let [alice, bob] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((alice.line, alice.user.as_deref()), (3, Some("alice")));
        let factor = alice.factor.as_ref().unwrap();
        assert_eq!(factor.secret.as_bytes(), b"12345678901234567890");
        assert_eq!((factor.params, &factor.used), (Params::default(), &Used::Unknown));
        assert_eq!((bob.line, bob.user.as_deref()), (4, Some("bob")));
        let factor = bob.factor.as_ref().unwrap();
        assert_eq!((factor.params.digits.get(), factor.params.period.seconds()), (8, 60));
        assert_eq!(factor.used, Used::LastCode(1_234_567));
    }

    #[test]
    fn what_cannot_be_held_is_refused_by_name() {
        for kind in ["HOTP", "HOTP/E", "HOTP/E/6"] {
            assert_eq!(line(&format!("{kind} alice - {KEY} 5")), Err(Refusal::Hotp), "{kind}");
        }
        for kind in ["MOTP", "HOTP/X30", "HOTP/T30/six", "HOTP/T30/6/x"] {
            assert_eq!(line(&format!("{kind} alice - {KEY}")), Err(Refusal::OtherKind), "{kind}");
        }
        assert!(matches!(line(&format!("HOTP/T1 alice - {KEY}")), Err(Refusal::Params(_))));
        assert!(matches!(line(&format!("HOTP/T30/10 alice - {KEY}")), Err(Refusal::Params(_))));
        assert_eq!(line(&format!("HOTP/T30 alice 1234 {KEY}")), Err(Refusal::Pin));
        assert_eq!(line("HOTP/T30 alice -"), Err(Refusal::Missing("secret")));
        assert_eq!(line(&format!("HOTP/T30 alice - {KEY} x")), Err(Refusal::Malformed("counter")));
        assert_eq!(line(&format!("HOTP/T30 alice - {KEY} 0 12345x")), Err(Refusal::Malformed("last code")));
        let odd = Refusal::Secret(InvalidText::Length(Form::Hex, 39));
        assert_eq!(line(&format!("HOTP/T30 alice - {}", &KEY[1..])), Err(odd));
        let foreign = Refusal::Secret(InvalidText::Foreign(Form::Hex, 1));
        assert_eq!(line("HOTP/T30 alice - zz"), Err(foreign));
        assert_eq!(parse(b"HOTP/T30 alice - \xff").pop().unwrap().factor, Err(Refusal::NotText));
    }

    #[test]
    fn the_step_of_the_last_code_is_found_also_ahead_of_the_clock() {
        let now = Time::from_unix(1_800_000_000);
        for offset in [0, 30, 20 * 30] {
            let secret = Secret::from_bytes(b"12345678901234567890").unwrap();
            let code = totp_at(&secret, Params::default(), now.plus(offset));
            let factor = line(&format!("HOTP/T30 alice - {KEY} 0 {code} 2026-01-01T00:00:00L")).unwrap();
            assert_eq!(factor.used_steps(now), [(now.unix() + offset) / 30], "{offset}");
        }
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(content in prop::collection::vec(any::<u8>(), 0..300)) {
            for entry in parse(&content) {
                let _ = entry.factor.map_err(|refusal| refusal.to_string());
            }
        }

        #[test]
        fn every_line_but_comments_becomes_an_entry(lines in prop::collection::vec("[ \t#A-Z0-9a-z/-]{0,40}", 0..9)) {
            let counted = lines.iter().filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
            prop_assert_eq!(parse(lines.join("\n").as_bytes()).len(), counted.count());
        }
    }
}
