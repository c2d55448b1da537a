//! The keys of sessions: one that tokens are derived with, and RSA keys that sign JWTs (RFC 7515,
//! RFC 7518 section 3.3). The newest RSA key signs, and older ones verify for a while.
//!
//! The token of a session is an HMAC over the session's id. So the store keeps only its hash, and a
//! client that presents a JWT of the session can be given the token again.

use super::ApiRefusal;
use crate::seal::Sealer;
use crate::store::KeyRow;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::digest::Key;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};
use totp_core::Time;
use totp_core::time::DAY;
use zeroize::{Zeroize, Zeroizing};

/// The validity of a JWT, in seconds.
pub const JWT_SECONDS: u64 = 300;
/// How long a key signs, in seconds.
const SIGNING_PERIOD: u64 = 180 * DAY;
/// How long a key verifies after its successor was made, in seconds.
const VERIFYING_PERIOD: u64 = 30 * DAY;
/// Bytes of a token, which are 44 characters.
const TOKEN_BYTES: usize = 33;
/// What the ids of the token key and of signing keys begin with.
pub(super) const TOKEN_KEY: &str = "token-key";
pub(super) const SIGNING_KEY: &str = "jwk";

/// The keys of a store.
pub struct Keyring {
    token_key: Zeroizing<[u8; 32]>,
    /// The signing keys, the oldest first.
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

/// The public half of a signing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The id of the key.
    pub kid: String,
    /// The modulus, in base64url.
    pub n: String,
    /// The exponent, in base64url.
    pub e: String,
}

/// What rotation has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// A new signing key has to be made.
    pub(super) needs_key: bool,
    /// The ids of signing keys to delete.
    pub(super) expired: Vec<String>,
}

impl Keyring {
    /// The token of a session.
    pub fn token(&self, session_id: &str) -> Zeroizing<String> {
        // HMAC pads a short key with zeros to a block of the hash (RFC 2104 section 2).
        let mut block = Key::<Hmac<Sha512>>::default();
        block[..self.token_key.len()].copy_from_slice(&*self.token_key);
        let mut mac = Hmac::<Sha512>::new(&block);
        block.zeroize();
        mac.update(session_id.as_bytes());
        let bytes = Zeroizing::new(<[u8; 64]>::from(mac.finalize().into_bytes()));
        let (token, _) = bytes.split_at(TOKEN_BYTES);
        Zeroizing::new(BASE64URL_NOPAD.encode(token))
    }

    /// The hash of a token, which is what the store keeps.
    pub fn token_hash(token: &str) -> String {
        HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
    }

