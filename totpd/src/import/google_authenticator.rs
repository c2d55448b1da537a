//! `~/.google_authenticator` of pam_google_authenticator
//! ([FILEFORMAT](https://github.com/google/google-authenticator-libpam/blob/master/FILEFORMAT)):
//! the secret in the first line, options that begin with `" `, and scratch codes of eight digits.

use super::entry::{Entry, Factor, Note, Refusal, Used};
use super::secret_text::{Form, InvalidText};
use totp_core::factor::USED_STEPS;
use totp_core::{Digits, Params, Period, Secret};
use zeroize::Zeroizing;

/// The time steps that both tools accept by default: the present one and its neighbours.
const USUAL_WINDOW: u64 = 3;

/// The most lines that are named one by one: a file of junk must not fill the report.
const MAX_NAMED_LINES: usize = 8;

/// Options whose loss changes nothing for the user: totpd has rate limits of its own, remembers
/// logins by policy, and learns no offset.
const LEFT_OUT: [&str; 3] = ["RATE_LIMIT", "RESETTING_TIME_SKEW", "TOTP_AUTH"];

/// What the lines after the secret say.
#[derive(Default)]
struct Options {
    totp: bool,
    hotp: bool,
    period: Option<Period>,
    used: Option<Vec<u64>>,
    scratch_codes: usize,
    clock_offset: Option<i64>,
    window: Option<u64>,
    unknown_lines: Vec<usize>,
}

/// Reads a file. It names no user.
pub fn parse(content: &[u8]) -> Entry {
    Entry { line: 1, user: None, factor: factor(content) }
}

fn factor(content: &[u8]) -> Result<Factor, Refusal> {
    let text = str::from_utf8(content).map_err(|_| Refusal::NotText)?;
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let key = lines.next().unwrap_or_default();
    let options = options(lines)?;
    if options.hotp {
        return Err(Refusal::Hotp);
    }
    if !options.totp {
        return Err(Refusal::NoKind);
    }
    Ok(Factor {
        secret: secret(key).map_err(Refusal::Secret)?,
        params: Params {
            digits: Digits::default(),
            period: options.period.unwrap_or_default(),
            ..Params::default()
        },
        notes: options.notes(),
        used: options.used.map_or(Used::Unknown, Used::Steps),
        scratch_codes: options.scratch_codes,
    })
}

impl Options {
    /// What is not taken over.
    fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        notes.extend(self.clock_offset.filter(|steps| *steps != 0).map(Note::ClockOffset));
        notes.extend(self.window.filter(|steps| *steps > USUAL_WINDOW).map(Note::Window));
        notes.extend(self.unknown_lines.iter().take(MAX_NAMED_LINES).copied().map(Note::UnknownLine));
        let more = self.unknown_lines.len().saturating_sub(MAX_NAMED_LINES);
        notes.extend((more > 0).then_some(Note::UnknownLines(more)));
        notes
    }
}

