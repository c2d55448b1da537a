//! Sessions of applications: found by a token or a JWT, extended, ended.

use super::{Caller, Engine, JWT_SECONDS, Keyring, Refusal, is_id};
use crate::audit::Event;
use crate::clock;
use crate::engine::api::session_view;
use crate::engine::{Failure, MOST_RACES, patience};
use crate::fair_queue::Permit;
use crate::seal::{SealError, Sealer};
use crate::store::{Also, Change, CommitError, Key, SessionKey, SessionRow, Stored, StoredSession, Write};
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
pub enum Presented {
    /// `session_token`.
    Token(Zeroizing<String>),
    /// `session_jwt`; one that is over is good as long as its session is.
    Jwt(Zeroizing<String>),
    /// `session_id`, which only ends a session.
    Id(String),
}

/// An open session and what speaks for it.
#[derive(Debug)]
pub struct OpenSession {
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
    let mark = sealer.vouch("session", &text)?;
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
        shown: &Presented,
        now: Time,
        permit: &mut Option<Permit>,
    ) -> Result<(Session, u64), Refusal> {
        let key = match shown {
            Presented::Token(token) => SessionKey::Token(Keyring::token_hash(token)),
            Presented::Id(id) if is_id("session", id) => SessionKey::Id(id.clone()),
            Presented::Id(_) => return Err(Refusal::InvalidSessionId),
            Presented::Jwt(jwt) => SessionKey::Id(self.session_of_jwt(jwt).await?),
        };
        // Under a clock before the release every session would be open again.
        if now < self.rules.not_before {
            return Err(Refusal::SessionNotFound);
        }
        for _ in 0..MOST_RACES {
            let stored = self.store.session(key.clone()).await.map_err(Failure::from)?;
            let stored = stored.ok_or(Refusal::SessionNotFound)?;
            let session = self.whole(&stored).ok_or(Refusal::SessionNotFound)?;
            if session.is_open(now) {
                return Ok((session, stored.version));
            }
            // Once it was found over it stays so, wherever the clock is set; unless it was extended meanwhile. If that
            // cannot be written it is refused all the same.
            drop(permit.take());
            let end = vec![Also::EndAt(stored.row.id, stored.version)];
            if self.commit_apart(end, None, now).await != Err(CommitError::Conflict) {
                return Err(Refusal::SessionNotFound);
            }
        }
        Err(Refusal::Busy)
    }

    /// The session of a row, when somebody with the key wrote it.
    fn whole(&self, stored: &StoredSession) -> Option<Session> {
        let (mark, text) = stored.row.record.split_once('\n')?;
        let session: Session = serde_json::from_str(text).ok()?;
        let whole = self.sealer.vouches("session", text, mark)
            && session.id() == stored.row.id
            && session.user() == stored.row.account;
        whole.then_some(session)
    }

    /// The id of the session in a JWT of ours, however old it is.
    async fn session_of_jwt(&self, jwt: &str) -> Result<String, Refusal> {
        let claims = match self.keyring().await?.open(jwt) {
            Some(claims) => claims,
            // Another daemon of the same store may have signed it with a key that is new.
            None => self.keyring_anew().await?.open(jwt).ok_or(Refusal::InvalidJwt)?,
        };
        session_in(&claims, &self.project_id()).map(str::to_owned).ok_or(Refusal::InvalidJwt)
    }

    /// Issues the tokens of a session. Clients take turns at the signature, which another thread computes.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] when no key signs.
    pub async fn issue_tokens(
        &self,
        caller: &Caller,
        session: Session,
        keys: Arc<Keyring>,
        now: Time,
    ) -> Result<OpenSession, Refusal> {
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
        let failed = |_| Refusal::Unavailable("no thread signs tokens".to_owned());
        Ok(OpenSession { token, session, jwt: signed.await.map_err(failed)?? })
    }

    /// Looks at a session that is shown; with a length its end is set anew, with claims they are merged in.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was changed then.
    pub async fn check_session(
        &self,
        caller: &Caller,
        shown: &Presented,
        length: Option<Minutes>,
        claims: &Map<String, Value>,
    ) -> Result<(OpenSession, Stored), Refusal> {
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
            let user = self.load(Key::Id(session.user().to_owned())).await.map_err(Failure::from)?;
            let user = user.ok_or(Refusal::SessionNotFound)?;
            session.claim(claims.clone())?;
            let stale = now.since(session.accessed()) >= TOUCH;
            session.extend(length, now);
            let mut event = caller.event("session", user.account.label(), Some(session.user()), now);
            event.session_id = Some(session.id().to_owned());
            event.outcome = "granted";
            drop(permit);
            if changes || stale {
                let row = row(&session, &keys, &self.sealer).map_err(no_seal)?;
                // That a session was used is no decision to keep; what was changed in it is.
                let kept = changes.then(|| event.row(now));
                let also = vec![Also::Replace(row, version)];
                let change = Change { write: Write::Nothing, also, grows: false, event: kept };
                match self.store.commit(change, patience()).await {
                    Ok(_) => {}
                    Err(CommitError::Conflict) => continue,
                    // A session that could be looked at is good, though its use cannot be noted.
                    Err(CommitError::Full(_)) if !changes => {}
                    Err(error) => return Err(Failure::from(error).into()),
                }
            }
            event.log();
            return Ok((self.issue_tokens(caller, session, keys, now).await?, user));
        }
        Err(Refusal::Busy)
    }

    /// The open sessions of a user.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn sessions_of(&self, caller: &Caller, user: &str) -> Result<Vec<Session>, Refusal> {
        let id = self.user_in_turn(caller, user).await?.account.id;
        let permit = self.api.reading.acquire(&caller.client).await;
        let rows = self.store.sessions_of(id).await.map_err(Failure::from)?;
        drop(permit);
        let now = clock::now();
        let open = |session: &Session| session.is_open(now) && now >= self.rules.not_before;
        Ok(rows.iter().filter_map(|stored| self.whole(stored)).filter(open).collect())
    }

    /// Ends a session, with every token of it.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was changed then.
    pub async fn end_session(&self, caller: &Caller, shown: &Presented) -> Result<(), Refusal> {
        let now = clock::now();
        let (session, _) = match self.shown_session(shown, now, &mut None).await {
            Ok(found) => found,
            Err(refusal) => {
                Self::no_session(caller, &refusal, now);
                return Err(refusal);
            }
        };
        let user = self.load(Key::Id(session.user().to_owned())).await.map_err(Failure::from)?;
        let label = user.as_ref().map_or(session.user(), |stored| stored.account.label());
        let mut event = caller.event("session", label, Some(session.user()), now);
        event.session_id = Some(session.id().to_owned());
        event.outcome = "ended";
        let ended = self.commit_apart(vec![Also::End(session.id().to_owned())], Some(&event), now).await;
        match ended {
            // Somebody else has ended it meanwhile.
            Err(CommitError::Conflict) => Err(Refusal::SessionNotFound),
            other => Ok(other.map_err(Failure::from)?),
        }
    }

    fn no_session(caller: &Caller, refusal: &Refusal, now: Time) {
        let mut event: Event = caller.event("session", "", None, now);
        event.outcome = "refused";
        event.reason = Some(match refusal {
            Refusal::SessionNotFound | Refusal::InvalidSessionId => "no-session",
            Refusal::InvalidJwt => "bad-token",
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

pub(super) fn no_seal(_: SealError) -> Refusal {
    Refusal::Unavailable("the system's random source failed".to_owned())
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
