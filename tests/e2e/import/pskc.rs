//! `totpd import pskc`: the XML in which vendors deliver keys (RFC 6030).

use super::{KEY, accepts, wait_out};
use std::process::Command;
use totpd_e2e::Site;
use totpd_e2e::run::run;

/// A container of these key packages.
fn container(packages: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<KeyContainer Version=\"1.0\" Id=\"exampleID1\" \
         xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\" xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\">\n{packages}\
         </KeyContainer>\n"
    )
}

/// A key of RFC 6030 (figures 3 and 10) in one line, for a user and of this kind.
fn package(user: &str, kind: &str, length: u8, secret: &str, more: &str) -> String {
    format!(
        "<KeyPackage><DeviceInfo><Manufacturer>TokenVendorAcme</Manufacturer><SerialNo>987654323</SerialNo></DeviceInfo>\
         <Key Id=\"987654323\" Algorithm=\"urn:ietf:params:xml:ns:keyprov:pskc:{kind}\"><Issuer>Issuer</Issuer>\
         <AlgorithmParameters>{}<ResponseFormat Length=\"{length}\" Encoding=\"DECIMAL\"/></AlgorithmParameters>\
         <Data><Secret>{secret}</Secret>{more}</Data><UserId>UID={user},DC=example-bank,DC=net</UserId></Key>\
         </KeyPackage>\n",
        if length == 8 { "<Suite>HMAC-SHA256</Suite>" } else { "" }
    )
}

/// The secret of every example of the RFC: `12345678901234567890`.
const PLAIN: &str = "<PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue>";
/// That of figure 6.
const ENCRYPTED: &str = "<EncryptedValue><xenc:EncryptionMethod \
    Algorithm=\"http://www.w3.org/2001/04/xmlenc#aes128-cbc\"/><xenc:CipherData><xenc:CipherValue>\
    AAECAwQFBgcICQoLDA0OD+cIHItlB3Wra1DUpxVvOx2lef1VmNPCMl8jwZqIUqGv</xenc:CipherValue></xenc:CipherData>\
    </EncryptedValue><ValueMAC>Su+NvtQfmvfJzF6bmQiJqoLRExc=</ValueMAC>";

/// The code that oathtool computes now.
fn oathtool(site: &Site, options: &[&str]) -> String {
    let mut oathtool = Command::new("oathtool");
    oathtool.args(options).args(["-b", "-N", &format!("@{}", site.now()), KEY]);
    run(oathtool, "").assert_success().stdout.trim().to_owned()
}

#[test]
fn keys_of_hardware_tokens_are_imported_with_their_parameters() {
    let site = Site::new();
    let sixty =
        "<Time><PlainValue>0</PlainValue></Time><TimeInterval><PlainValue>60</PlainValue></TimeInterval>";
    let file = container(
        &[package("alice", "totp", 6, PLAIN, ""), package("bob", "totp", 8, PLAIN, sixty)].concat(),
    );
    let dry = site.totpd_with(&["import", "pskc", "-", "--dry-run"], &file).assert_success();
    assert!(dry.stdout.contains("2 would be imported, 0 skipped, 0 refused"), "{dry:?}");
    assert_eq!(site.status("alice")["state"], "none");
    let done = site.totpd_with(&["import", "pskc", "-"], &file).assert_success();
    assert!(
        done.stdout.contains("alice: imported from line 3 of standard input (SHA1, 6 digits, 30 s)"),
        "{done:?}"
    );
    assert!(
        done.stdout.contains("bob: imported from line 4 of standard input (SHA256, 8 digits, 60 s)"),
        "{done:?}"
    );
    assert!(!done.stdout.contains("NDU2Nzg5") && !done.stdout.contains(KEY), "{done:?}");
    wait_out(&site);
    assert!(accepts(&site, "alice", &oathtool(&site, &["--totp"])));
    site.advance(120);
    assert!(accepts(&site, "bob", &oathtool(&site, &["--totp=sha256", "-d", "8", "-s", "60"])));
}

#[test]
fn what_totpd_cannot_hold_is_refused_by_name_and_reason() {
    let site = Site::new();
    let counter = "<Counter><PlainValue>0</PlainValue></Counter>";
    let packages = [
        package("alice", "hotp", 8, PLAIN, counter),
        package("bob", "totp", 6, ENCRYPTED, ""),
        package("no-such-user", "totp", 6, PLAIN, ""),
        package("u1", "pin", 6, PLAIN, ""),
    ];
    let refused = site.totpd_with(&["import", "pskc", "-"], &container(&packages.concat()));
    assert_eq!(refused.code, 1, "{refused:?}");
    for words in [
        "alice: refused line 3 of standard input: its codes are counter-based (HOTP)",
        "bob: refused line 4 of standard input: its secret is encrypted",
        "pskc2pskc -p PASSWORD-FILE FILE",
        "line 5 of standard input: refused: it names no user of this system",
        "u1: refused line 6 of standard input: it is not of a kind that totpd knows",
        "0 imported, 0 skipped, 4 refused",
    ] {
        assert!(refused.stdout.contains(words), "{words}: {refused:?}");
    }
}

#[test]
fn a_document_type_is_refused_and_reads_no_file() {
    let site = Site::new();
    let evil = container(&package("alice", "totp", 6, "<PlainValue>&x;</PlainValue>", "")).replace(
        "<KeyContainer",
        "<!DOCTYPE KeyContainer [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\n<KeyContainer",
    );
    let refused = site.totpd_with(&["import", "pskc", "-"], &evil);
    assert!(refused.code == 1 && refused.stdout.contains("its XML is malformed"), "{refused:?}");
    assert!(!refused.stdout.contains("root:"), "{refused:?}");
    assert_eq!(site.status("alice")["state"], "none");
}
