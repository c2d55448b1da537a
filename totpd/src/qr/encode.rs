//! The smallest QR code of an otpauth URI.

use qrcode::bits::Bits;
use qrcode::optimize::Segment;
use qrcode::types::{Mode, QrError};
use qrcode::{EcLevel, QrCode, Version};

/// The largest version: 177 modules of a side (ISO/IEC 18004).
const MAX_VERSION: i16 = 40;

/// Returns the smallest code of this text with at least this error correction, and with the
/// highest error correction that a code of that size has room for.
///
/// # Errors
/// When the text is too long for any QR code.
pub(super) fn smallest(text: &str, least: EcLevel) -> Result<QrCode, QrError> {
    let levels = [EcLevel::H, EcLevel::Q, EcLevel::M, EcLevel::L];
    let fits = |version| encoded(text, Version::Normal(version), least).is_some();
    let version = (1..=MAX_VERSION).find(|version| fits(*version)).ok_or(QrError::DataTooLong)?;
    let enough = levels.into_iter().filter(|level| *level >= least);
    let mut codes = enough.filter_map(|level| Some((encoded(text, Version::Normal(version), level)?, level)));
    let (bits, level) = codes.next().ok_or(QrError::DataTooLong)?;
    QrCode::with_bits(bits, level)
}

/// Encodes the text, if it fits: with the secret as one segment, or as the library splits it, which
/// starts a segment for each run of digits in the secret and can be longer.
fn encoded(text: &str, version: Version, level: EcLevel) -> Option<Bits> {
    let mut bits = Bits::new(version);
    let pushed = bits.push_segments(text.as_bytes(), segments(text.as_bytes()).into_iter());
    if pushed.and_then(|()| bits.push_terminator(level)).is_ok() {
        return Some(bits);
    }
    let mut bits = Bits::new(version);
    bits.push_optimal_data(text.as_bytes()).and_then(|()| bits.push_terminator(level)).ok()?;
    Some(bits)
}

/// The longest run of the alphanumeric mode, whose characters take 5.5 bits, and what is around it.
fn segments(text: &[u8]) -> Vec<Segment> {
    let (mut longest, mut start) = (0..0, 0);
    for end in 0..=text.len() {
        if text.get(end).copied().is_some_and(is_alphanumeric) {
            continue;
        }
        if end - start > longest.len() {
            longest = start..end;
        }
        start = end + 1;
    }
    let parts = [
        Segment { mode: Mode::Byte, begin: 0, end: longest.start },
        Segment { mode: Mode::Alphanumeric, begin: longest.start, end: longest.end },
        Segment { mode: Mode::Byte, begin: longest.end, end: text.len() },
    ];
    parts.into_iter().filter(|part| part.begin < part.end).collect()
}

/// Whether the alphanumeric mode has the character (ISO/IEC 18004, table 5).
const fn is_alphanumeric(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b' ' | b'$' | b'%' | b'*' | b'+' | b'-' | b'.' | b'/' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_room_of_a_code_goes_to_error_correction() {
        for length in [10, 30, 60, 90, 120, 200] {
            let text = "a".repeat(length);
            let least = QrCode::with_error_correction_level(&text, EcLevel::L).unwrap();
            let best = smallest(&text, EcLevel::L).unwrap();
            assert_eq!(least.version(), best.version(), "{length}");
            let next = match best.error_correction_level() {
                EcLevel::L => EcLevel::M,
                EcLevel::M => EcLevel::Q,
                EcLevel::Q | EcLevel::H => EcLevel::H,
            };
            let fits = QrCode::with_version(&text, best.version(), next).is_ok();
            assert!(best.error_correction_level() == EcLevel::H || !fits, "{length}");
        }
    }

    #[test]
    fn digits_in_a_secret_make_no_code_larger() {
        for secret in [
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            "JTZF5CAWTBC22XNICOJKDQNAX6BVYFL4",
            "22222222222222A2A2A2A2A2A2A2A2AA",
        ] {
            let uri = format!(
                "otpauth://totp/web01.prod.example.com:alice?secret={secret}&issuer=web01.prod.example.com"
            );
            assert_eq!(smallest(&uri, EcLevel::L).unwrap().version(), Version::Normal(5), "{secret}");
        }
    }

    #[test]
    fn a_code_is_never_larger_than_that_of_the_library() {
        for text in [
            "",
            "0",
            "ABC",
            "otpauth://totp/x?secret=ABCDEFGH",
            "0123456789012345678901234567890123456789abc",
            "ж日本",
        ] {
            let theirs = QrCode::with_error_correction_level(text, EcLevel::M).unwrap();
            assert!(smallest(text, EcLevel::M).unwrap().width() <= theirs.width(), "{text}");
        }
        assert!(smallest(&"a".repeat(3_000), EcLevel::L).is_err());
    }
}
