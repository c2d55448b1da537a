//! The questions of an enrollment inside a login: what each shows, and what it says after a wrong
//! answer.

use crate::qr::{self, Colours};
use crate::varlink::login::step::{Echo, error, info, prompt};
use totp_core::otpauth::OtpAuth;
use totp_wire::login::{MAX_TEXT, Step};
use zeroize::Zeroizing;

/// The most bytes of a picture, so that it fits a message of 16 KiB with all the rest.
const MAX_PICTURE: usize = 12 * 1024;

/// Rows of a terminal that everybody has. Its real size is unknown here.
const SCREEN_ROWS: usize = 24;
/// Rows below the picture.
const KEY_AND_QUESTION: usize = 2;

const SCAN: &str = "Or scan this. If the phone cannot read it, use a dark background or the key.";
const FIRST_CODE: &str = "First code from the app: ";
const ONE_OF_THEM: &str = "Note them, then type one of them to finish: ";

/// Link, QR code and setup key, and the question for the first code. The key and the link are for
/// clients that garble the blocks: ssh(1) does in a locale without UTF-8. What is needed with the
/// picture comes last, to be on the screen with it. `None` asks again after a wrong code.
pub(super) fn first_code(id: &str, otpauth: Option<&OtpAuth>) -> Step {
    let Some(otpauth) = otpauth else {
        let wrong = "That is not the code that the app shows for this account. Is the phone's clock right?";
        return prompt(id, vec![error(wrong)], FIRST_CODE, Echo::Off);
    };
    let (uri, key) = (otpauth.to_uri(), otpauth.secret.to_base32());
    let mut lines = vec![info("This account needs a second factor. Set it up in an authenticator app.")];
    let link = format!("Open this link on the phone: {}", &*uri);
    if link.len() < MAX_TEXT {
        lines.push(info(link));
    }
    let key = info(format!("Or type this key:  {}", *qr::grouped(&key)));
    // Names that are too long for a picture in a message, or for a line of PAM, still have their
    // key. Hosts strip escape sequences, so the picture has the colours of the terminal.
    let picture = qr::utf8(&uri, Colours::Plain).ok().filter(|picture| picture.text.len() <= MAX_PICTURE);
    match picture {
        Some(picture) => {
            let key_below = picture.rows + KEY_AND_QUESTION <= SCREEN_ROWS;
            lines.push(info(SCAN));
            lines.extend((!key_below).then(|| key.clone()));
            lines.extend(picture.text.lines().map(info));
            lines.extend(key_below.then_some(key));
        }
        None => lines.push(key),
    }
    prompt(id, lines, FIRST_CODE, Echo::Off)
}

/// The recovery codes, and the question for one of them: some hosts show lines only before a
/// question, and a user who answers has seen them. `None` asks again after a wrong code.
pub(super) fn recovery_code(id: &str, codes: Option<&[Zeroizing<String>]>) -> Step {
    let Some(codes) = codes else {
        return prompt(
            id,
            vec![error("That is not one of the recovery codes above.")],
            ONE_OF_THEM,
            Echo::On,
        );
    };
    let mut lines = vec![
        info("Recovery codes, for the day without a phone. Each works once."),
        info("They are shown only now: write them down, or print them."),
    ];
    for pair in codes.chunks(2) {
        let texts: Vec<&str> = pair.iter().map(|text| text.as_str()).collect();
        lines.push(info(format!("    {}", texts.join("    "))));
    }
    prompt(id, lines, ONE_OF_THEM, Echo::On)
}
