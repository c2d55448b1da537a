//! The keys of sessions: one that tokens are derived with, and RSA keys that sign JWTs (RFC 7515, RFC 7518
//! section 3.3), of which the newest signs and the others are still known for a while.
//!
//! A session's token is an HMAC over the session's id. So nothing but its hash is stored, and it can be told again
//! to whoever shows a JWT of the session.

use super::{ApiRefusal, Engine};
use crate::audit::{Event, EventSource};
use crate::clock;
use crate::engine::EngineError;
use crate::os_random::Kernel;
use crate::seal::Sealer;
use crate::store::{KeyRow, SideWrite};
use crate::sync::ignore_poison;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};
use std::sync::Arc;
use totp_core::account::new_id;
use totp_core::time::DAY;
use totp_core::{Time, random};
use zeroize::Zeroizing;

/// How long a JWT is good for by itself, in seconds.
pub const JWT_SECONDS: u64 = 300;
/// A key signs for so long.
const SIGNS: u64 = 180 * DAY;
/// And is known for so long after its successor was made.
const KNOWN: u64 = 30 * DAY;
/// Bytes of a token: 44 characters.
const TOKEN: usize = 33;
const TOKEN_KEY: &str = "token-key";
const JWK: &str = "jwk";

/// Every key there is.
pub struct Keyring {
    token_key: Zeroizing<[u8; 32]>,
    /// The oldest first.
    signers: Vec<Signer>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} signers)", self.signers.len())
    }
}

struct Signer {
    kid: String,
    created: Time,
    pair: KeyPair,
}

/// The public half of a key that signs JWTs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Its name.
    pub kid: String,
    /// Modulus, base64url.
    pub n: String,
    /// Exponent, base64url.
    pub e: String,
}

impl Keyring {
    /// The token of a session.
    pub fn token(&self, session_id: &str) -> Zeroizing<String> {
        // Any key length is allowed (RFC 2104 section 2): this cannot fail.
        let mut mac = Hmac::<Sha512>::new_from_slice(&*self.token_key)
            .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha512>>::default()));
        mac.update(session_id.as_bytes());
        let bytes = Zeroizing::new(<[u8; 64]>::from(mac.finalize().into_bytes()));
        let (token, _) = bytes.split_at(TOKEN);
        Zeroizing::new(BASE64URL_NOPAD.encode(token))
    }

    /// What is stored of a token.
    pub fn token_hash(token: &str) -> String {
        HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
    }

    /// A compact JWS with these claims (RFC 7515 section 7.1).
    ///
    /// # Errors
    /// [`ApiRefusal::Unavailable`] when there is no key, or it does not sign.
    pub fn sign(&self, claims: &Value) -> Result<Zeroizing<String>, ApiRefusal> {
        let failed = || ApiRefusal::Unavailable("no key signs tokens".to_owned());
        let signer = self.signers.last().ok_or_else(failed)?;
        let header = json!({ "alg": "RS256", "kid": signer.kid, "typ": "JWT" });
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0; signer.pair.public_modulus_len()];
        signer
            .pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| failed())?;
        Ok(Zeroizing::new(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))))
    }

    /// The claims of a JWS that one of our keys signed, whatever they say; `None` for anything else. No other
    /// algorithm than RS256 is known here, whatever the header asks for.
    pub fn open(&self, jwt: &str) -> Option<Value> {
        let (signed, signature) = jwt.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok();
        let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
        if header.get("alg")? != "RS256" || header.get("crit").is_some() {
            return None;
        }
        let kid = header.get("kid")?.as_str()?;
        let signer = self.signers.iter().find(|signer| signer.kid == kid)?;
        let public = signer.pair.public_key();
        let components = PublicKeyComponents {
            n: public.modulus().big_endian_without_leading_zero(),
            e: public.exponent().big_endian_without_leading_zero(),
        };
        components.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decode(signature)?).ok()?;
        serde_json::from_slice(&decode(claims)?).ok()
    }

    /// The public halves, the newest first.
    pub fn public(&self) -> Vec<PublicKey> {
        let key = |signer: &Signer| {
            let public = signer.pair.public_key();
            PublicKey {
                kid: signer.kid.clone(),
                n: BASE64URL_NOPAD.encode(public.modulus().big_endian_without_leading_zero()),
                e: BASE64URL_NOPAD.encode(public.exponent().big_endian_without_leading_zero()),
            }
        };
        self.signers.iter().rev().map(key).collect()
    }

    /// Reads what is stored; `None` when a part of it is missing.
    fn read(rows: &[KeyRow], sealer: &Sealer) -> Option<Self> {
        let open = |row: &KeyRow| sealer.open_named(&row.id, &row.record).ok();
        let derives = rows.iter().find(|row| row.id.starts_with(TOKEN_KEY)).and_then(open)?;
        let signer = |row: &KeyRow| {
            let pair = KeyPair::from_pkcs8(&open(row)?).ok()?;
            Some(Signer { kid: row.id.clone(), created: row.created, pair })
        };
        let signers: Vec<Signer> =
            rows.iter().filter(|row| row.id.starts_with(JWK)).filter_map(signer).collect();
        let token_key = Zeroizing::new(<[u8; 32]>::try_from(derives.as_slice()).ok()?);
        (!signers.is_empty()).then_some(Self { token_key, signers })
    }

    /// What is due: whether a new key has to be made, and which are to be forgotten.
    fn due(&self, now: Time) -> (bool, Vec<String>) {
        let successors = self.signers.iter().skip(1);
        let old = self.signers.iter().zip(successors);
        let gone = old.filter(|(_, next)| now.since(next.created) >= KNOWN).map(|(old, _)| old.kid.clone());
        let aged = self.signers.last().is_none_or(|signer| now.since(signer.created) >= SIGNS);
        (aged, gone.collect())
    }
}

