//! Sessions of applications: found by a token or a JWT, extended, ended.

use super::{ApiRefusal, Caller, Engine, JWT_SECONDS, Keyring, is_id};
use crate::audit::Event;
use crate::clock;
use crate::engine::api::session_view;
use crate::engine::{EngineError, MOST_RACES, default_commit_deadline};
use crate::fair_queue::Permit;
use crate::seal::{SealError, Sealer};
use crate::store::{
    AccountKey, AccountWrite, ChangeSet, CommitError, SessionKey, SessionRow, SideWrite, Stored,
    StoredSession,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use totp_core::Time;
use totp_core::session::{Minutes, Session};
use totp_core::time::MINUTE;
use zeroize::Zeroizing;

/// How far behind `last_accessed_at` may be: a session that is checked with every page of an application is not
/// written with every page.
const TOUCH: u64 = MINUTE;
/// The claim that holds the session.
const CLAIM: &str = "https://stytch.com/session";

/// By what a session is shown.
#[derive(Clone, Debug)]
pub enum SessionCredential {
    /// `session_token`.
    Token(Zeroizing<String>),
    /// `session_jwt`; one that is over is good as long as its session is.
    Jwt(Zeroizing<String>),
    /// `session_id`, which only ends a session.
    Id(String),
}

/// An open session and what speaks for it.
#[derive(Debug)]
pub struct IssuedSession {
    /// The session.
    pub session: Session,
    /// Its token.
    pub token: Zeroizing<String>,
    /// A fresh JWT of it.
    pub jwt: Zeroizing<String>,
}

/// The row of a session. Its first line vouches for the second: a session lets in.
pub(super) fn row(session: &Session, keys: &Keyring, sealer: &Sealer) -> Result<Box<SessionRow>, SealError> {
    let text = serde_json::to_string(session).map_err(|_| SealError::Damaged)?;
    // The mark vouches for the text as it stands, never for what reading and writing it again would make of it: a
    // number in a claim may come back as its neighbour. Neither of the two lines holds a line break.
    let mark = sealer.mac("session", &text)?;
    Ok(Box::new(SessionRow {
        id: session.id().to_owned(),
        account: session.user().to_owned(),
        token: Keyring::token_hash(&keys.token(session.id())),
        expires: session.expires(),
        record: format!("{mark}\n{text}"),
    }))
}

impl Engine {
    /// The open session that is shown, and its version. Nothing is changed, but that one that is over ends. `permit` is
    /// for reading alone, and ends before that.
    pub(super) async fn shown_session(
        &self,
        shown: &SessionCredential,
        now: Time,
        permit: &mut Option<Permit>,
    ) -> Result<(Session, u64), ApiRefusal> {
        let key = match shown {
            SessionCredential::Token(token) => SessionKey::Token(Keyring::token_hash(token)),
            SessionCredential::Id(id) if is_id("session", id) => SessionKey::Id(id.clone()),
            SessionCredential::Id(_) => return Err(ApiRefusal::InvalidSessionId),
            SessionCredential::Jwt(jwt) => SessionKey::Id(self.session_of_jwt(jwt).await?),
        };
        // Under a clock before the release every session would be open again.
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
            // Once it was found over it stays so, wherever the clock is set; unless it was extended meanwhile. If that
            // cannot be written it is refused all the same.
            drop(permit.take());
            let end = vec![SideWrite::EndAt(stored.row.id, stored.version)];
            if self.commit_apart(end, None, now).await != Err(CommitError::Conflict) {
                return Err(ApiRefusal::SessionNotFound);
            }
        }
        Err(ApiRefusal::Busy)
    }

    /// The session of a row, when somebody with the key wrote it.
    fn verify_session(&self, stored: &StoredSession) -> Option<Session> {
        let (mark, text) = stored.row.record.split_once('\n')?;
        let session: Session = serde_json::from_str(text).ok()?;
        let whole = self.sealer.verify_mac("session", text, mark)
            && session.id() == stored.row.id
            && session.user() == stored.row.account;
        whole.then_some(session)
    }

    /// The id of the session in a JWT of ours, however old it is.
    async fn session_of_jwt(&self, jwt: &str) -> Result<String, ApiRefusal> {
        let claims = match self.keyring().await?.open(jwt) {
            Some(claims) => claims,
            // Another daemon of the same store may have signed it with a key that is new.
            None => self.keyring_anew().await?.open(jwt).ok_or(ApiRefusal::InvalidJwt)?,
        };
        session_in(&claims, &self.project_id()).map(str::to_owned).ok_or(ApiRefusal::InvalidJwt)
    }

    /// Issues the tokens of a session. Clients take turns at the signature, which another thread computes.
    ///
    /// # Errors
    /// [`ApiRefusal::Unavailable`] when no key signs.
    pub async fn issue_tokens(
        &self,
        caller: &Caller,
        session: Session,
        keys: Arc<Keyring>,
        now: Time,
    ) -> Result<IssuedSession, ApiRefusal> {
        let mut claims = session.claims().clone();
        let own = json!({
            "iss": issuer(&self.project_id()),
            "aud": [self.project_id()],
            "sub": session.user(),
            "iat": now.unix(),
            "nbf": now.unix(),
            "exp": now.plus(JWT_SECONDS).min(session.expires()).unix(),
        });
        claims.extend(own.as_object().cloned().unwrap_or_default());
        let words = session_view::Session::from(&session);
        let document = json!({
            "id": session.id(),
            "started_at": words.started_at,
            "last_accessed_at": words.last_accessed_at,
            "expires_at": words.expires_at,
            "attributes": words.attributes,
            "authentication_factors": words.authentication_factors,
            "roles": words.roles,
        });
        claims.insert(CLAIM.to_owned(), document);
        let token = keys.token(session.id());
        let permit = self.api.signing.acquire(&caller.client).await;
        let signed = tokio::task::spawn_blocking(move || {
            let signed = keys.sign(&Value::Object(claims));
            drop(permit);
            signed
        });
        let failed = |_| ApiRefusal::Unavailable("no thread signs tokens".to_owned());
        Ok(IssuedSession { token, session, jwt: signed.await.map_err(failed)?? })
    }

    /// Looks at a session that is shown; with a length its end is set anew, with claims they are merged in.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn check_session(
        &self,
        caller: &Caller,
        shown: &SessionCredential,
        length: Option<Minutes>,
        claims: &Map<String, Value>,
    ) -> Result<(IssuedSession, Stored), ApiRefusal> {
        let keys = self.keyring().await?;
        let changes = length.is_some() || !claims.is_empty();
        for _ in 0..MOST_RACES {
            let now = clock::now();
            // For reading alone: it ends before anything waits for the disk.
            let mut permit = Some(self.api.reading.acquire(&caller.client).await);
            let (mut session, version) = match self.shown_session(shown, now, &mut permit).await {
                Ok(found) => found,
                Err(refusal) => {
                    Self::no_session(caller, &refusal, now);
                    return Err(refusal);
                }
            };
            let user =
                self.load(AccountKey::Id(session.user().to_owned())).await.map_err(EngineError::from)?;
            let user = user.ok_or(ApiRefusal::SessionNotFound)?;
            session.claim(claims.clone())?;
            let stale = now.since(session.accessed()) >= TOUCH;
            session.extend(length, now);
            let mut event = caller.event("session", user.account.display_name(), Some(session.user()), now);
            event.session_id = Some(session.id().to_owned());
            event.outcome = "granted";
            drop(permit);
            if changes || stale {
                let row = row(&session, &keys, &self.sealer).map_err(no_seal)?;
                // That a session was used is no decision to keep; what was changed in it is.
                let kept = changes.then(|| event.row(now));
                let also = vec![SideWrite::Replace(row, version)];
                let change = ChangeSet { write: AccountWrite::Nothing, also, grows: false, event: kept };
                match self.store.commit(change, default_commit_deadline()).await {
                    Ok(_) => {}
                    Err(CommitError::Conflict) => continue,
                    // A session that could be looked at is good, though its use cannot be noted.
                    Err(CommitError::Full(_)) if !changes => {}
                    Err(error) => return Err(EngineError::from(error).into()),
                }
            }
            event.log();
            return Ok((self.issue_tokens(caller, session, keys, now).await?, user));
        }
        Err(ApiRefusal::Busy)
    }

    /// The open sessions of a user.
    ///
    /// # Errors
    /// [`ApiRefusal`].
    pub async fn sessions_of(&self, caller: &Caller, user: &str) -> Result<Vec<Session>, ApiRefusal> {
        let id = self.user_in_turn(caller, user).await?.account.id;
        let permit = self.api.reading.acquire(&caller.client).await;
        let rows = self.store.sessions_of(id).await.map_err(EngineError::from)?;
        drop(permit);
        let now = clock::now();
        let open = |session: &Session| session.is_open(now) && now >= self.rules.not_before;
        Ok(rows.iter().filter_map(|stored| self.verify_session(stored)).filter(open).collect())
    }

    /// Ends a session, with every token of it.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn end_session(&self, caller: &Caller, shown: &SessionCredential) -> Result<(), ApiRefusal> {
        let now = clock::now();
        let (session, _) = match self.shown_session(shown, now, &mut None).await {
            Ok(found) => found,
            Err(refusal) => {
                Self::no_session(caller, &refusal, now);
                return Err(refusal);
            }
        };
        let user = self.load(AccountKey::Id(session.user().to_owned())).await.map_err(EngineError::from)?;
        let label = user.as_ref().map_or(session.user(), |stored| stored.account.display_name());
        let mut event = caller.event("session", label, Some(session.user()), now);
        event.session_id = Some(session.id().to_owned());
        event.outcome = "ended";
        let ended = self.commit_apart(vec![SideWrite::End(session.id().to_owned())], Some(&event), now).await;
        match ended {
            // Somebody else has ended it meanwhile.
            Err(CommitError::Conflict) => Err(ApiRefusal::SessionNotFound),
            other => Ok(other.map_err(EngineError::from)?),
        }
    }

    fn no_session(caller: &Caller, refusal: &ApiRefusal, now: Time) {
        let mut event: Event = caller.event("session", "", None, now);
        event.outcome = "refused";
        event.reason = Some(match refusal {
            ApiRefusal::SessionNotFound | ApiRefusal::InvalidSessionId => "no-session",
            ApiRefusal::InvalidJwt => "bad-token",
            _ => "store-unavailable",
        });
        event.log();
    }
}

