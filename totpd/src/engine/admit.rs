//! Whether an attempt is asked for a code at all: what the policy makes of it.
//!
//! ```text
//! Asker ─▶ groups (NSS) ─▶ Policy::decide ─┬─ Pass ───▶ Exempt          exempt, off, monitor
//!                                          ├─ Ask ────▶ Remembered | Ask  an earlier grant | a question
//!                                          ├─ Enroll ─▶ Enroll | Ask      nobody has a factor | somebody has
//!                                          └─ Deny ───▶ Ask               and whatever is typed is refused
//! ```

use super::{Engine, Failure, MOST_RACES};
use crate::audit::{Event, From};
use crate::clock;
use crate::entropy::Kernel;
use crate::store::{Change, CommitError, Committed, Ticket, Write};
use std::sync::Arc;
use totp_core::enrolling::Enrolling;
use totp_core::judge::forecast;
use totp_core::news::News;
use totp_core::policy::{Action, Decision, Facts, FirstFactor, Mode, Pass, Place, Ruling};
use totp_core::remember::{Key, Remember, RememberBy, Session, recall};
use totp_core::{Origin, Reason, Time, UserName};

use super::login::Grant;

/// Who asks, as far as it is believed.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Whose factor is asked for; it may be nobody's name.
    pub user: String,
    /// Where it comes from, for the lock.
    pub origin: Origin,
    /// Where it comes from, for the audit.
    pub from: From,
    /// Names the attempt.
    pub id: String,
    /// What the policy looks at.
    pub facts: Facts,
    /// The audit session of a root peer.
    pub audit_session: Option<u32>,
    /// Nothing is shown to the person.
    pub silent: bool,
    /// Lines can be shown and several questions be asked.
    pub converses: bool,
}

/// An attempt that is asked for a code.
#[derive(Debug)]
pub struct Asking {
    /// Who asks.
    pub asker: Asker,
    /// With a first factor it would not have been asked.
    pub(super) unproven: bool,
    /// Whatever is typed is refused.
    pub(super) denied: bool,
    /// It passes whatever is typed.
    pub(super) pass: Option<Pass>,
    /// A grant is remembered so.
    pub(super) remember: Option<(Key, u64)>,
    /// What every event of this attempt has in common.
    event: Event,
}

impl Asking {
    /// An event of this attempt.
    pub(super) fn event_at(&self, now: Time) -> Event {
        Event { time: clock::rfc3339(now), ..self.event.clone() }
    }

    /// Whether it is asked once and then passes.
    pub fn passes_anyway(&self) -> bool {
        self.pass.is_some()
    }
}

/// What becomes of an attempt at its beginning.
#[derive(Debug)]
pub enum Admission {
    /// It is asked for a code.
    Ask(Box<Asking>),
    /// It passes without one.
    Exempt(Pass, Committed),
    /// An earlier grant lets in.
    Remembered(Grant),
    /// A factor is offered.
    Enroll(Box<Asking>, Box<Enrolling>),
}

impl Engine {
    /// Decides whether to ask. What lets in without a question is on stable storage before this returns.
    ///
    /// # Errors
    /// [`Failure`]: nothing was decided.
    pub async fn admit(&self, asker: Asker, ticket: &Arc<Ticket>) -> Result<Admission, Failure> {
        let policy = &self.config.policy;
        let in_question = policy.groups_in_question(&asker.facts);
        let groups = if in_question.is_empty() {
            in_question
        } else {
            self.users.groups_among(&asker.facts.user, &in_question).await?
        };
        let now = clock::now();
        let decision = policy.decide(&asker.facts, &groups, now, self.rules.not_before);
        let mut asking = self.asking(asker, &decision, now);
        match decision.ruling {
            Ruling::Pass(pass) => self.pass(&asking, pass, decision.action, ticket).await,
            Ruling::Deny => {
                asking.denied = true;
                Ok(Admission::Ask(Box::new(asking)))
            }
            Ruling::AskAndPass(pass) => {
                asking.denied = decision.action == Action::Deny;
                asking.pass = Some(pass);
                Ok(Admission::Ask(Box::new(asking)))
            }
            Ruling::Ask { unproven } => {
                asking.unproven = unproven;
                self.recall_or_ask(asking, decision.remember, ticket).await
            }
            Ruling::Enroll(proof) => match self.offer(&asking, &proof, ticket).await? {
                Some(enrolling) => Ok(Admission::Enroll(Box::new(asking), Box::new(enrolling))),
                None => self.recall_or_ask(asking, decision.remember, ticket).await,
            },
        }
    }

