//! Sessions of applications: found by a token or a JWT, checked, extended and ended.

use super::{ApiRefusal, Caller, Engine, IssuedSession, Keyring, UserView, is_id};
use crate::audit::{EventKind, EventOutcome, UnjudgedReason};
use crate::clock;
use crate::engine::{EngineError, MOST_RACES, default_commit_deadline};
use crate::fair_queue::Permit;
use crate::seal::{SealError, Sealer};
use crate::store::{
    AccountKey, AccountWrite, ChangeSet, CommitError, SessionKey, SessionRow, SideWrite, SpaceUse,
    StoredSession,
};
use serde_json::{Map, Value};
use totp_core::Time;
use totp_core::session::{Minutes, Session};
use totp_core::time::MINUTE;
use zeroize::Zeroizing;

/// How old `last_accessed_at` may get before a check writes it, in seconds: an application may
/// check a session with every page that it serves.
const ACCESS_RESOLUTION: u64 = MINUTE;

/// What identifies a session in a request.
#[derive(Clone, Debug)]
pub enum SessionCredential {
    /// `session_token`.
    Token(Zeroizing<String>),
    /// `session_jwt`. An expired JWT is accepted as long as its session is open.
    Jwt(Zeroizing<String>),
    /// `session_id`, which can only end a session.
    Id(String),
}

/// The row of a session. Line 1 of its record is a MAC over line 2, since a session grants access.
pub(super) fn row(session: &Session, keys: &Keyring, sealer: &Sealer) -> Result<Box<SessionRow>, SealError> {
    let text = serde_json::to_string(session).map_err(|_| SealError::Damaged)?;
    // The MAC covers the text as it is stored. Parsing and writing it again could change a number
    // in a claim. Neither line contains a line break.
    let mac = sealer.mac("session", &text)?;
    Ok(Box::new(SessionRow {
        id: session.id().to_owned(),
        account: session.user().to_owned(),
        token: Keyring::token_hash(&keys.token(session.id())),
        expires: session.expires(),
        record: format!("{mac}\n{text}"),
    }))
}

impl Engine {
    /// Finds an open session and its version. An expired session is deleted; `permit`, which is for
    /// reads, is released before that.
    pub(super) async fn open_session(
        &self,
        credential: &SessionCredential,
        now: Time,
        permit: &mut Option<Permit>,
    ) -> Result<(Session, u64), ApiRefusal> {
        let key = match credential {
            SessionCredential::Token(token) => SessionKey::Token(Keyring::token_hash(token)),
            SessionCredential::Id(id) if is_id("session", id) => SessionKey::Id(id.clone()),
            SessionCredential::Id(_) => return Err(ApiRefusal::InvalidSessionId),
            SessionCredential::Jwt(jwt) => SessionKey::Id(self.session_of_jwt(jwt).await?),
        };
        // Under a clock that is behind the release date, expired sessions would be open again.
        if now < self.rules.not_before {
            return Err(ApiRefusal::SessionNotFound);
        }
        for _ in 0..MOST_RACES {
            let stored = self.store.session(key.clone()).await.map_err(EngineError::from)?;
            let stored = stored.ok_or(ApiRefusal::SessionNotFound)?;
            let session = self.verify_session(&stored).ok_or(ApiRefusal::SessionNotFound)?;
            if session.is_open(now) {
                return Ok((session, stored.version));
            }
            // Deleted, so that it stays expired if the clock is set back. A conflict means that
            // another request has extended it. The session is refused also if the delete fails.
            drop(permit.take());
            let end = vec![SideWrite::DeleteSessionAt(stored.row.id, stored.version)];
            if self.commit_side_writes(end, None, now).await != Err(CommitError::Conflict) {
                return Err(ApiRefusal::SessionNotFound);
            }
        }
        Err(ApiRefusal::Busy)
    }

    /// The session of a row, if its MAC is right.
    fn verify_session(&self, stored: &StoredSession) -> Option<Session> {
        let (mac, text) = stored.row.record.split_once('\n')?;
        let session: Session = serde_json::from_str(text).ok()?;
        let is_valid = self.sealer.verify_mac("session", text, mac)
            && session.id() == stored.row.id
            && session.user() == stored.row.account;
        is_valid.then_some(session)
    }

