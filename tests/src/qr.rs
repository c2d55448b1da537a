//! QR codes as a phone's camera reads them: `zbarimg` reads pictures, and a drawing of a terminal.

use crate::Site;
use std::path::Path;
use std::process::Command;

/// Returns what `zbarimg` reads in a picture.
pub fn read(picture: &Path) -> String {
    let output = Command::new("zbarimg").args(["--nodbus", "--raw", "-q"]).arg(picture).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Converts an SVG picture to PNG.
#[track_caller]
pub fn to_png(svg: &Path, png: &Path) {
    let drawn = Command::new("rsvg-convert").arg(svg).arg("-o").arg(png).status().unwrap();
    assert!(drawn.success());
}

/// Returns the SVG picture of a dark terminal that shows these lines, with a terminal's font.
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

/// Returns what a camera reads on a dark terminal that shows this text.
#[track_caller]
pub fn on_terminal(site: &Site, text: &str) -> String {
    let blocks: Vec<&str> = text.lines().filter(|line| line.contains(['█', '▀', '▄'])).collect();
    assert!(blocks.len() > 20, "{text}");
    let (svg, png) = (site.path("terminal.svg"), site.path("terminal.png"));
    std::fs::write(&svg, terminal(&blocks)).unwrap();
    to_png(&svg, &png);
    read(&png)
}