    pub(super) fn asking(&self, mut asker: Asker, decision: &Decision, now: Time) -> Asking {
        let target = (decision.subject != asker.user).then(|| asker.user.clone());
        if target.is_some() {
            // The caller himself types his own code: a local root program says who he is.
            asker.user.clone_from(&decision.subject);
            asker.origin = Origin::Local;
        }
        let mut event = Event::new("login", &asker.user, now, asker.from.clone());
        event.target = target.as_deref().map(crate::audit::field);
        event.id = Some(asker.id.clone());
        event.rule = self.config.rule_word(decision.rule);
        Asking { asker, unproven: false, denied: false, pass: None, remember: None, event }
    }

    async fn uid_of(&self, user: &str) -> Result<Option<u32>, Failure> {
        match UserName::parse(user) {
            Ok(name) => Ok(self.users.uid(&name).await?),
            Err(_) => Ok(None),
        }
    }

    /// Lets pass; under `monitor` with a word on what enforcement would have done.
    async fn pass(
        &self,
        asking: &Asking,
        pass: Pass,
        action: Action,
        ticket: &Arc<Ticket>,
    ) -> Result<Admission, Failure> {
        let now = clock::now();
        let mut event = asking.event_at(now);
        let mut would = "exempt";
        if pass.mode() == Mode::Monitor {
            (would, event.reason) = self.would(asking, action, now).await?;
        }
        event.passes(&pass, would);
        let change = Change { write: Write::Nothing, grows: false, event: event.row(now) };
        let committed = self.store.commit(change, Arc::clone(ticket)).await?;
        event.log();
        Ok(Admission::Exempt(pass, committed))
    }

    /// What enforcement would do now, and why it would refuse.
    pub(super) async fn would(
        &self,
        asking: &Asking,
        action: Action,
        now: Time,
    ) -> Result<(&'static str, Option<&'static str>), Failure> {
        if action == Action::Deny {
            return Ok(("refused", Some(Reason::Denied.word())));
        }
        let asker = &asking.asker;
        let Some(uid) = self.uid_of(&asker.user).await? else { return Ok(("refused", Some("unknown-user"))) };
        let stored = match UserName::parse(&asker.user) {
            Ok(name) => self.load(&name).await?,
            Err(_) => None,
        };
        if stored.as_ref().is_some_and(|s| s.damaged) {
            return Ok(("refused", Some("damaged")));
        }
        let account = stored.map(|s| s.account);
        if account.as_ref().is_some_and(|a| a.uid != uid && (a.active.is_some() || a.pending.is_some())) {
            return Ok(("refused", Some("uid-changed")));
        }
        Ok(match forecast(account.as_ref(), &asker.origin, now, &self.rules) {
            Ok(()) => ("asked", None),
            Err(Reason::NotEnrolled | Reason::Expired) if action == Action::Enroll && asker.converses => {
                ("enrolled", None)
            }
            Err(reason) => ("refused", Some(reason.word())),
        })
    }

    /// An earlier grant lets in, or a code is asked for and its grant remembered.
    async fn recall_or_ask(
        &self,
        mut asking: Asking,
        rule: Option<Remember>,
        ticket: &Arc<Ticket>,
    ) -> Result<Admission, Failure> {
        if let Some(rule) = rule
            && let Some(key) = self.key(&asking.asker, &rule).await?
        {
            if let Some(grant) = self.recalled(&asking, &rule, &key, ticket).await? {
                return Ok(Admission::Remembered(grant));
            }
            asking.remember = Some((key, rule.length));
        }
        Ok(Admission::Ask(Box::new(asking)))
    }

