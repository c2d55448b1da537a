//! The questions of an enrollment inside a login: what each shows, and what it says after a wrong
//! answer.

use crate::authority::{
    EarlierLogin, EnrollmentEnd, FirstCodeQuestion, Interruption, NewKey, RecoveryCodeQuestion, StartedBy,
};
use crate::engine::{LeaseEnd, Showings};
use crate::local_time::local_from;
use crate::qr::{self, Colours};
use crate::varlink::login::step::{Echo, error, info, not_enrolled, prompt};
use std::time::Duration;
use totp_wire::login::{MAX_TEXT, Message, Step};

/// The most bytes of a picture, so that it fits a message of 16 KiB with all the rest.
const MAX_PICTURE: usize = 12 * 1024;

/// Rows of a terminal that everybody has. Its real size is unknown here.
const SCREEN_ROWS: usize = 24;
/// Rows below the picture.
const KEY_AND_QUESTION: usize = 2;

const SCAN: &str = "Or scan this. If the phone cannot read it, use a dark background or the key.";
const FIRST_CODE: &str = "First code from the app: ";
const ONE_OF_THEM: &str = "Note them, then type one of them to finish: ";

/// The question for the first code.
pub(super) fn first_code(id: &str, question: &FirstCodeQuestion) -> Step {
    let wrong = match question {
        FirstCodeQuestion::First(new) => return prompt(id, key_and_picture(new), FIRST_CODE, Echo::Off),
        FirstCodeQuestion::AfterWrong => {
            "That is not the code that the app shows for this account. Is the phone's clock right?"
        }
        FirstCodeQuestion::AfterUsed => {
            "That code was right, but an earlier login has used it up. Wait for the next one."
        }
    };
    prompt(id, vec![error(wrong)], FIRST_CODE, Echo::Off)
}

/// Link, QR code and setup key. The key and the link are for clients that garble the blocks: ssh(1)
/// does in a locale without UTF-8. What is needed with the picture comes last, to be on the screen
/// with it.
fn key_and_picture(new: &NewKey) -> Vec<Message> {
    let NewKey { otpauth, interruption, shown_before } = new;
    let (uri, key) = (otpauth.to_uri(), otpauth.secret.to_base32());
    let intro = match shown_before {
        None => "This account needs a second factor. Set it up in an authenticator app.",
        Some(EarlierLogin::Interrupted) => {
            "This account needs a second factor. The setup key is the one of your last login: an entry that the app has \
             already stays good."
        }
        Some(EarlierLogin::WrongAnswers) => {
            "The answers at your last login were wrong, so it was refused. The setup key is still the same: an entry \
             that the app has already stays good."
        }
    };
    let mut lines = vec![info(intro)];
    lines.extend(explain(interruption).map(info));
    let link = format!("Open this link on the phone: {}", &*uri);
    if link.len() < MAX_TEXT {
        lines.push(info(link));
    }
    let key = info(format!("Or type this key:  {}", *qr::grouped(&key)));
    let time_left = time_left(interruption).map(info);
    // Names that are too long for a picture in a message, or for a line of PAM, still have their
    // key. Hosts strip escape sequences, so the picture has the colours of the terminal.
    let picture = qr::utf8(&uri, Colours::Plain).ok().filter(|picture| picture.text.len() <= MAX_PICTURE);
    if let Some(picture) = picture {
        let key_below = picture.rows + KEY_AND_QUESTION <= SCREEN_ROWS;
        let time_below = picture.rows + KEY_AND_QUESTION < SCREEN_ROWS;
        lines.push(info(SCAN));
        lines.extend((!key_below).then(|| key.clone()));
        lines.extend(picture.text.lines().map(info));
        lines.extend(key_below.then_some(key));
        lines.extend(time_left.filter(|_| time_below));
    } else {
        lines.push(key);
        lines.extend(time_left);
    }
    lines
}

/// The recovery codes, and the question for one of them.
pub(super) fn recovery_code(id: &str, question: &RecoveryCodeQuestion) -> Step {
    let RecoveryCodeQuestion::First { codes, interruption, repeated } = question else {
        let wrong = "That is not one of the recovery codes above.";
        return prompt(id, vec![error(wrong)], ONE_OF_THEM, Echo::On);
    };
    let mut lines: Vec<Message> =
        repeated.iter().map(|(from, showings)| error(shown_repeatedly(from, showings))).collect();
    lines.push(info("Recovery codes, for the day without a phone. Each works once."));
    lines.push(info("They are shown only now: write them down, or print them."));
    if repeated.is_some() {
        lines.push(info("Recovery codes that an earlier login showed are void."));
    }
    for pair in codes.chunks(2) {
        let texts: Vec<&str> = pair.iter().map(|text| text.as_str()).collect();
        lines.push(info(format!("    {}", texts.join("    "))));
    }
    lines.extend(time_left(interruption).map(info));
    prompt(id, lines, ONE_OF_THEM, Echo::On)
}

