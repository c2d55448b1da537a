//! What is shown at enrollment, read back by programs that are not ours.

use data_encoding::BASE64;
use site::Site;
use site::phone::Phone;
use std::path::Path;
use std::process::Command;

/// What `zbarimg` reads in a picture.
fn read(picture: &Path) -> String {
    let output = Command::new("zbarimg").args(["--nodbus", "--raw", "-q"]).arg(picture).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn to_png(svg: &Path, png: &Path) {
    let drawn = Command::new("rsvg-convert").arg(svg).arg("-o").arg(png).status().unwrap();
    assert!(drawn.success());
}

/// A dark terminal that shows these lines, drawn with a terminal's font.
fn terminal(lines: &[&str]) -> String {
    let (width, height) = (9.64, 18.62);
    let columns = lines.iter().map(|line| line.chars().count()).max().unwrap();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\"><rect width=\"100%\" height=\"100%\" fill=\"black\"/>",
        f64::from(u32::try_from(columns).unwrap()) * width + 20.0,
        f64::from(u32::try_from(lines.len()).unwrap()) * height + 20.0,
    );
    for (row, line) in (0_u32..).zip(lines) {
        let y = 24.85 + f64::from(row) * height;
        svg += &format!(
            "<text x=\"10\" y=\"{y}\" xml:space=\"preserve\" font-family=\"DejaVu Sans Mono\" font-size=\"16\" fill=\"white\">{line}</text>"
        );
    }
    svg + "</svg>"
}

#[test]
fn the_qr_code_holds_the_uri_as_data_uri_png_svg_and_on_the_terminal() {
    let site = Site::new();
    let document = site.totpd(&["enroll", "alice", "--json"]).ok().json();
    let data = document["qr_code"].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
    std::fs::write(site.path("qr.png"), BASE64.decode(data.as_bytes()).unwrap()).unwrap();
    assert_eq!(read(&site.path("qr.png")), document["uri"]);

    let uri_of =
        |output: &str| output.lines().find_map(|l| l.strip_prefix("Or open this link: ")).unwrap().to_owned();
    let png = site.path("file.png");
    let shown = site.totpd(&["enroll", "alice", "--qr", &format!("png:{}", png.display())]).ok();
    assert_eq!(read(&png), uri_of(&shown.stdout));
    let svg = site.path("file.svg");
    let shown = site.totpd(&["enroll", "alice", "--qr", &format!("svg:{}", svg.display())]).ok();
    to_png(&svg, &png);
    assert_eq!(read(&png), uri_of(&shown.stdout));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&svg).unwrap());
    assert_eq!(mode & 0o777, 0o600, "others may read the secret");
    assert_eq!(
        site.totpd(&["enroll", "alice", "--qr", &format!("svg:{}", svg.display())]).code,
        1,
        "overwritten"
    );

    let shown = site.totpd(&["enroll", "alice"]).ok();
    let blocks: Vec<&str> = shown.stdout.lines().filter(|l| l.contains(['█', '▀', '▄'])).collect();
    assert!(blocks.len() > 20, "{}", shown.stdout);
    std::fs::write(&svg, terminal(&blocks)).unwrap();
    to_png(&svg, &png);
    assert_eq!(read(&png), uri_of(&shown.stdout));
}

#[test]
fn oathtool_computes_the_codes_of_every_kind_of_enrollment() {
    let site = Site::new();
    for (algorithm, digits, period) in [("SHA1", "6", "30"), ("SHA256", "7", "60"), ("SHA512", "8", "15")] {
        let kind = ["--algorithm", algorithm, "--digits", digits, "--period", period];
        let document = site.totpd(&[&["enroll", "alice", "--json"][..], &kind].concat()).ok().json();
        let uri = document["uri"].as_str().unwrap();
        for part in [format!("algorithm={algorithm}"), format!("digits={digits}"), format!("period={period}")]
        {
            assert!(uri.contains(&part), "{uri}");
        }
        let code = Command::new("oathtool")
            .args([&format!("--totp={algorithm}"), "-b", "-d", digits, "-s", &format!("{period}s"), "-N"])
            .arg(format!("@{}", site.now()))
            .arg(Phone::from(&document).secret)
            .output()
            .unwrap();
        site.totpd_with(&["confirm", "alice"], &String::from_utf8(code.stdout).unwrap()).ok();
    }
}
