//! QR codes as a phone's camera reads them: `zbarimg` and OpenCV read pictures, and drawings of a
//! terminal.

use crate::Site;
use crate::paths::target;
use std::path::Path;
use std::process::Command;

/// What OpenCV reads in the picture that is its argument, by either of its detectors, in one of
/// several sizes, sharp or not: each misses some codes, and a phone's camera takes many frames.
const OPENCV: &str = r"
import cv2, itertools, sys
picture = cv2.imread(sys.argv[1])
detectors = [cv2.QRCodeDetector(), cv2.QRCodeDetectorAruco()]
scales = [1, 0.75, 1.5, 0.6, 1.25, 2, 0.5, 0.9, 3]
for blur, scale, detector in itertools.product([1, 3, 5], scales, detectors):
    frame = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = detector.detectAndDecode(cv2.GaussianBlur(frame, (blur, blur), 0))[0]
    if found:
        print(found)
        break
";
/// Width and height of a cell, and where its text stands, in pixels: DejaVu Sans Mono of 16 pixels.
const CELL: (f64, f64, f64) = (9.64, 18.62, 14.85);

/// The colours of a terminal: those of text without escape sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// White on black.
    Dark,
    /// Black on white.
    Light,
}

/// Returns what `zbarimg` reads in a picture.
pub fn read(picture: &Path) -> String {
    let output = Command::new("zbarimg").args(["--nodbus", "--raw", "-q"]).arg(picture).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns what OpenCV, whose decoder is not zbar's, reads in a picture.
#[track_caller]
pub fn read_with_opencv(picture: &Path) -> String {
    let python = target().join("../.venv/bin/python");
    let output = Command::new(python).args(["-c", OPENCV]).arg(picture).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/bootstrap.sh test installs OpenCV: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Converts an SVG picture to PNG.
#[track_caller]
pub fn to_png(svg: &Path, png: &Path) {
    let drawn = Command::new("rsvg-convert").arg(svg).arg("-o").arg(png).status().unwrap();
    assert!(drawn.success());
}

/// A character with its colour and that of its background.
type Cell = (char, &'static str, &'static str);

/// Reads a line with escape sequences for colours, as a terminal does.
#[track_caller]
fn cells(line: &str, theme: Theme) -> Vec<Cell> {
    let default = if theme == Theme::Dark { ("white", "black") } else { ("black", "white") };
    let (mut colours, mut reverse, mut cells) = (default, false, Vec::new());
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character != '\x1b' {
            let (text, back) = if reverse { (colours.1, colours.0) } else { colours };
            cells.push((character, text, back));
            continue;
        }
        assert_eq!(rest.next(), Some('['), "{line:?}");
        let sequence: String = rest.by_ref().take_while(|c| *c != 'm').collect();
        match sequence.as_str() {
            "48;5;16" | "0;30;40" => (colours, reverse) = (("black", "black"), false),
            "38;5;16;48;5;231" | "30;47;107" | "48;5;231" => colours = ("black", "white"),
            "0;7;37;97;40" => (colours, reverse) = (("white", "black"), true),
            "0" => (colours, reverse) = (default, false),
            other => panic!("unknown sequence {other:?} in {line:?}"),
        }
    }
    cells
}

/// Returns the SVG picture of a terminal that shows these lines, with a terminal's font.
fn terminal(lines: &[Vec<Cell>], theme: Theme) -> String {
    let (width, height, base) = CELL;
    let length = |count: usize| f64::from(u32::try_from(count).unwrap());
    let columns = lines.iter().map(Vec::len).max().unwrap();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\"><rect width=\"100%\" height=\"100%\" fill=\"{}\"/>",
        length(columns) * width + 20.0,
        length(lines.len()) * height + 20.0,
        if theme == Theme::Dark { "black" } else { "white" },
    );
    for (row, line) in lines.iter().enumerate() {
        let top = 10.0 + length(row) * height;
        for part in line.chunk_by(|one, two| (one.1, one.2) == (two.1, two.2)).scan(0, |at, part| {
            let start = *at;
            *at += part.len();
            Some((start, part))
        }) {
            let (start, part) = part;
            let (x, (_, text, back)) = (10.0 + length(start) * width, part[0]);
            // Backgrounds overlap by a little, as a terminal leaves no gaps between them.
            svg += &format!(
                "<rect x=\"{x}\" y=\"{top}\" width=\"{}\" height=\"{}\" fill=\"{back}\"/>",
                length(part.len()) * width + 0.5,
                height + 0.5,
            );
            let characters: String = part.iter().map(|cell| cell.0).collect();
            svg += &format!(
                "<text x=\"{x}\" y=\"{}\" xml:space=\"preserve\" font-family=\"DejaVu Sans Mono\" font-size=\"16\" fill=\"{text}\">{characters}</text>",
                top + base,
            );
        }
    }
    svg + "</svg>"
}

/// Draws a terminal that shows the QR code in this text. Returns the picture.
#[track_caller]
fn draw(site: &Site, text: &str, theme: Theme) -> std::path::PathBuf {
    let is_code = |line: &&str| line.contains(['█', '▀', '▄', '\x1b']);
    let lines: Vec<Vec<Cell>> =
        text.lines().filter(is_code).map(|line| cells(line.trim_end_matches('\r'), theme)).collect();
    assert!(lines.len() > 16, "{text}");
    let (svg, png) = (site.path("terminal.svg"), site.path("terminal.png"));
    std::fs::write(&svg, terminal(&lines, theme)).unwrap();
    to_png(&svg, &png);
    png
}

/// Returns what a camera reads on a dark terminal that shows this text.
#[track_caller]
pub fn on_terminal(site: &Site, text: &str) -> String {
    read(&draw(site, text, Theme::Dark))
}

/// Asserts that both readers find `uri` on a terminal of either theme that shows this text.
#[track_caller]
pub fn assert_read_on_any_terminal(site: &Site, text: &str, uri: &str) {
    for theme in [Theme::Dark, Theme::Light] {
        let picture = draw(site, text, theme);
        assert_eq!(read(&picture), uri, "zbar, {theme:?}");
        assert_eq!(read_with_opencv(&picture), uri, "OpenCV, {theme:?}");
    }
}
