//! `totpd enroll` on a terminal: what is on the screen together, and in which order.

use nix::sys::wait::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use totpd_e2e::Site;
use totpd_e2e::phone::{Phone, recovery_codes};
use totpd_e2e::qr::assert_read_on_any_terminal;

const QUESTION: &str = "First code (empty to confirm later): ";

/// A terminal, and the environment of the program in it.
struct Window {
    columns: u16,
    rows: u16,
    environment: &'static [(&'static str, &'static str)],
}

const UTF8: &[(&str, &str)] = &[("LC_ALL", "C.UTF-8"), ("TERM", "xterm-256color")];
const SMALL: Window = Window { columns: 80, rows: 24, environment: UTF8 };

/// Starts `totpd enroll alice` with these options in a terminal.
fn enroll(site: &Site, window: &Window, options: &str) -> PtySession {
    let mut shell = site.command("sh");
    let (totpd, config) = (totpd_e2e::paths::totpd(), site.path("etc/totpd/totpd.toml"));
    shell.arg("-c").arg(format!(
        "stty cols {} rows {} -echo; exec {} --config {} enroll alice {options}",
        window.columns,
        window.rows,
        totpd.display(),
        config.display()
    ));
    for name in ["LC_ALL", "LC_CTYPE", "LANG", "COLORTERM", "NO_COLOR"] {
        shell.env_remove(name);
    }
    shell.envs(window.environment.iter().copied());
    spawn_command(shell, Some(20_000)).unwrap()
}

/// Decodes text of rexpect, which takes each byte for a character.
fn utf8(bytes: &str) -> String {
    let bytes: Vec<u8> = bytes.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
    String::from_utf8(bytes).unwrap()
}

/// A site whose host has a name of 22 characters.
fn site() -> Site {
    Site::with_rules("[totp]\nissuer = \"web01.prod.example.com\"\n")
}

/// Returns the link that was shown.
#[track_caller]
fn link(shown: &str) -> String {
    let after = shown.split("Open this link on the phone: ").nth(1).unwrap_or_else(|| panic!("{shown}"));
    after.lines().next().unwrap().trim().to_owned()
}

#[test]
fn code_and_question_fit_80_by_24_and_recovery_codes_come_after() {
    let site = site();
    let mut terminal = enroll(&site, &SMALL, "");
    let shown = utf8(&terminal.exp_string(QUESTION).unwrap());
    let lines: Vec<&str> = shown.lines().collect();
    let code: Vec<usize> =
        (0..lines.len()).filter(|at| lines[*at].contains("\x1b[38;5;16;48;5;231m")).collect();
    assert_eq!(code.len(), 21, "{shown}");
    // The question is on a line of its own, below the last one.
    assert!(lines.len() - code[0] < 24, "the top of the code has left the screen: {shown}");
    assert!(lines.iter().skip(code[0]).all(|line| line.chars().filter(|c| *c != '\x1b').count() <= 80));
    assert!(shown.contains("Or type this key"), "{shown}");
    assert_eq!(recovery_codes(&shown), Vec::<String>::new(), "before the first code was right");
    assert_read_on_any_terminal(&site, &shown, &link(&shown));

    let phone = Phone::from_shown(&shown).unwrap();
    terminal.send_line(&phone.code(&site)).unwrap();
    terminal.exp_string("\x1b[H\x1b[2J").unwrap();
    terminal.exp_string("alice: confirmed").unwrap();
    let codes = terminal.exp_eof().unwrap();
    assert_eq!(recovery_codes(&codes).len(), 10, "{codes}");
    assert!(matches!(terminal.process_mut().wait(), Ok(WaitStatus::Exited(_, 0))));
    site.totpd_with(&["verify", "alice"], &recovery_codes(&codes)[0]).assert_success();
}

#[test]
fn recovery_codes_are_shown_if_the_code_is_left_for_later() {
    let site = site();
    let mut terminal = enroll(&site, &SMALL, "--qr none");
    terminal.exp_string(QUESTION).unwrap();
    terminal.send_line("").unwrap();
    let rest = terminal.exp_eof().unwrap();
    assert_eq!(recovery_codes(&rest).len(), 10, "{rest}");
    assert!(rest.contains("totpd confirm alice"), "{rest}");
    assert_eq!(site.status("alice")["state"], "pending");
}

#[test]
fn a_code_is_black_on_white_under_no_color_and_in_16_colours() {
    let site = site();
    let no_color: &[(&str, &str)] = &[("LC_ALL", "C.UTF-8"), ("TERM", "xterm-256color"), ("NO_COLOR", "1")];
    let console: &[(&str, &str)] = &[("LANG", "C.UTF-8"), ("TERM", "linux")];
    for environment in [no_color, console] {
        let mut terminal = enroll(&site, &Window { environment, ..SMALL }, "");
        let shown = utf8(&terminal.exp_string(QUESTION).unwrap());
        assert_read_on_any_terminal(&site, &shown, &link(&shown));
    }
}

#[test]
fn ascii_is_read_on_a_large_terminal_without_utf8() {
    let site = site();
    for term in ["vt220", "xterm-256color"] {
        let environment: &[(&str, &str)] = match term {
            "vt220" => &[("LC_ALL", "C.UTF-8"), ("TERM", "vt220")],
            _ => &[("LC_ALL", "C"), ("TERM", "xterm-256color")],
        };
        let mut terminal = enroll(&site, &Window { columns: 120, rows: 50, environment }, "");
        let shown = utf8(&terminal.exp_string(QUESTION).unwrap());
        assert!(shown.is_ascii(), "{shown}");
        assert_read_on_any_terminal(&site, &shown, &link(&shown));
    }
}

#[test]
fn a_code_that_cannot_be_shown_is_left_out_with_a_reason() {
    let site = site();
    let c_locale: &[(&str, &str)] = &[("LC_ALL", "C"), ("TERM", "linux")];
    for (window, options, reason) in [
        (Window { columns: 40, ..SMALL }, "", "make it larger"),
        (Window { rows: 20, ..SMALL }, "", "make it larger"),
        (SMALL, "--qr ascii", "The QR code in ASCII needs"),
        (Window { environment: c_locale, ..SMALL }, "", "does not show UTF-8"),
    ] {
        let mut terminal = enroll(&site, &window, options);
        let shown = utf8(&terminal.exp_string("goes on without a QR code: ").unwrap());
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(reason) && words.contains("--qr png:FILE"), "{shown}");
        // Enter looks again: the window has not grown.
        terminal.send_line("").unwrap();
        terminal.exp_string("goes on without a QR code: ").unwrap();
        terminal.send_line("n").unwrap();
        let shown = utf8(&terminal.exp_string(QUESTION).unwrap());
        assert!(shown.is_ascii() && !shown.contains("\x1b["), "{shown}");
        let phone = Phone::from_shown(&shown).unwrap();
        site.next_step();
        terminal.send_line(&phone.code(&site)).unwrap();
        terminal.exp_string("confirmed").unwrap();
        terminal.exp_eof().unwrap();
    }
}