/// The end of an enrollment without a factor.
pub(super) fn ended(id: &str, end: EnrollmentEnd) -> Step {
    let why = match end {
        EnrollmentEnd::WrongAnswers { kept_for } => match kept_for.and_then(minutes) {
            Some(minutes) => format!(
                "Too many answers were wrong, and this login is refused. Log in again from here within {minutes} \
                 minutes: the same setup key is shown, and the entry in the app stays good."
            ),
            None => "Too many answers were wrong, and this login is refused. This setup key is void: delete its entry \
                     in the app. The next login shows another one."
                .to_owned(),
        },
        EnrollmentEnd::Lost(LeaseEnd::TakenOver) => {
            "A later login was shown this setup key and has answered, so only that one can finish. Was it you? If not, \
             call your administrators."
                .to_owned()
        }
        EnrollmentEnd::Lost(LeaseEnd::Finished) => {
            "Another login was shown this setup key, and has enrolled it as this account's second factor. Was it you? \
             If not, call your administrators: somebody else has the key."
                .to_owned()
        }
        EnrollmentEnd::Lost(LeaseEnd::Dropped) => {
            "An administrator has ended this enrollment. This setup key is void: delete its entry in the app, and log \
             in again."
                .to_owned()
        }
    };
    not_enrolled(id, why)
}

/// When the setup key was shown. Another login with it may have been somebody else's.
fn shown_repeatedly(from: &str, showings: &Showings) -> String {
    let Showings { count, first, previous, latest } = *showings;
    let at = |time| local_from(time, latest);
    let times = if count == 2 {
        format!("at {} and now, at {}", at(first), at(latest))
    } else {
        format!("first at {}, then at {} and now, at {}", at(first), at(previous), at(latest))
    };
    format!(
        "This setup key was shown {count} times to logins from {from}: {times}. Were they all you? If not, close this \
         login and call your administrators."
    )
}

/// What to do when the time runs out.
fn explain(interruption: &Interruption) -> Option<String> {
    let Interruption { time_left, kept_for, started_by } = *interruption;
    let seconds = time_left.map(|left| left.as_secs());
    let with = match started_by {
        StartedBy::Rule => "the same SSH key",
        StartedBy::Ticket => "the same SSH key and the ticket",
    };
    Some(match (seconds, kept_for.and_then(minutes)) {
        (Some(seconds), Some(minutes)) => format!(
            "sshd ends this login in {seconds} seconds. If that is too short, log in again from here with {with} \
             within {minutes} minutes: the same setup key is shown, and the entry in the app stays good."
        ),
        (Some(seconds), None) => format!(
            "sshd ends this login in {seconds} seconds. If that is too short, delete the entry in the app and log in \
             again: the next login shows another setup key."
        ),
        (None, Some(minutes)) => format!(
            "If this login is interrupted, log in again from here with {with} within {minutes} minutes: the \
             same setup key is shown, and the entry in the app stays good."
        ),
        (None, None) => return None,
    })
}

/// The time left, and what to do then, in one row of a terminal with 80 columns.
fn time_left(interruption: &Interruption) -> Option<String> {
    let seconds = interruption.time_left?.as_secs();
    Some(match interruption.kept_for.and_then(minutes) {
        Some(minutes) => {
            let with = match interruption.started_by {
                StartedBy::Rule => "from here",
                StartedBy::Ticket => "with the ticket",
            };
            format!("Time left: {seconds} s. Log in again {with} within {minutes} min for this same key.")
        }
        None => format!("Time left: {seconds} s. After that this key is void: delete its entry in the app."),
    })
}

/// Whole minutes; `None` for less than one. A few seconds have passed since the key was made.
fn minutes(kept_for: Duration) -> Option<u64> {
    Some((kept_for.as_secs() + 5) / 60).filter(|minutes| *minutes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::RELEASED;

    fn interruption(time_left: Option<u64>, kept_for: Option<u64>) -> Interruption {
        let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        let (time_left, kept_for) = (seconds(time_left), seconds(kept_for));
        Interruption { time_left, kept_for, started_by: StartedBy::Rule }
    }

    #[test]
    fn the_time_left_fits_one_row_of_80_columns() {
        for kept_for in [Some(899), Some(54), None] {
            let by_rule = interruption(Some(1200), kept_for);
            for enrollment in [by_rule, Interruption { started_by: StartedBy::Ticket, ..by_rule }] {
                let line = time_left(&enrollment).unwrap();
                assert!(line.len() <= 80 && line.contains("1200 s"), "{line}");
            }
        }
        assert_eq!(time_left(&interruption(None, Some(899))), None);
    }

    #[test]
    fn every_line_fits_a_message_of_pam() {
        for time_left in [Some(u64::MAX), None] {
            for kept_for in [Some(899), None] {
                let line = explain(&interruption(time_left, kept_for));
                assert_eq!(line.is_none(), time_left.is_none() && kept_for.is_none());
                assert!(line.unwrap_or_default().len() < MAX_TEXT);
            }
        }
    }

    #[test]
    fn the_minutes_promise_at_most_five_seconds_too_much() {
        for (seconds, minutes) in
            [(899, Some(15)), (895, Some(15)), (894, Some(14)), (55, Some(1)), (54, None)]
        {
            assert_eq!(super::minutes(Duration::from_secs(seconds)), minutes, "{seconds}");
        }
    }

    #[test]
    fn a_key_shown_repeatedly_names_each_time() {
        let at = |minutes: u64| RELEASED.plus(minutes * 60);
        let twice = Showings { count: 2, first: at(0), previous: at(0), latest: at(3) };
        let text = shown_repeatedly("192.0.2.7", &twice);
        assert!(text.contains("2 times to logins from 192.0.2.7: at "), "{text}");
        let often = Showings { count: 5, first: at(0), previous: at(7), latest: at(9) };
        let text = shown_repeatedly(&"x".repeat(256), &often);
        assert!(text.contains("5 times") && text.contains("then at") && text.len() < MAX_TEXT, "{text}");
    }
}
