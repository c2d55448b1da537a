//! This host as the authority: its engine, its store, its policy.

use crate::authority::{
    Acknowledge, Authority, BoxFuture, Delivery, EarlierLogin, EnrollmentEnd, FirstCodeQuestion, Granted,
    Interruption, NewKey, Next, Pending, Prompts, Question, Reader, Receipt, RecoveryCodeQuestion, StartedBy,
};
use crate::config::Config;
use crate::engine::{
    AnswerOutcome, BeginOutcome, EarlyRead, Engine, EngineError, Enrollment, FirstCodeOutcome, Grant,
    LoginRequest, PendingLogin, PrefetchedAccount, RecoveryCodeOutcome, Showings,
};
use crate::store::CommitGuard;
use std::sync::Arc;
use std::time::Instant;
use totp_core::code::Input;
use totp_core::lock::SourceClass;
use totp_core::login_enrollment::{AwaitingFirstCode, AwaitingRecoveryCode};
use totp_core::recovery::RecoveryCode;
use totp_core::{Digits, Reason};

/// Answers to each question of an enrollment.
const ENROLLMENT_TRIES: u8 = 3;

/// Decides by the engine of this host, as it is configured at the moment.
#[derive(Debug)]
pub(crate) struct LocalAuthority {
    engine: Arc<Engine>,
}

/// An attempt that waits for an answer, and what it was asked for.
#[derive(Debug)]
pub(crate) struct LocalPending {
    login: Box<PendingLogin>,
    tries_left: u8,
    asked: Asked,
}

/// What was asked for.
#[derive(Debug)]
enum Asked {
    /// A code. The record is read while the person types.
    Code { account: PrefetchedTask, digits: Digits, prompts: Prompts },
    /// The first code of a new factor.
    FirstCode(Box<Enrollment<AwaitingFirstCode>>),
    /// One of the new recovery codes.
    RecoveryCode(Box<Enrollment<AwaitingRecoveryCode>>),
}

type PrefetchedTask = tokio::task::JoinHandle<Result<PrefetchedAccount, EngineError>>;

impl Pending for LocalPending {
    fn user(&self) -> &str {
        &self.login.request.user
    }
}

impl Authority for LocalAuthority {
    type Pending = LocalPending;

    fn config(&self) -> &Config {
        self.engine.config()
    }

    async fn begin(
        &self,
        request: LoginRequest,
        prompts: Prompts,
        guard: &Arc<CommitGuard>,
    ) -> Result<Next<LocalPending>, EngineError> {
        Ok(match Box::pin(self.engine.admit(request, guard)).await? {
            BeginOutcome::Exempt { pass, committed, known } => Next::Exempt { pass, committed, known },
            BeginOutcome::Remembered(grant) => Next::Granted(Box::new(self.granted(grant))),
            BeginOutcome::Enroll(login, enrollment) => self.ask_first_code(login, enrollment),
            BeginOutcome::Ask(login) => {
                let tries = if login.passes_anyway() { 1 } else { prompts.tries };
                self.ask_first(login, Prompts { tries, ..prompts }).await?
            }
        })
    }

