//! Rotation of the keys of sessions: makes missing and due keys, and deletes expired ones.

use super::keyring::{Due, Keyring, SIGNING_KEY, TOKEN_KEY};
use super::{ApiRefusal, Engine};
use crate::audit::{Event, EventKind, EventSource};
use crate::clock;
use crate::engine::EngineError;
use crate::os_random::Kernel;
use crate::store::{KeyRow, SideWrite};
use crate::sync::ignore_poison;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use std::sync::Arc;
use totp_core::account::new_id;
use totp_core::{Time, random};
use zeroize::Zeroizing;

impl Engine {
    /// The keys, which are read from the store once. [`Engine::rotate_keys`] makes them.
    ///
    /// # Errors
    /// [`ApiRefusal::Busy`] while there are none.
    pub async fn keyring(&self) -> Result<Arc<Keyring>, ApiRefusal> {
        let keyring = ignore_poison(self.api.keyring.read()).clone();
        match keyring {
            Some(keyring) => Ok(keyring),
            None => self.read_keys().await?.ok_or(ApiRefusal::Busy),
        }
    }

    /// The keys, read from the store again: another daemon may have made one.
    pub(super) async fn reload_keyring(&self) -> Result<Arc<Keyring>, ApiRefusal> {
        self.read_keys().await?.ok_or(ApiRefusal::Busy)
    }

    /// Whether a code could be verified now: the store can be read, its key opens what is in it,
    /// and the clock is not behind the release or the latest grant. Opens one small record.
    pub async fn is_ready(&self) -> bool {
        let trusts_clock = self.rules().trusts(clock::now(), self.config.totp.params);
        if self.store.health().reason().is_some() || !trusts_clock {
            return false;
        }
        let Ok(rows) = self.store.signing_keys().await else { return false };
        rows.iter()
            .find(|row| row.id.starts_with(TOKEN_KEY))
            .is_some_and(|row| self.sealer.open_named(&row.id, &row.record).is_ok())
    }

    async fn read_keys(&self) -> Result<Option<Arc<Keyring>>, ApiRefusal> {
        let rows = self.store.signing_keys().await.map_err(EngineError::from)?;
        let keyring = Keyring::read(&rows, &self.sealer).map(Arc::new);
        if let Some(keyring) = &keyring {
            *ignore_poison(self.api.keyring.write()) = Some(Arc::clone(keyring));
        }
        Ok(keyring)
    }

    /// Makes the keys that are missing or due, and deletes those that have expired.
    ///
    /// # Errors
    /// [`ApiRefusal`]; the keys stay as they were.
    pub async fn rotate_keys(&self) -> Result<(), ApiRefusal> {
        let now = clock::now();
        if now < self.rules.not_before {
            // A key with a wrong creation time would expire at once, or never.
            return self.keyring().await.map(drop);
        }
        let keyring = self.read_keys().await?;
        let rows = self.store.signing_keys().await.map_err(EngineError::from)?;
        let mut new_keys = Vec::new();
        if !rows.iter().any(|row| row.id.starts_with(TOKEN_KEY)) {
            let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random::bytes(&mut Kernel).map_err(failed)?);
            new_keys.push(self.sealed_key(TOKEN_KEY, &*bytes, now)?);
        }
        let is_readable = keyring.is_some();
        // Keys that exist but cannot be opened are not replaced: that would add a key with every
        // attempt.
        let needs_key = !rows.iter().any(|row| row.id.starts_with(SIGNING_KEY));
        let without_keys = Due { needs_key, expired: Vec::new() };
        let Due { needs_key, expired } = keyring.map_or(without_keys, |keyring| keyring.due(now));
        if needs_key {
            new_keys.push(self.sealed_key(SIGNING_KEY, &generate().await?, now)?);
        }
        if new_keys.is_empty() && expired.is_empty() {
            let damaged = "the keys of tokens in the store are damaged; restore the store from its backup";
            return if is_readable { Ok(()) } else { Err(ApiRefusal::Unavailable(damaged.to_owned())) };
        }
        let mut side_writes: Vec<SideWrite> =
            new_keys.into_iter().map(|row| SideWrite::InsertKey(Box::new(row))).collect();
        side_writes.extend(expired.into_iter().map(SideWrite::DeleteKey));
        let event = Event::new(EventKind::SigningKey, "", now, EventSource::default());
        self.commit_side_writes(side_writes, Some(&event), now).await.map_err(EngineError::from)?;
        self.read_keys().await?;
        Ok(())
    }

    fn sealed_key(&self, kind: &str, bytes: &[u8], now: Time) -> Result<KeyRow, ApiRefusal> {
        let id = new_id(kind, &mut Kernel).map_err(failed)?;
        let record = self.sealer.seal_named(&id, bytes).map_err(failed)?;
        Ok(KeyRow { id, created: now, record })
    }
}

/// Generates an RSA key, in DER (PKCS #8).
async fn generate() -> Result<Zeroizing<Vec<u8>>, ApiRefusal> {
    // Half a second of CPU time, so not on a thread that serves requests.
    let key = tokio::task::spawn_blocking(|| {
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        Ok::<_, aws_lc_rs::error::Unspecified>(Zeroizing::new(pair.as_der()?.as_ref().to_vec()))
    });
    key.await.map_err(failed)?.map_err(failed)
}

fn failed<E>(_: E) -> ApiRefusal {
    ApiRefusal::Unavailable("a key for tokens cannot be made".to_owned())
}