impl Engine {
    /// The keys, read from the store the first time. [`Engine::rotate_keys`] makes them.
    ///
    /// # Errors
    /// [`ApiRefusal::Unavailable`] while there are none.
    pub async fn keyring(&self) -> Result<Arc<Keyring>, ApiRefusal> {
        let held = ignore_poison(self.api.keyring.read()).clone();
        match held {
            Some(keyring) => Ok(keyring),
            None => self.read_keys().await?.ok_or(ApiRefusal::Busy),
        }
    }

    /// The keyring that may know a key which another daemon has made meanwhile.
    pub(super) async fn keyring_anew(&self) -> Result<Arc<Keyring>, ApiRefusal> {
        self.read_keys().await?.ok_or(ApiRefusal::Busy)
    }

    async fn read_keys(&self) -> Result<Option<Arc<Keyring>>, ApiRefusal> {
        let rows = self.store.signing_keys().await.map_err(EngineError::from)?;
        let keyring = Keyring::read(&rows, &self.sealer).map(Arc::new);
        if let Some(keyring) = &keyring {
            *ignore_poison(self.api.keyring.write()) = Some(Arc::clone(keyring));
        }
        Ok(keyring)
    }

    /// Makes the keys that are missing or due, and forgets those whose time is over.
    ///
    /// # Errors
    /// [`ApiRefusal`]; what there was stays in use then.
    pub async fn rotate_keys(&self) -> Result<(), ApiRefusal> {
        let now = clock::now();
        if now < self.rules.not_before {
            // Keys of a wrong clock would be old at once, or never. Without any it is tried again soon.
            return self.keyring().await.map(drop);
        }
        let held = self.read_keys().await?;
        let rows = self.store.signing_keys().await.map_err(EngineError::from)?;
        let mut made = Vec::new();
        if !rows.iter().any(|row| row.id.starts_with(TOKEN_KEY)) {
            let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random::bytes(&mut Kernel).map_err(failed)?);
            made.push(self.sealed_key(TOKEN_KEY, &*bytes, now)?);
        }
        let whole = held.is_some();
        // Keys that are there and cannot be opened are no reason to make others every few seconds.
        let none = !rows.iter().any(|row| row.id.starts_with(JWK));
        let (new, gone) = held.map_or((none, Vec::new()), |keyring| keyring.due(now));
        if new {
            // Half a second of arithmetic: not on a thread that answers.
            let made_now = tokio::task::spawn_blocking(|| {
                let pair = KeyPair::generate(KeySize::Rsa2048)?;
                Ok::<_, aws_lc_rs::error::Unspecified>(Zeroizing::new(pair.as_der()?.as_ref().to_vec()))
            });
            let der = made_now.await.map_err(failed)?.map_err(failed)?;
            made.push(self.sealed_key(JWK, &der, now)?);
        }
        if made.is_empty() && gone.is_empty() {
            let damaged = "the keys of tokens in the store are damaged; put the store back from its backup";
            return if whole { Ok(()) } else { Err(ApiRefusal::Unavailable(damaged.to_owned())) };
        }
        let mut also: Vec<SideWrite> = made.into_iter().map(|row| SideWrite::AddKey(Box::new(row))).collect();
        also.extend(gone.into_iter().map(SideWrite::DropKey));
        let mut event = Event::new("signing-key", "", now, EventSource::default());
        event.outcome = "done";
        self.commit_apart(also, Some(&event), now).await.map_err(EngineError::from)?;
        self.read_keys().await?;
        Ok(())
    }

    fn sealed_key(&self, kind: &str, bytes: &[u8], now: Time) -> Result<KeyRow, ApiRefusal> {
        let id = new_id(kind, &mut Kernel).map_err(failed)?;
        let record = self.sealer.seal_named(&id, bytes).map_err(failed)?;
        Ok(KeyRow { id, created: now, record })
    }
}

