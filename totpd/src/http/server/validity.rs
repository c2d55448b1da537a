//! The end of a certificate's validity, which `totpd status` shows. rustls checks everything else
//! of X.509.

use crate::clock::from_rfc3339;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use totp_core::Time;

const SEQUENCE: u8 = 0x30;
const EXPLICIT_VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads when the first certificate of a PEM file ends (`notAfter`). `None` if the file cannot be
/// read as one.
pub(crate) fn not_after(file: &Path) -> Option<Time> {
    let mut certificates = CertificateDer::pem_file_iter(file).ok()?;
    not_after_of(&certificates.next()?.ok()?)
}

/// Reads `notAfter` of a certificate in DER. RFC 5280, 4.1: Certificate { TBSCertificate { \[0\]
/// version, serial, signature, issuer, validity { from, to } … } … }
fn not_after_of(der: &[u8]) -> Option<Time> {
    let (SEQUENCE, certificate, _) = element(der)? else { return None };
    let (SEQUENCE, mut rest, _) = element(certificate)? else { return None };
    if let Some((EXPLICIT_VERSION, _, after)) = element(rest) {
        rest = after;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (SEQUENCE, validity, _) = element(rest)? else { return None };
    let (kind, text, _) = element(element(validity)?.2)?;
    let text = std::str::from_utf8(text).ok()?;
    let (year, rest) = match kind {
        // RFC 5280, 4.1.2.5.1: a two-digit year from 50 on is in the 20th century.
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2);
    from_rfc3339(&format!("{year}-{}-{}T{}:{}:{}Z", part(0)?, part(2)?, part(4)?, part(6)?, part(8)?))
}

/// Splits off the first element of DER: its tag, its content, and the bytes behind it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        (bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_after_is_what_openssl_prints() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("c.pem");
        // 2049 is the last year of UTCTime.
        for days in ["10", "9000", "20000"] {
            let made = std::process::Command::new("openssl")
                .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", days])
                .arg("-keyout")
                .arg(scratch.path().join("k.pem"))
                .arg("-out")
                .arg(&file)
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
            let printed = std::process::Command::new("openssl")
                .args(["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in"])
                .arg(&file)
                .output()
                .unwrap();
            let printed = String::from_utf8(printed.stdout).unwrap();
            let end = crate::clock::rfc3339(not_after(&file).unwrap());
            assert_eq!(printed.trim(), format!("notAfter={}", end.replace('T', " ")));
        }
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n").unwrap();
        assert_eq!(not_after(&file), None);
        assert_eq!(not_after(&scratch.path().join("none")), None);
    }
}
