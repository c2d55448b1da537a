//! Codes as phones show and copy them: in groups, with invisible marks, in digits of any script.

use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code, result};
use totpd_e2e::ssh::Sshd;
use totpd_e2e::users::PASSWORD;

/// Writes `code` in the digits that follow `zero`.
fn in_script(code: &str, zero: char) -> String {
    let digit = |b: u8| char::from_u32(u32::from(zero) + u32::from(b - b'0')).unwrap();
    code.bytes().map(digit).collect()
}

/// Puts `separator` after every `length` characters.
fn grouped(code: &str, length: usize, separator: &str) -> String {
    let chars: Vec<char> = code.chars().collect();
    chars.chunks(length).map(String::from_iter).collect::<Vec<_>>().join(separator)
}

/// Ways in which phones show and copy a code.
const SPELLINGS: [fn(&str) -> String; 6] = [
    |code| grouped(code, 2, " "),
    |code| grouped(code, 3, "\u{a0}"),
    |code| format!("\u{2066}{}\u{2069}", grouped(code, 3, "–")),
    |code| grouped(&in_script(code, '٠'), 3, " "),
    |code| format!("\u{200f}{}\u{feff}", in_script(code, '۰')),
    |code| grouped(&in_script(code, '０'), 3, "　"),
];

#[test]
fn sshd_takes_a_code_in_any_spelling_and_once() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");
    for spelled in SPELLINGS {
        let code = spelled(&phone.code(&site));
        assert!(sshd.lets_in("alice", &[&code]), "{code}");
        assert!(!sshd.lets_in("alice", &[&phone.code(&site)]), "{code} was accepted twice");
        assert_eq!(site.last_login()["reason"], "replayed");
        site.next_step();
    }
    let recovery = phone.recovery_codes[0].replace('-', ".").to_lowercase();
    assert!(sshd.lets_in("alice", &[&recovery]), "{recovery}");
    assert!(!sshd.lets_in("alice", &[&phone.recovery_codes[0]]), "a recovery code was accepted twice");
    for password in ["01.02.1990", "½23456", "pässwörd", "一二三四五六"] {
        assert!(!sshd.lets_in("alice", &[password]));
        assert_eq!(site.last_login()["reason"], "not-a-code", "{password}");
    }
    // The recovery code that was used is the only failure.
    assert_eq!(site.status("alice")["failures"], 1);
}

#[test]
fn a_combined_line_takes_a_code_in_any_spelling() {
    let site = Site::new();
    let phone = site.enroll("alice");
    site.service(
        "x",
        &format!(
            "auth required {}\nauth required pam_unix.so use_first_pass nodelay\n",
            site.pam_line("nodelay forward_pass")
        ),
    );
    let alice = PamHost::new(&site, "x", "alice");
    let answer = |password: &str, code: &str| {
        let finished = alice.run(&["authenticate"], &format!("{password}{code}\n"));
        result(&finished, "authenticate")
    };
    for spelled in SPELLINGS {
        // A mark before the first digit belongs to the password, which is not changed.
        let code = spelled(&phone.code(&site)).trim_start_matches(['\u{2066}', '\u{200f}']).to_owned();
        assert_eq!(answer(PASSWORD, &code), code::SUCCESS, "{code}");
        site.next_step();
        let code = spelled(&phone.code(&site));
        assert_eq!(answer("hunter3", &code), code::AUTH_ERR, "{code} with a wrong password");
        site.next_step();
    }
    assert_eq!(answer(PASSWORD, &phone.recovery_codes[0].replace('-', ".")), code::SUCCESS);
    assert!(!site.log().contains(PASSWORD), "the password left the host");
}

#[test]
fn commands_take_a_code_in_any_spelling() {
    let site = Site::new();
    for (user, spelled) in ["alice", "bob", "eve", "u1", "u2", "u3"].into_iter().zip(SPELLINGS) {
        let phone = site.stage(user);
        site.totpd_with(&["confirm", user], &spelled(&phone.code(&site))).assert_success();
        site.next_step();
        site.totpd_with(&["verify", user], &spelled(&phone.code(&site))).assert_success();
    }
}