fn failed<E>(_: E) -> ApiRefusal {
    ApiRefusal::Unavailable("no key for tokens can be made".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(created: &[u64]) -> Keyring {
        let signer = |(i, at): (usize, &u64)| Signer {
            kid: format!("jwk-{i}"),
            created: Time::from_unix(*at),
            pair: KeyPair::generate(KeySize::Rsa2048).unwrap(),
        };
        Keyring {
            token_key: Zeroizing::new([7; 32]),
            signers: created.iter().enumerate().map(signer).collect(),
        }
    }

    #[test]
    fn what_was_signed_opens_and_nothing_else_does() {
        let (keys, others) = (keyring(&[0]), keyring(&[0]));
        let claims = json!({ "sub": "user-a", "exp": 5 });
        let jwt = keys.sign(&claims).unwrap();
        assert_eq!(keys.open(&jwt), Some(claims));
        assert_eq!(others.open(&jwt), None, "another key of the same name");
        let parts: Vec<&str> = jwt.split('.').collect();
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        for header in [
            json!({ "alg": "none", "kid": "jwk-0" }),
            json!({ "alg": "HS256", "kid": "jwk-0" }),
            json!({ "alg": "RS256", "kid": "jwk-9" }),
            json!({ "alg": "RS256", "kid": "jwk-0", "crit": ["exp"] }),
        ] {
            assert_eq!(keys.open(&format!("{}.{}.{}", encode(&header), parts[1], parts[2])), None);
            assert_eq!(keys.open(&format!("{}.{}.", encode(&header), parts[1])), None);
        }
        let forged = encode(&json!({ "sub": "user-b" }));
        assert_eq!(keys.open(&format!("{}.{forged}.{}", parts[0], parts[2])), None);
        for bad in ["", ".", "..", "a.b.c", "a", &jwt[..jwt.len() - 1]] {
            assert_eq!(keys.open(bad), None, "{bad}");
        }
    }

    #[test]
    fn keys_sign_for_half_a_year_and_are_known_for_a_month_more() {
        let keys = keyring(&[0]);
        assert_eq!(keys.due(Time::from_unix(SIGNS - 1)), (false, vec![]));
        assert_eq!(keys.due(Time::from_unix(SIGNS)), (true, vec![]));
        let keys = keyring(&[0, SIGNS]);
        assert_eq!(keys.public().first().map(|key| key.kid.as_str()), Some("jwk-1"));
        assert_eq!(keys.due(Time::from_unix(SIGNS + KNOWN - 1)), (false, vec![]));
        assert_eq!(keys.due(Time::from_unix(SIGNS + KNOWN)), (false, vec!["jwk-0".to_owned()]));
    }

    #[test]
    fn tokens_are_44_characters_and_each_sessions_own() {
        let keys = keyring(&[0]);
        assert_eq!(keys.token("session-a").len(), 44);
        assert_eq!(keys.token("session-a"), keys.token("session-a"));
        assert_ne!(keys.token("session-a"), keys.token("session-b"));
        assert!(!Keyring::token_hash(&keys.token("session-a")).contains(&**keys.token("session-a")));
    }
}
