//! An enrollment inside a login: what is shown, and what follows each answer.

use crate::engine::{Engine, EngineError, Grant, PendingLogin};
use crate::qr;
use crate::store::CommitGuard;
use crate::varlink::login::State;
use crate::varlink::login::step;
use crate::varlink::login::step::info;
use std::sync::Arc;
use totp_core::judge::Input;
use totp_core::login_enrollment::{AwaitingFirstCode, AwaitingRecoveryCode};
use totp_wire::login::{MAX_TEXT, Step};

/// Answers to each question.
const TRIES: u8 = 3;
/// The most bytes of a picture, so that it fits a message of 16 KiB with all the rest.
const MOST_PICTURE: usize = 12 * 1024;

/// The factor is shown; its first code is asked for.
#[derive(Debug)]
pub(super) struct Offered {
    asking: PendingLogin,
    enrolling: AwaitingFirstCode,
    tries_left: u8,
}

/// The recovery codes are shown; one of them is asked for.
#[derive(Debug)]
pub(super) struct Noting {
    asking: PendingLogin,
    noted: AwaitingRecoveryCode,
    tries_left: u8,
}

/// How the last answer ended.
pub(super) enum Finish {
    /// The factor is active.
    Granted(Box<Grant>),
    /// No tries are left, or somebody was faster.
    Denied,
    /// It was none of the codes.
    Again(Box<Noting>, Step),
}

impl crate::varlink::login::Grants for Finish {
    fn event(&self) -> Option<&crate::audit::Event> {
        if let Self::Granted(grant) = self { Some(&grant.event) } else { None }
    }
}

impl Offered {
    pub(super) const fn new(asking: PendingLogin, enrolling: AwaitingFirstCode) -> Self {
        Self { asking, enrolling, tries_left: TRIES }
    }

    pub(super) fn user(&self) -> &str {
        &self.asking.asker.user
    }

    /// Takes the first code.
    pub(super) async fn first_code(
        self,
        engine: &Engine,
        input: &Input,
        ticket: &Arc<CommitGuard>,
    ) -> Result<(State, Step), EngineError> {
        let Self { asking, enrolling, tries_left } = self;
        let id = asking.asker.id.clone();
        Ok(match engine.first_code(&asking, enrolling, input, ticket).await? {
            Ok(noted) => {
                let step = recovery_step(&id, &noted);
                (State::Noted(Box::new(Noting { asking, noted, tries_left: TRIES })), step)
            }
            Err(_) if tries_left <= 1 => (State::Over, step::denied(&id, true)),
            Err(enrolling) => {
                let wrong =
                    "That is not the code that the app shows for this account. Is the phone's clock right?";
                let step = step::question(&id, vec![step::error(wrong)], FIRST_CODE, false);
                (State::Offered(Box::new(Self { asking, enrolling, tries_left: tries_left - 1 })), step)
            }
        })
    }
}

impl Noting {
    pub(super) fn user(&self) -> &str {
        &self.asking.asker.user
    }

    pub(super) fn id(&self) -> &str {
        &self.asking.asker.id
    }

    /// Takes one of the recovery codes, and makes the factor the user's.
    pub(super) async fn finish(
        self,
        engine: &Engine,
        input: &Input,
        ticket: &Arc<CommitGuard>,
    ) -> Result<Finish, EngineError> {
        let Self { mut asking, noted, tries_left } = self;
        Ok(match engine.finish(&asking, noted, input, ticket).await? {
            Ok(finished) => match engine.activate(&mut asking, &finished, ticket).await? {
                Some(grant) => Finish::Granted(Box::new(grant)),
                None => Finish::Denied,
            },
            Err(_) if tries_left <= 1 => Finish::Denied,
            Err(noted) => {
                let wrong = vec![step::error("That is none of the recovery codes above.")];
                let step = step::question(&asking.asker.id, wrong, ONE_OF_THEM, true);
                Finish::Again(Box::new(Self { asking, noted, tries_left: tries_left - 1 }), step)
            }
        })
    }
}

const FIRST_CODE: &str = "First code from the app: ";
const ONE_OF_THEM: &str = "Note them, then type one of them to finish: ";

/// QR code, setup key and link, and the question for the first code. The key and the link are for clients that
/// garble the blocks: ssh(1) does in a locale without UTF-8.
pub(super) fn first_step(engine: &Engine, asking: &PendingLogin, enrolling: &AwaitingFirstCode) -> Step {
    let otpauth = engine.otpauth(asking, enrolling);
    let (uri, key) = (otpauth.to_uri(), otpauth.secret.to_base32());
    let mut lines = vec![info("This account needs a second factor. Scan this with an authenticator app:")];
    // Names that are too long for a picture in a message, or for a line of PAM, still have their key.
    let picture =
        qr::utf8(&uri, false).ok().filter(|picture| picture.len() <= MOST_PICTURE).unwrap_or_default();
    lines.extend(picture.lines().map(info));
    lines.push(info(format!("Or type this key:  {}", *qr::grouped(&key))));
    let link = format!("Or open this link: {}", &*uri);
    if link.len() < MAX_TEXT {
        lines.push(info(link));
    }
    step::question(&asking.asker.id, lines, FIRST_CODE, false)
}

/// The recovery codes, and the question for one of them: some hosts show lines only before a question, and
/// whoever answers has seen them.
fn recovery_step(id: &str, noted: &AwaitingRecoveryCode) -> Step {
    let mut lines =
        vec![info("Recovery codes, for the day without a phone. Each works once; they are shown only now:")];
    for pair in noted.recovery_codes().chunks(2) {
        let texts: Vec<_> = pair.iter().map(totp_core::recovery::RecoveryCode::reveal).collect();
        let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
        lines.push(info(format!("    {}", texts.join("    "))));
    }
    step::question(id, lines, ONE_OF_THEM, true)
}