    /// Signs claims as a compact JWS (RFC 7515 section 7.1).
    ///
    /// # Errors
    /// [`ApiRefusal::Unavailable`] when there is no key, or signing fails.
    pub fn sign(&self, claims: &Value) -> Result<Zeroizing<String>, ApiRefusal> {
        let failed = || ApiRefusal::Unavailable("there is no key that signs tokens".to_owned());
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

    /// Verifies a compact JWS, and returns its claims without checking them. `None` unless one of
    /// these keys signed it with RS256, the only algorithm that is accepted.
    pub fn verify(&self, jwt: &str) -> Option<Value> {
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

    /// The public halves of the signing keys, the newest first.
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

    /// Reads the keys of a store. `None` without a token key or a signing key that can be opened.
    pub(super) fn read(rows: &[KeyRow], sealer: &Sealer) -> Option<Self> {
        let open = |row: &KeyRow| sealer.open_named(&row.id, &row.record).ok();
        let token_key = rows.iter().find(|row| row.id.starts_with(TOKEN_KEY)).and_then(open)?;
        let signer = |row: &KeyRow| {
            let pair = KeyPair::from_pkcs8(&open(row)?).ok()?;
            Some(Signer { kid: row.id.clone(), created: row.created, pair })
        };
        let signers: Vec<Signer> =
            rows.iter().filter(|row| row.id.starts_with(SIGNING_KEY)).filter_map(signer).collect();
        let token_key = Zeroizing::new(<[u8; 32]>::try_from(token_key.as_slice()).ok()?);
        (!signers.is_empty()).then_some(Self { token_key, signers })
    }

    /// What rotation has to do now.
    pub(super) fn due(&self, now: Time) -> Due {
        let successors = self.signers.iter().skip(1);
        let with_successor = self.signers.iter().zip(successors);
        let expired = with_successor
            .filter(|(_, successor)| now.since(successor.created) >= VERIFYING_PERIOD)
            .map(|(signer, _)| signer.kid.clone())
            .collect();
        let needs_key = self.signers.last().is_none_or(|signer| now.since(signer.created) >= SIGNING_PERIOD);
        Due { needs_key, expired }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rsa::KeySize;

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
    fn only_what_a_key_signed_verifies() {
        let (keys, others) = (keyring(&[0]), keyring(&[0]));
        let claims = json!({ "sub": "user-a", "exp": 5 });
        let jwt = keys.sign(&claims).unwrap();
        assert_eq!(keys.verify(&jwt), Some(claims));
        assert_eq!(others.verify(&jwt), None, "another key with the same id");
        let parts: Vec<&str> = jwt.split('.').collect();
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        for header in [
            json!({ "alg": "none", "kid": "jwk-0" }),
            json!({ "alg": "HS256", "kid": "jwk-0" }),
            json!({ "alg": "RS256", "kid": "jwk-9" }),
            json!({ "alg": "RS256", "kid": "jwk-0", "crit": ["exp"] }),
        ] {
            assert_eq!(keys.verify(&format!("{}.{}.{}", encode(&header), parts[1], parts[2])), None);
            assert_eq!(keys.verify(&format!("{}.{}.", encode(&header), parts[1])), None);
        }
        let forged = encode(&json!({ "sub": "user-b" }));
        assert_eq!(keys.verify(&format!("{}.{forged}.{}", parts[0], parts[2])), None);
        for bad in ["", ".", "..", "a.b.c", "a", &jwt[..jwt.len() - 1]] {
            assert_eq!(keys.verify(bad), None, "{bad}");
        }
    }

    #[test]
    fn keys_sign_for_half_a_year_and_verify_for_a_month_more() {
        let due = |needs_key, expired: &[&str]| Due {
            needs_key,
            expired: expired.iter().map(|kid| (*kid).to_owned()).collect(),
        };
        let keys = keyring(&[0]);
        assert_eq!(keys.due(Time::from_unix(SIGNING_PERIOD - 1)), due(false, &[]));
        assert_eq!(keys.due(Time::from_unix(SIGNING_PERIOD)), due(true, &[]));
        let keys = keyring(&[0, SIGNING_PERIOD]);
        assert_eq!(keys.public().first().map(|key| key.kid.as_str()), Some("jwk-1"));
        let expiry = SIGNING_PERIOD + VERIFYING_PERIOD;
        assert_eq!(keys.due(Time::from_unix(expiry - 1)), due(false, &[]));
        assert_eq!(keys.due(Time::from_unix(expiry)), due(false, &["jwk-0"]));
    }

    #[test]
    fn each_session_has_its_own_token_of_44_characters() {
        let keys = keyring(&[0]);
        assert_eq!(keys.token("session-a").len(), 44);
        assert_eq!(keys.token("session-a"), keys.token("session-a"));
        assert_ne!(keys.token("session-a"), keys.token("session-b"));
        assert!(!Keyring::token_hash(&keys.token("session-a")).contains(&**keys.token("session-a")));
    }
    #[test]
    fn a_token_is_an_hmac_sha512_under_the_token_key() {
        // printf %s session-a | openssl dgst -sha512 -mac HMAC -macopt hexkey:$(printf '07%.0s'
        // $(seq 32)) -binary |
        //     head -c 33 | basenc --base64url
        assert_eq!(keyring(&[0]).token("session-a").as_str(), "QA6-bYoe1OzCNQIFBRQOMOsK02BmwFeJzapuLz3oyoLT");
    }
}
