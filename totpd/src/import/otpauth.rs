//! A list of `otpauth://totp/…` links, one a line, as apps and password managers export them. The
//! account in the label is the user.

use super::entry::{Entry, Factor, Refusal, Used};
use super::secret_text::{self, InvalidText, ReadSecret};
use totp_core::otpauth::InvalidUri;

/// Reads a file. Each line but comments (`#`) and empty ones becomes an entry.
pub fn parse(content: &[u8]) -> Vec<Entry> {
    let lines = content.split(|byte| *byte == b'\n').zip(1..);
    lines.filter_map(|(line, number)| entry(line, number)).collect()
}

fn entry(line: &[u8], number: usize) -> Option<Entry> {
    let refused = |refusal| Entry { line: number, user: None, factor: Err(refusal) };
    let Ok(text) = str::from_utf8(line) else { return Some(refused(Refusal::NotText)) };
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    if !text.contains("://") {
        return Some(refused(Refusal::OtherKind));
    }
    Some(match secret_text::parse(text) {
        Ok(ReadSecret { secret, params, account, .. }) => Entry {
            line: number,
            user: account,
            factor: Ok(Factor {
                secret,
                params: params.unwrap_or_default(),
                used: Used::Unknown,
                scratch_codes: 0,
                notes: Vec::new(),
            }),
        },
        Err(InvalidText::Link(InvalidUri::Hotp)) => refused(Refusal::Hotp),
        Err(invalid) => refused(Refusal::Link(invalid)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn each_link_is_a_user_with_their_parameters() {
        let file = format!(
            "# export\n\notpauth://totp/ACME:alice?secret={KEY}&issuer=ACME\r\n\
             otpauth://totp/bob?secret={KEY}&digits=8&period=60&algorithm=SHA512\n"
        );
        let entries = parse(file.as_bytes());
        let [alice, bob] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((alice.line, alice.user.as_deref()), (3, Some("alice")));
        assert_eq!((bob.line, bob.user.as_deref()), (4, Some("bob")));
        let params = bob.factor.as_ref().unwrap().params;
        assert_eq!(
            (params.algorithm.as_str(), params.digits.get(), params.period.seconds()),
            ("SHA512", 8, 60)
        );
    }

    #[test]
    fn what_cannot_be_held_is_refused_by_name() {
        let refusal = |line: &str| parse(line.as_bytes()).pop().unwrap().factor.unwrap_err();
        assert_eq!(refusal(&format!("otpauth://hotp/a?secret={KEY}&counter=1")), Refusal::Hotp);
        assert_eq!(refusal("otpauth-migration://offline?data=x"), Refusal::Link(InvalidText::OtherLink));
        assert_eq!(refusal(KEY), Refusal::OtherKind);
        assert!(matches!(refusal("otpauth://totp/a?secret=GEZD"), Refusal::Link(InvalidText::Link(_))));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic_or_loses_a_line(content in prop::collection::vec(any::<u8>(), 0..300)) {
            let lines = content.split(|byte| *byte == b'\n').filter(|line| {
                str::from_utf8(line).map_or(true, |text| !text.trim().is_empty() && !text.trim().starts_with('#'))
            });
            prop_assert_eq!(parse(&content).len(), lines.count());
        }
    }
}