    async fn answer(
        &self,
        pending: LocalPending,
        input: Input,
        guard: &Arc<CommitGuard>,
    ) -> Result<Next<LocalPending>, EngineError> {
        let LocalPending { mut login, tries_left, asked } = pending;
        Ok(match asked {
            Asked::Code { account, digits, prompts } => {
                let account = account.await.unwrap_or(Err(EngineError::Busy))?;
                match Box::pin(self.engine.login(&mut login, account, input, guard)).await? {
                    AnswerOutcome::Granted(grant) => Next::Granted(Box::new(self.granted(grant))),
                    AnswerOutcome::Exempt(pass, committed) => {
                        Next::Exempt { pass, committed, known: login.is_known() }
                    }
                    AnswerOutcome::Enroll(enrollment) => self.ask_first_code(login, enrollment),
                    AnswerOutcome::Refused if tries_left <= 1 => Next::Denied { known: login.is_known() },
                    // Nothing may wait from here on: the refusal is recorded, and a guard that is
                    // cancelled now would have it recorded again. So the digits are those of the
                    // first question.
                    AnswerOutcome::Refused => {
                        let account = self.prefetch(&login);
                        let prompts = Prompts { tries: tries_left - 1, asked_before: true, ..prompts };
                        self.ask_code(login, account, digits, prompts)
                    }
                }
            }
            Asked::FirstCode(enrollment) => {
                match Box::pin(self.engine.first_code(&login, *enrollment, &input, guard)).await? {
                    FirstCodeOutcome::Right(enrollment) => ask_recovery_code(login, enrollment),
                    FirstCodeOutcome::Ended(end) => Next::EnrollmentEnded(EnrollmentEnd::Lost(end)),
                    FirstCodeOutcome::Wrong(enrollment, _) if tries_left <= 1 => failed(&enrollment),
                    FirstCodeOutcome::Wrong(enrollment, reason) => {
                        let question = match reason {
                            Reason::Replayed => FirstCodeQuestion::AfterUsed,
                            _ => FirstCodeQuestion::AfterWrong,
                        };
                        let asked = Asked::FirstCode(Box::new(enrollment));
                        ask(Question::FirstCode(question), login, tries_left - 1, asked)
                    }
                }
            }
            Asked::RecoveryCode(enrollment) => {
                match Box::pin(self.engine.finish(&login, *enrollment, &input, guard)).await? {
                    RecoveryCodeOutcome::Right(finished) => {
                        match Box::pin(self.engine.activate(&mut login, finished, guard)).await? {
                            Some(grant) => Next::Granted(Box::new(self.granted(grant))),
                            None => Next::Denied { known: true },
                        }
                    }
                    RecoveryCodeOutcome::Ended(end) => Next::EnrollmentEnded(EnrollmentEnd::Lost(end)),
                    RecoveryCodeOutcome::Wrong(enrollment) if tries_left <= 1 => failed(&enrollment),
                    RecoveryCodeOutcome::Wrong(enrollment) => {
                        let question = Question::RecoveryCode(RecoveryCodeQuestion::AfterWrong);
                        let asked = Asked::RecoveryCode(Box::new(enrollment));
                        ask(question, login, tries_left - 1, asked)
                    }
                }
            }
        })
    }
}

impl LocalAuthority {
    /// Decides by `engine`.
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// The first question for a code. Only a combined line is split by the digits of the user's own
    /// factor, and its question waits for the record. Any other question has the site's number, for
    /// every name alike.
    async fn ask_first(
        &self,
        login: Box<PendingLogin>,
        prompts: Prompts,
    ) -> Result<Next<LocalPending>, EngineError> {
        if !prompts.combined {
            let (account, digits) = (self.prefetch(&login), self.config().totp.params.digits);
            return Ok(self.ask_code(login, account, digits, prompts));
        }
        let account = Box::pin(self.engine.prepare(&login.request.user, EarlyRead::FromStore)).await?;
        let digits = account.digits;
        let account = tokio::spawn(std::future::ready(Ok(account)));
        Ok(self.ask_code(login, account, digits, prompts))
    }

    /// Reads the record while the person types, also for a name that nobody has.
    fn prefetch(&self, login: &PendingLogin) -> PrefetchedTask {
        let (engine, user) = (Arc::clone(&self.engine), login.request.user.clone());
        tokio::spawn(async move { engine.prepare(&user, EarlyRead::MayBeKept).await })
    }

    fn ask_code(
        &self,
        login: Box<PendingLogin>,
        account: PrefetchedTask,
        digits: Digits,
        prompts: Prompts,
    ) -> Next<LocalPending> {
        let question = Question::for_code(self.config(), digits, prompts);
        ask(question, login, prompts.tries, Asked::Code { account, digits, prompts })
    }