    /// Checks a session, sets its end if `length` is given, and merges `claims` into its claims.
    /// Returns it with new tokens, and its user.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn check_session(
        &self,
        caller: &Caller,
        credential: &SessionCredential,
        length: Option<Minutes>,
        claims: &Map<String, Value>,
    ) -> Result<(IssuedSession, UserView), ApiRefusal> {
        let keys = self.keyring().await?;
        let changes = length.is_some() || !claims.is_empty();
        for _ in 0..MOST_RACES {
            let now = clock::now();
            // For reads, so it is released before the commit.
            let mut permit = Some(self.api.reading.acquire(&caller.client).await);
            let (mut session, version) = match self.open_session(credential, now, &mut permit).await {
                Ok(found) => found,
                Err(refusal) => {
                    Self::log_refused_session(caller, &refusal, now);
                    return Err(refusal);
                }
            };
            let user =
                self.load(AccountKey::Id(session.user().to_owned())).await.map_err(EngineError::from)?;
            let user = user.ok_or(ApiRefusal::SessionNotFound)?;
            session.merge_claims(claims.clone())?;
            let is_stale = now.since(session.accessed()) >= ACCESS_RESOLUTION;
            session.extend(length, now);
            let mut event =
                caller.event(EventKind::Session, user.account.display_name(), Some(session.user()), now);
            event.session_id = Some(session.id().to_owned());
            event.outcome = EventOutcome::Granted;
            drop(permit);
            if changes || is_stale {
                let row = row(&session, &keys, &self.sealer)?;
                // A change of a session is recorded in the history, and its use is not.
                let kept = changes.then(|| event.row(now));
                let side_writes = vec![SideWrite::UpdateSession(row, version)];
                let change = ChangeSet {
                    write: AccountWrite::Nothing,
                    side_writes,
                    space: SpaceUse::Essential,
                    event: kept,
                };
                match self.store.commit(change, default_commit_deadline()).await {
                    Ok(_) => {}
                    Err(CommitError::Conflict) => continue,
                    // The session is good though its use cannot be written.
                    Err(CommitError::StorageFull(_)) if !changes => {}
                    Err(error) => return Err(EngineError::from(error).into()),
                }
            }
            event.log();
            let issued = self.issue_tokens(caller, session, keys, now).await?;
            return Ok((issued, UserView::new(caller, user)));
        }
        Err(ApiRefusal::Busy)
    }

    /// Lists the open sessions of a user.
    ///
    /// # Errors
    /// [`ApiRefusal`].
    pub async fn sessions_of(&self, caller: &Caller, user: &str) -> Result<Vec<Session>, ApiRefusal> {
        let id = self.load_user_fairly(caller, user).await?.account.id;
        let permit = self.api.reading.acquire(&caller.client).await;
        let rows = self.store.sessions_of(id).await.map_err(EngineError::from)?;
        drop(permit);
        let now = clock::now();
        let is_open = |session: &Session| session.is_open(now) && now >= self.rules.not_before;
        Ok(rows.iter().filter_map(|stored| self.verify_session(stored)).filter(is_open).collect())
    }

    /// Ends a session and all its tokens.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn end_session(
        &self,
        caller: &Caller,
        credential: &SessionCredential,
    ) -> Result<(), ApiRefusal> {
        let now = clock::now();
        let (session, _) = match self.open_session(credential, now, &mut None).await {
            Ok(found) => found,
            Err(refusal) => {
                Self::log_refused_session(caller, &refusal, now);
                return Err(refusal);
            }
        };
        let user = self.load(AccountKey::Id(session.user().to_owned())).await.map_err(EngineError::from)?;
        let name = user.as_ref().map_or(session.user(), |stored| stored.account.display_name());
        let mut event = caller.event(EventKind::Session, name, Some(session.user()), now);
        event.session_id = Some(session.id().to_owned());
        event.outcome = EventOutcome::Ended;
        let ended = self
            .commit_side_writes(vec![SideWrite::DeleteSession(session.id().to_owned())], Some(&event), now)
            .await;
        match ended {
            // Another request has ended it.
            Err(CommitError::Conflict) => Err(ApiRefusal::SessionNotFound),
            other => Ok(other.map_err(EngineError::from)?),
        }
    }

    fn log_refused_session(caller: &Caller, refusal: &ApiRefusal, now: Time) {
        let reason = match refusal {
            ApiRefusal::SessionNotFound | ApiRefusal::InvalidSessionId => UnjudgedReason::NoSession,
            ApiRefusal::InvalidJwt => UnjudgedReason::BadToken,
            _ => UnjudgedReason::StoreUnavailable,
        };
        caller.event(EventKind::Session, "", None, now).refused(reason).log();
    }
}
