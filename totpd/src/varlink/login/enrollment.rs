//! The questions of an enrollment inside a login: what each shows, and what it says after a wrong
//! answer.

use crate::qr;
use crate::varlink::login::step::{error, info, prompt};
use totp_core::otpauth::OtpAuth;
use totp_wire::login::{MAX_TEXT, Step};
use zeroize::Zeroizing;

/// The most bytes of a picture, so that it fits a message of 16 KiB with all the rest.
const MAX_PICTURE: usize = 12 * 1024;

const FIRST_CODE: &str = "First code from the app: ";
const ONE_OF_THEM: &str = "Note them, then type one of them to finish: ";

/// QR code, setup key and link, and the question for the first code. The key and the link are for
/// clients that garble the blocks: ssh(1) does in a locale without UTF-8. `None` asks again after a
/// wrong code.
pub(super) fn first_code(id: &str, otpauth: Option<&OtpAuth>) -> Step {
    let Some(otpauth) = otpauth else {
        let wrong = "That is not the code that the app shows for this account. Is the phone's clock right?";
        return prompt(id, vec![error(wrong)], FIRST_CODE, false);
    };
    let (uri, key) = (otpauth.to_uri(), otpauth.secret.to_base32());
    let mut lines = vec![info("This account needs a second factor. Scan this with an authenticator app:")];
    // Names that are too long for a picture in a message, or for a line of PAM, still have their
    // key.
    let picture =
        qr::utf8(&uri, false).ok().filter(|picture| picture.len() <= MAX_PICTURE).unwrap_or_default();
    lines.extend(picture.lines().map(info));
    lines.push(info(format!("Or type this key:  {}", *qr::grouped(&key))));
    let link = format!("Or open this link: {}", &*uri);
    if link.len() < MAX_TEXT {
        lines.push(info(link));
    }
    prompt(id, lines, FIRST_CODE, false)
}

/// The recovery codes, and the question for one of them: some hosts show lines only before a
/// question, and a user who answers has seen them. `None` asks again after a wrong code.
pub(super) fn recovery_code(id: &str, codes: Option<&[Zeroizing<String>]>) -> Step {
    let Some(codes) = codes else {
        return prompt(id, vec![error("That is not one of the recovery codes above.")], ONE_OF_THEM, true);
    };
    let mut lines =
        vec![info("Recovery codes, for the day without a phone. Each works once; they are shown only now:")];
    for pair in codes.chunks(2) {
        let texts: Vec<&str> = pair.iter().map(|text| text.as_str()).collect();
        lines.push(info(format!("    {}", texts.join("    "))));
    }
    prompt(id, lines, ONE_OF_THEM, true)
}