    /// Shows the key of a new factor, and asks for its first code.
    fn ask_first_code(
        &self,
        login: Box<PendingLogin>,
        enrollment: Box<Enrollment<AwaitingFirstCode>>,
    ) -> Next<LocalPending> {
        let repeated = enrollment.showings().is_some_and(|showings| showings.is_repeated());
        let earlier =
            if enrollment.failed_before() { EarlierLogin::WrongAnswers } else { EarlierLogin::Interrupted };
        let question = FirstCodeQuestion::First(Box::new(NewKey {
            otpauth: self.engine.otpauth(&login, &enrollment),
            interruption: interruption(&login, &enrollment),
            shown_before: repeated.then_some(earlier),
        }));
        ask(Question::FirstCode(question), login, ENROLLMENT_TRIES, Asked::FirstCode(enrollment))
    }

    /// The engine's grant with its notices, and a receipt that logs it, and records a reply which
    /// never arrived. It is durable already, and the client waits for its reply: so the line comes
    /// after that, or at once where the reply waits for a person who reads.
    fn granted(&self, grant: Grant) -> Granted {
        let Grant { verified, committed, event, notices: due, remembered, needs_answer } = grant;
        let user = event.user.clone();
        let reader = match event.class {
            Some(SourceClass::LocalStranger(_)) => Reader::OtherUser,
            _ => Reader::User,
        };
        let notices = match reader {
            Reader::User => self.engine.login_notices(&user, event.from.service.as_deref(), &due),
            Reader::OtherUser => Vec::new(),
        };
        let acknowledge = needs_answer.then(|| {
            let (engine, user) = (Arc::clone(&self.engine), user.clone());
            Acknowledge(Box::pin(async move { engine.notices_shown(&user, &due).await }))
        });
        if needs_answer {
            event.log();
        }
        let engine = Arc::clone(&self.engine);
        let receipt = Receipt::new(move |delivery| -> BoxFuture {
            if !needs_answer {
                event.log();
            }
            match delivery {
                Delivery::Written => Box::pin(std::future::ready(())),
                Delivery::Undelivered => {
                    Box::pin(async move { engine.undelivered(&event, remembered.as_ref()).await })
                }
            }
        });
        Granted { verified, committed, user, reader, notices, acknowledge, receipt }
    }
}

fn ask(question: Question, login: Box<PendingLogin>, tries_left: u8, asked: Asked) -> Next<LocalPending> {
    Next::Ask(question, LocalPending { login, tries_left, asked })
}

/// Shows the recovery codes, and asks for one of them. Before the answer makes the factor active
/// the user is told when the key was shown to earlier logins: they may have been somebody else's.
fn ask_recovery_code(
    login: Box<PendingLogin>,
    enrollment: Enrollment<AwaitingRecoveryCode>,
) -> Next<LocalPending> {
    let repeated = enrollment.showings().filter(Showings::is_repeated);
    let question = RecoveryCodeQuestion::First {
        codes: enrollment.recovery_codes().iter().map(RecoveryCode::reveal).collect(),
        interruption: interruption(&login, &enrollment),
        repeated: repeated.map(|showings| (login.request.from.to_phrase(), showings)),
    };
    let asked = Asked::RecoveryCode(Box::new(enrollment));
    ask(Question::RecoveryCode(question), login, ENROLLMENT_TRIES, asked)
}

fn interruption<S>(login: &PendingLogin, enrollment: &Enrollment<S>) -> Interruption {
    let time_left = login.request.ends.map(|ends| ends.saturating_duration_since(Instant::now()));
    let started_by = if enrollment.is_by_ticket() { StartedBy::Ticket } else { StartedBy::Rule };
    Interruption { time_left, kept_for: enrollment.kept_for(), started_by }
}

/// The last answer that the attempt allows was wrong.
fn failed<S>(enrollment: &Enrollment<S>) -> Next<LocalPending> {
    enrollment.note_failed();
    Next::EnrollmentEnded(EnrollmentEnd::WrongAnswers { kept_for: enrollment.kept_for() })
}