fn options<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Options, Refusal> {
    let mut read = Options::default();
    for (line, number) in lines.zip(2..) {
        let Some(option) = line.strip_prefix("\" ") else {
            match line {
                "" => {}
                _ if line.len() == 8 && line.bytes().all(|byte| byte.is_ascii_digit()) => {
                    read.scratch_codes += 1;
                }
                _ => read.unknown_lines.push(number),
            }
            continue;
        };
        let mut words = option.split([' ', '\t']).filter(|word| !word.is_empty());
        match words.next().unwrap_or_default() {
            "TOTP_AUTH" => read.totp = true,
            "HOTP_COUNTER" => read.hotp = true,
            "STEP_SIZE" => {
                let seconds = only(words).and_then(|word| word.parse::<u64>().ok());
                let seconds = seconds.ok_or(Refusal::Malformed("STEP_SIZE"))?;
                let period = Period::try_from(seconds).map_err(Refusal::Params)?;
                if read.period.replace(period).is_some_and(|first| first != period) {
                    return Err(Refusal::Malformed("STEP_SIZE"));
                }
            }
            "DISALLOW_REUSE" => {
                let steps = words.map(str::parse).collect::<Result<Vec<u64>, _>>();
                let steps = steps.map_err(|_| Refusal::Malformed("DISALLOW_REUSE"))?;
                let used = read.used.get_or_insert_default();
                used.extend(steps);
                // The latest one decides about a code, and a user may list any number.
                used.sort_unstable();
                used.drain(..used.len().saturating_sub(USED_STEPS));
            }
            "TIME_SKEW" => {
                let steps = only(words).and_then(|word| word.parse::<i64>().ok());
                let steps = steps.ok_or(Refusal::Malformed("TIME_SKEW"))?;
                read.clock_offset.get_or_insert(steps);
            }
            "WINDOW_SIZE" => {
                let steps = only(words).and_then(|word| word.parse::<u64>().ok());
                let steps = steps.ok_or(Refusal::Malformed("WINDOW_SIZE"))?;
                read.window.get_or_insert(steps);
            }
            // LAST0 to LAST9: the hosts of grace_period=.
            name if LEFT_OUT.contains(&name) || is_last(name) => {}
            _ => read.unknown_lines.push(number),
        }
    }
    Ok(read)
}

/// The only word.
fn only<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = words.next()?;
    words.next().is_none().then_some(word)
}

fn is_last(name: &str) -> bool {
    name.strip_prefix("LAST").is_some_and(|digit| digit.len() == 1 && digit.as_bytes()[0].is_ascii_digit())
}

