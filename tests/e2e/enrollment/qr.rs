//! QR codes and parameters of an enrollment, read back by programs that are not ours.

use data_encoding::BASE64;
use std::process::Command;
use totpd_e2e::Site;
use totpd_e2e::phone::Phone;
use totpd_e2e::qr::{on_terminal, read, to_png};

#[test]
fn the_qr_code_holds_the_uri_in_every_format() {
    let site = Site::new();
    let document = site.totpd(&["enroll", "alice", "--json"]).assert_success().json();
    let data = document["qr_code"].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
    std::fs::write(site.path("qr.png"), BASE64.decode(data.as_bytes()).unwrap()).unwrap();
    assert_eq!(read(&site.path("qr.png")), document["uri"]);

    let uri_of = |output: &str| {
        output.lines().find_map(|l| l.strip_prefix("Open this link on the phone: ")).unwrap().to_owned()
    };
    let png = site.path("file.png");
    let shown = site.totpd(&["enroll", "alice", "--qr", &format!("png:{}", png.display())]).assert_success();
    assert_eq!(read(&png), uri_of(&shown.stdout));
    let svg = site.path("file.svg");
    let shown = site.totpd(&["enroll", "alice", "--qr", &format!("svg:{}", svg.display())]).assert_success();
    to_png(&svg, &png);
    assert_eq!(read(&png), uri_of(&shown.stdout));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&svg).unwrap());
    assert_eq!(mode & 0o777, 0o600, "others may read the secret");
    assert_eq!(
        site.totpd(&["enroll", "alice", "--qr", &format!("svg:{}", svg.display())]).code,
        1,
        "overwritten"
    );

    let shown = site.totpd(&["enroll", "alice"]).assert_success();
    assert_eq!(on_terminal(&site, &shown.stdout), uri_of(&shown.stdout));
}

#[test]
fn oathtool_computes_the_codes_of_every_kind_of_enrollment() {
    let site = Site::new();
    for (algorithm, digits, period) in [("SHA1", "6", "30"), ("SHA256", "7", "60"), ("SHA512", "8", "15")] {
        let kind = ["--algorithm", algorithm, "--digits", digits, "--period", period];
        let document =
            site.totpd(&[&["enroll", "alice", "--json"][..], &kind].concat()).assert_success().json();
        let uri = document["uri"].as_str().unwrap();
        // Those of the first kind are the defaults of the Key Uri Format.
        for part in [format!("algorithm={algorithm}"), format!("digits={digits}"), format!("period={period}")]
        {
            assert_eq!(uri.contains(&part), algorithm != "SHA1", "{uri}");
        }
        let code = Command::new("oathtool")
            .args([&format!("--totp={algorithm}"), "-b", "-d", digits, "-s", &format!("{period}s"), "-N"])
            .arg(format!("@{}", site.now()))
            .arg(Phone::from(&document).secret)
            .output()
            .unwrap();
        site.totpd_with(&["confirm", "alice"], &String::from_utf8(code.stdout).unwrap()).assert_success();
    }
}
