//! Secrets that were made elsewhere.

use super::{AdminCall, invalid};
use crate::config::{lifetime, params};
use crate::engine::{Activation, AdminError, Existing, ForeignFactor, Imported};
use crate::varlink::account_error::to_admin;
use crate::varlink::reply::{Bytes, done, read};
use crate::varlink::views::texts;
use totp_core::authenticator::Placement;
use totp_core::given_secret::{GivenSecret, ShortSecret};
use totp_core::new_factor::NewFactor;
use totp_core::{Params, Secret, Time};
use totp_wire::admin::{self, Import, ImportReply, State};

/// The most used time steps of a call.
const MAX_USED_STEPS: usize = 64;

/// Checks a given secret: whatever a command has checked, the daemon checks again.
///
/// # Errors
/// The reply that says what is wrong, without the secret.
pub(crate) fn checked(given: &admin::GivenSecret) -> Result<GivenSecret, Bytes> {
    let secret = Secret::from_base32(given.secret.reveal())
        .map_err(|invalid_secret| invalid(&invalid_secret.to_string()))?;
    let short = if given.allow_short == Some(true) { ShortSecret::Accept } else { ShortSecret::Refuse };
    GivenSecret::new(secret, short).map_err(|refused| to_admin(AdminError::InvalidSecret(refused), ""))
}

/// `Import`: takes over a factor of another tool.
pub(crate) async fn import(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let asked: Import = read(parameters)?;
    let config = call.engine.config();
    let used_steps = asked.used_steps.unwrap_or_default();
    if used_steps.len() > MAX_USED_STEPS {
        return Err(invalid("an import has at most 64 used time steps"));
    }
    let existing = if asked.replace == Some(true) { Existing::Replace } else { Existing::Keep };
    let factor = ForeignFactor {
        given: checked(&asked.given)?.with_used_steps(&used_steps),
        new: NewFactor {
            params: params(asked.algorithm.as_deref(), asked.digits, asked.period, Params::default())
                .map_err(|what| invalid(&what))?,
            lifetime: lifetime(asked.lifetime.unwrap_or(config.totp.pending))
                .map_err(|what| invalid(&what))?,
            recovery_storage: config.totp.recovery_storage,
            placement: Placement::default(),
        },
        uid: asked.uid,
        existing,
        keep_revoked: asked.keep_revoked == Some(true),
        activation: if asked.lifetime.is_some() { Activation::FirstCode } else { Activation::Imported },
    };
    let name = call.user(&asked.user).await?;
    let reply = if asked.dry_run == Some(true) {
        call.engine.import_dry_run(&name, &factor).await.map(|imported| ImportReply {
            totp_id: None,
            recovery_codes: Vec::new(),
            ..view(&imported)
        })
    } else {
        call.engine.import(&name, &factor, call.peer.from()).await.map(|imported| view(&imported))
    };
    Ok(done(&reply.map_err(|error| to_admin(error, &asked.user))?))
}

fn view(imported: &Imported) -> ImportReply {
    ImportReply {
        state: if imported.expires_at.is_some() { State::Pending } else { State::Active },
        totp_id: Some(imported.totp_id.clone()),
        recovery_codes: texts(&imported.recovery_codes),
        expires_at: imported.expires_at.map(Time::unix),
        codes_from: imported.codes_from.unix(),
    }
}