fn issuer(project_id: &str) -> String {
    format!("stytch.com/{project_id}")
}

/// The session that these claims are of, when they are claims of this project.
fn session_in<'a>(claims: &'a Value, project_id: &str) -> Option<&'a str> {
    let ours = claims["iss"] == issuer(project_id) && claims["aud"] == json!([project_id]);
    claims[CLAIM]["id"].as_str().filter(|_| ours)
}

pub(super) fn no_seal(_: SealError) -> ApiRefusal {
    ApiRefusal::Unavailable("the system's random source failed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_another_project_are_no_sessions_however_they_are_signed() {
        let claims = |iss: &str, aud: Value| json!({ "iss": iss, "aud": aud, CLAIM: { "id": "session-a" } });
        let of = |claims: &Value| session_in(claims, "project-a").map(str::to_owned);
        let right = claims("stytch.com/project-a", json!(["project-a"]));
        assert_eq!(of(&right).as_deref(), Some("session-a"));
        for (iss, aud) in [
            ("stytch.com/project-b", json!(["project-a"])),
            ("project-a", json!(["project-a"])),
            ("stytch.com/project-a", json!(["project-b"])),
            ("stytch.com/project-a", json!(["project-b", "project-a"])),
            ("stytch.com/project-a", json!("project-b")),
            ("stytch.com/project-a", json!([])),
            ("stytch.com/project-a", Value::Null),
        ] {
            assert_eq!(of(&claims(iss, aud.clone())), None, "{iss} {aud}");
        }
        for id in [json!(null), json!(7), json!({})] {
            let mut other = right.clone();
            other[CLAIM]["id"] = id;
            assert_eq!(of(&other), None);
        }
        for claims in [json!(null), json!([]), json!("text"), json!({})] {
            assert_eq!(of(&claims), None);
        }
    }
}
