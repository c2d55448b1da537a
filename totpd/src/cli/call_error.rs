//! What an error of a call to the daemon means for the person who ran the command.

use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::clock::rfc3339;
use serde_json::Value;
use std::path::Path;
use totp_core::Time;
use totp_wire::{CallError, admin, login, self_service, service};

/// The sentence for a failed call.
pub(super) fn explain(path: &Path, error: &CallError) -> CommandError {
    let at = path.display();
    match error {
        CallError::NoSocket if let Some(listens) = unit_listens_elsewhere(path) => failed(
            ExitStatus::Unreachable,
            format!(
                "admin_socket is {at}, where nobody listens, and totpd-admin.socket listens at {listens}. Make both the \
                 same, then run: systemctl daemon-reload; systemctl restart totpd-admin.socket totpd"
            ),
        ),
        CallError::NoSocket | CallError::ConnectionRefused => failed(
            ExitStatus::Unreachable,
            format!(
                "no totpd answers at {at}: {error}. Is it running? `systemctl status totpd`, or see its log"
            ),
        ),
        CallError::Error { name, parameters } => explain_error(name, parameters),
        CallError::WrongServer(uid) => failed(
            ExitStatus::Unreachable,
            format!(
                "the listener at {at} runs as uid {uid}, which is neither root nor the owner of its folder"
            ),
        ),
        other => failed(ExitStatus::Unreachable, format!("totpd at {at}: {other}")),
    }
}

/// Where the installed socket unit listens, if that is not the configured place of a socket of this host.
fn unit_listens_elsewhere(path: &Path) -> Option<String> {
    // A path of somebody's own daemon is not the unit's.
    let is_units = path.starts_with("/run/") || path.starts_with("/var/run/");
    let listens = crate::units::values(Path::new("/"), "totpd-admin.socket", "ListenStream")?;
    let elsewhere = is_units && !listens.is_empty() && listens.iter().all(|listen| Path::new(listen) != path);
    elsewhere.then(|| listens.join(", "))
}

fn explain_error(name: &str, parameters: &str) -> CommandError {
    let parameters: Value = serde_json::from_str(parameters).unwrap_or_default();
    let text = |key: &str| parameters.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let number = |key: &str| parameters.get(key).and_then(Value::as_u64).unwrap_or_default();
    let user = text("user");
    let staged = parameters.get("staged").unwrap_or(&Value::Null);
    match name {
        service::PERMISSION_DENIED => {
            failed(ExitStatus::Refused, "only root and members of admin_group may do this")
        }
        service::INVALID_PARAMETER => failed(ExitStatus::Usage, text("parameter")),
        admin::NO_SUCH_USER => failed(ExitStatus::Refused, format!("there is no user {user} on this system")),
        self_service::NO_NAME => failed(ExitStatus::Refused, "your uid has no name on this system"),
        self_service::NOT_ENROLLED => {
            failed(ExitStatus::Refused, "you have no factor that this could be done to; see `totpd status`")
        }
        self_service::CODE_NEEDED => {
            failed(ExitStatus::Refused, "a current code or a recovery code is needed")
        }
        self_service::TICKET_NEEDED => failed(
            ExitStatus::Refused,
            "a ticket is needed: ask your administrator for one (`totpd enroll USER --ticket`)",
        ),
        self_service::ALREADY_STAGED if !staged.is_object() => failed(
            ExitStatus::Refused,
            "a new factor waits for its first code already: run totpd confirm, or ask your administrator",
        ),
        self_service::ALREADY_STAGED => failed(
            ExitStatus::Refused,
            format!(
                "a change is staged already: {}. See `totpd status`; `totpd cancel` with a code ends it",
                lacks(staged)
            ),
        ),
        self_service::CANCELLED_TWICE => failed(
            ExitStatus::Refused,
            "two changes were cancelled within a week, so that only a ticket helps: ask your administrator for one \
             (`totpd enroll USER --ticket`)",
        ),
        self_service::NOTHING_STAGED | admin::NOTHING_STAGED => {
            failed(ExitStatus::Refused, "nothing is staged that could be cancelled; see `totpd status`")
        }
        self_service::NOT_RIPE => failed(
            ExitStatus::Refused,
            format!("the new factor cannot be used yet: {}. Nothing was changed", lacks(staged)),
        ),
        admin::NOT_RIPE => failed(
            ExitStatus::Refused,
            format!(
                "the user has staged this factor, and {}. An administrator's own `totpd enroll` needs no delay",
                lacks(staged)
            ),
        ),
        self_service::REFUSED => failed(
            ExitStatus::Refused,
            "refused; nothing was changed. `totpd history` says why; a ticket comes from your administrator",
        ),
        self_service::ENROLLMENT_DISABLED => {
            failed(ExitStatus::Refused, "this site lets nobody enroll by himself: ask your administrator")
        }
        admin::NOT_ENROLLED => failed(
            ExitStatus::Refused,
            format!(
                "{user} has no factor that this could be done to; `totpd status {user}` shows what there is"
            ),
        ),
        admin::UID_CHANGED | self_service::UID_CHANGED => failed(
            ExitStatus::Refused,
            format!(
                "{user} was enrolled as uid {} and is uid {} now: somebody else? `totpd revoke {user}` forgets \
                 the old factor",
                number("enrolled"),
                number("now")
            ),
        ),
        admin::STORE_UNAVAILABLE | self_service::STORE_UNAVAILABLE => {
            failed(ExitStatus::Refused, text("why"))
        }
        login::STORE_UNAVAILABLE => failed(
            ExitStatus::Refused,
            "the store cannot be used and everybody is refused; `totpd status` says why",
        ),
        admin::BUSY | self_service::BUSY | login::BUSY | login::TIMED_OUT => {
            failed(ExitStatus::Refused, "totpd is busy; nothing was changed. Try again")
        }
        other => failed(ExitStatus::Refused, format!("totpd answered {other}")),
    }
}

/// What stands in the way of a change that is not ripe.
fn lacks(staged: &Value) -> String {
    let number = |key: &str| staged.get(key).and_then(Value::as_u64).unwrap_or_default();
    let told = staged.get("notice_shown").and_then(Value::as_bool).unwrap_or_default();
    let ripens_at = rfc3339(Time::from_unix(number("ripens_at")));
    if told {
        format!("it waits until {ripens_at}")
    } else {
        format!(
            "it waits until {ripens_at}, and until a login from where you always log in has told you of it"
        )
    }
}
