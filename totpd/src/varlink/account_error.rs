//! How an error of the engine is answered: the one place that maps them to errors of the
//! interfaces.

use crate::engine::{AccountError, AdminError, SelfServiceError};
use crate::varlink::reply::{Bytes, failed, failed_plainly, failed_with};
use crate::varlink::views::staged_change;
use serde_json::json;
use totp_core::self_service::StagedChange;
use totp_wire::{admin, self_service, service};

/// The errors that both interfaces have, each by its own name.
struct Names {
    not_enrolled: &'static str,
    uid_changed: &'static str,
    no_place: &'static str,
    store_unavailable: &'static str,
    busy: &'static str,
}

const ADMIN: Names = Names {
    not_enrolled: admin::NOT_ENROLLED,
    uid_changed: admin::UID_CHANGED,
    no_place: admin::NO_PLACE,
    store_unavailable: admin::STORE_UNAVAILABLE,
    busy: admin::BUSY,
};

const SELF: Names = Names {
    not_enrolled: self_service::NOT_ENROLLED,
    uid_changed: self_service::UID_CHANGED,
    no_place: self_service::NO_PLACE,
    store_unavailable: self_service::STORE_UNAVAILABLE,
    busy: self_service::BUSY,
};

/// The answer to an administrator who asked about `user` (or about an application of that name).
pub(crate) fn to_admin(error: impl Into<AdminError>, user: &str) -> Bytes {
    match error.into() {
        AdminError::Account(AccountError::NoSuchUser) => failed(admin::NO_SUCH_USER, "user", user),
        AdminError::Account(error) => account(&error, user, &ADMIN),
        AdminError::InvalidClient(what) => failed(service::INVALID_PARAMETER, "parameter", &what),
        AdminError::NotRipe(staged) => with_staged(admin::NOT_RIPE, Some(&staged)),
        AdminError::AlreadyEnrolled => failed(admin::ALREADY_ENROLLED, "user", user),
        AdminError::InvalidSecret(why) => failed(service::INVALID_PARAMETER, "parameter", &why.to_string()),
        AdminError::NothingStaged => failed_plainly(admin::NOTHING_STAGED),
    }
}

/// The answer to `user`, who asked about themselves.
pub(crate) fn to_user(error: &SelfServiceError, user: &str) -> Bytes {
    match error {
        SelfServiceError::Account(AccountError::NoSuchUser) => failed_plainly(self_service::NO_NAME),
        SelfServiceError::Account(error) => account(error, user, &SELF),
        SelfServiceError::CodeNeeded => failed_plainly(self_service::CODE_NEEDED),
        SelfServiceError::TicketNeeded => failed_plainly(self_service::TICKET_NEEDED),
        SelfServiceError::AlreadyStaged(staged) => with_staged(self_service::ALREADY_STAGED, staged.as_ref()),
        SelfServiceError::NotRipe(staged) => with_staged(self_service::NOT_RIPE, Some(staged)),
        SelfServiceError::CancelledTwice => failed_plainly(self_service::CANCELLED_TWICE),
        SelfServiceError::NothingStaged => failed_plainly(self_service::NOTHING_STAGED),
        SelfServiceError::Refused => failed_plainly(self_service::REFUSED),
        SelfServiceError::Off => failed_plainly(self_service::ENROLLMENT_DISABLED),
    }
}

fn account(error: &AccountError, user: &str, names: &Names) -> Bytes {
    match error {
        AccountError::NotEnrolled => failed(names.not_enrolled, "user", user),
        AccountError::UidChanged { enrolled, now } => {
            let parameters = json!({ "user": user, "enrolled": enrolled, "now": now });
            failed_with(names.uid_changed, &parameters)
        }
        AccountError::EnrolledByApplication { user } => {
            let what = format!(
                "{user} was enrolled by an application when this host knew no such user; `totpd revoke {user}` forgets that"
            );
            failed(service::INVALID_PARAMETER, "parameter", &what)
        }
        AccountError::NoPlace(why, authenticators) => {
            let parameters = json!({ "user": user, "why": why.as_str(), "names": authenticators });
            failed_with(names.no_place, &parameters)
        }
        AccountError::Unavailable(why) => failed(names.store_unavailable, "why", why),
        AccountError::NoSuchUser | AccountError::Taken(_) | AccountError::Busy => failed_plainly(names.busy),
    }
}

fn with_staged(name: &str, staged: Option<&StagedChange>) -> Bytes {
    let parameters = staged.map_or_else(|| json!({}), |staged| json!({ "staged": staged_change(staged) }));
    failed_with(name, &parameters)
}