/// Reads base32 as `base32_decode` of the module does: blanks and dashes are skipped, `0`, `1` and
/// `8` stand for `O`, `L` and `B`, and bits that fill no byte are dropped.
fn secret(text: &str) -> Result<Secret, InvalidText> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut buffer, mut bits) = (Zeroizing::new(0_u32), 0_u32);
    for (at, character) in text.chars().enumerate() {
        let value = match character.to_ascii_uppercase() {
            ' ' | '\t' | '-' => continue,
            '0' => 14,
            '1' => 11,
            '8' => 1,
            letter @ 'A'..='Z' => u32::from(letter) - u32::from('A'),
            digit @ '2'..='7' => u32::from(digit) - u32::from('2') + 26,
            _ => return Err(InvalidText::Foreign(Form::Base32, at + 1)),
        };
        *buffer = (*buffer << 5 | value) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            let [.., byte] = (*buffer >> bits).to_be_bytes();
            bytes.push(byte);
        }
    }
    if bytes.is_empty() {
        return Err(InvalidText::Empty);
    }
    Secret::from_bytes(&bytes).map_err(|_| InvalidText::Size(Form::Base32, bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY";

    fn read(options: &str) -> Result<Factor, Refusal> {
        parse(format!("{KEY}\n{options}").as_bytes()).factor
    }

    #[test]
    fn a_file_of_the_real_program_is_read() {
        let factor = read(
            "\" RATE_LIMIT 3 30 1700000000 1700000010\n\" WINDOW_SIZE 17\n\" DISALLOW_REUSE 56666666 56666667\n\
             \" TOTP_AUTH\n77201402\n12345678\n\" LAST0 192.0.2.7 1700000000\n",
        );
        let factor = factor.unwrap();
        assert_eq!(factor.secret.as_bytes(), b"1234567890123456");
        assert_eq!((factor.params, factor.scratch_codes), (Params::default(), 2));
        assert_eq!(factor.used, Used::Steps(vec![56_666_666, 56_666_667]));
        assert_eq!(factor.notes, [Note::Window(17)]);
    }

    #[test]
    fn the_period_is_kept_and_one_that_totpd_lacks_is_refused() {
        assert_eq!(read("\" TOTP_AUTH\n\" STEP_SIZE 60\n").unwrap().params.period.seconds(), 60);
        assert!(matches!(read("\" TOTP_AUTH\n\" STEP_SIZE 5\n"), Err(Refusal::Params(_))));
    }

    #[test]
    fn what_cannot_be_held_is_refused_by_name() {
        assert_eq!(read("\" HOTP_COUNTER 7\n12345678\n"), Err(Refusal::Hotp));
        assert_eq!(read("12345678\n"), Err(Refusal::NoKind));
        assert_eq!(read("\" TOTP_AUTH\n\" DISALLOW_REUSE x\n"), Err(Refusal::Malformed("DISALLOW_REUSE")));
        assert_eq!(read("\" TOTP_AUTH\n\" DISALLOW_REUSE -1\n"), Err(Refusal::Malformed("DISALLOW_REUSE")));
        assert_eq!(parse(b"\xff").factor, Err(Refusal::NotText));
        assert_eq!(parse(b"\n\" TOTP_AUTH\n").factor, Err(Refusal::Secret(InvalidText::Empty)));
        let short = parse(b"GEZDGNBV\n\" TOTP_AUTH\n").factor;
        assert_eq!(short, Err(Refusal::Secret(InvalidText::Size(Form::Base32, 5))));
        let foreign = parse(b"GEZD!NBV\n\" TOTP_AUTH\n").factor;
        assert_eq!(foreign, Err(Refusal::Secret(InvalidText::Foreign(Form::Base32, 5))));
    }

    #[test]
    fn what_is_left_out_is_noted_by_its_line() {
        let notes = read("\" TOTP_AUTH\n\" TIME_SKEW -4\n\" FUTURE 1\njunk\n").unwrap().notes;
        assert_eq!(notes, [Note::ClockOffset(-4), Note::UnknownLine(4), Note::UnknownLine(5)]);
    }

    #[test]
    fn a_file_of_junk_has_a_short_report() {
        let junk = "\" TIME_SKEW 1\n\" WINDOW_SIZE 9\njunk\n".repeat(1000);
        let notes = read(&format!("\" TOTP_AUTH\n{junk}")).unwrap().notes;
        assert_eq!((notes.len(), notes.last()), (11, Some(&Note::UnknownLines(992))));
        let twice = read("\" TOTP_AUTH\n\" STEP_SIZE 30\n\" STEP_SIZE 60\n");
        assert_eq!(twice, Err(Refusal::Malformed("STEP_SIZE")));
    }

    #[test]
    fn the_secret_is_read_as_the_module_reads_it() {
        let bytes = |text| secret(text).unwrap().as_bytes().to_vec();
        assert_eq!(bytes("gezd gnbv-gy3tqojq"), b"1234567890");
        assert_eq!(bytes("0118011801180118"), bytes("OLLBOLLBOLLBOLLB"));
        assert_eq!(bytes("GEZDGNBVGY3TQOJQ7"), b"1234567890", "bits that fill no byte");
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(content in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&content).factor.map_err(|refusal| refusal.to_string());
        }

        #[test]
        fn no_line_is_lost_silently(lines in prop::collection::vec("(\" )?[A-Z0-9_]{0,14}( [0-9]{1,9}){0,2}", 0..9)) {
            if let Ok(factor) = read(&format!("\" TOTP_AUTH\n{}\n", lines.join("\n"))) {
                let known = ["RATE_LIMIT", "RESETTING_TIME_SKEW", "TOTP_AUTH", "LAST", "STEP_SIZE", "DISALLOW_REUSE",
                    "TIME_SKEW", "WINDOW_SIZE"];
                let lost = |line: &&String| {
                    !line.is_empty() && !known.iter().any(|name| line.starts_with(&format!("\" {name}")))
                };
                let accounted = factor.scratch_codes + factor.notes.len();
                prop_assert!(accounted >= lines.iter().filter(lost).count());
            }
        }
    }
}