    /// By what a grant of this attempt is recognised later.
    async fn key(&self, asker: &Asker, rule: &Remember) -> Result<Option<Key>, Failure> {
        let Some(uid) = self.uid_of(&asker.user).await? else { return Ok(None) };
        let service = asker.facts.service.as_deref().unwrap_or_default();
        Ok(match rule.by {
            RememberBy::Session => Key::session(&Session {
                uid,
                user: &asker.facts.user,
                ruser: asker.facts.ruser.as_deref().unwrap_or_default(),
                service,
                source: asker.from.rhost.as_deref().unwrap_or_default(),
                boot_id: &self.boot_id,
                audit_session: asker.audit_session,
            }),
            RememberBy::SshKey => {
                let Place::Address(address) = asker.facts.place else { return Ok(None) };
                let keys: Vec<&str> =
                    asker.facts.ssh.iter().filter_map(|s| s.fingerprint.as_deref()).collect();
                Key::ssh_key(uid, service, &address.to_canonical().to_string(), &keys)
            }
        })
    }

    /// The grant that is remembered under `key`, recorded while the record is still the one that says so.
    async fn recalled(
        &self,
        asking: &Asking,
        rule: &Remember,
        key: &Key,
        ticket: &Arc<Ticket>,
    ) -> Result<Option<Grant>, Failure> {
        let Ok(name) = UserName::parse(&asking.asker.user) else { return Ok(None) };
        let uid = self.users.uid(&name).await?;
        for _ in 0..MOST_RACES {
            let Some(stored) = self.load(&name).await? else { return Ok(None) };
            if stored.damaged || uid != Some(stored.account.uid) {
                return Ok(None);
            }
            // Opened, since only then it is known that nobody without the key wrote it.
            let Some((account, version)) = self.open(stored) else { return Ok(None) };
            let now = clock::now();
            if now < self.rules.not_before {
                return Ok(None);
            }
            let Some(verified) = recall(&account, key, now, rule) else { return Ok(None) };
            let mut event = asking.event_at(now);
            event.outcome = "granted";
            event.totp_id = Some(verified.totp_id().to_owned());
            let event = event.with_how(verified.how());
            let write = Write::Unchanged(account.id, version);
            match self
                .store
                .commit(Change { write, grows: false, event: event.row(now) }, Arc::clone(ticket))
                .await
            {
                Ok(committed) => {
                    event.log();
                    let news = News::default();
                    return Ok(Some(Grant { verified, committed, event: Box::new(event), news }));
                }
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Busy)
    }

    /// A factor for who has none, knows his first one, and can be shown lines. That it was offered is recorded.
    async fn offer(
        &self,
        asking: &Asking,
        proof: &FirstFactor,
        ticket: &Arc<Ticket>,
    ) -> Result<Option<Enrolling>, Failure> {
        let asker = &asking.asker;
        let (Ok(name), true) = (UserName::parse(&asker.user), asker.converses) else { return Ok(None) };
        let now = clock::now();
        let stored = self.load(&name).await?;
        let has_factor = stored.is_some_and(|mut stored| {
            stored.account.settle(now);
            stored.damaged || stored.account.active.is_some() || stored.account.pending.is_some()
        });
        if has_factor || now < self.rules.not_before || self.users.uid(&name).await?.is_none() {
            return Ok(None);
        }
        let Ok(enrolling) = Enrolling::new(proof, self.config.totp.params, now, &mut Kernel) else {
            return Err(Failure::Busy);
        };
        let mut event = asking.event_at(now);
        event.outcome = "offered";
        event.first_factor = Some(proof.evidence().word());
        let change = Change { write: Write::Nothing, grows: false, event: event.row(now) };
        self.store.commit(change, Arc::clone(ticket)).await?;
        event.log();
        Ok(Some(enrolling))
    }
}
