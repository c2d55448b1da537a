//! Turns an error of a call to the daemon into a message for the person who ran the command.

use crate::cli::authenticators;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::local_time::local;
use serde_json::Value;
use std::path::Path;
use totp_core::Time;
use totp_wire::{CallError, admin, login, self_service, service};

/// Turns the error of a call on the socket at `path` into a message and an exit status.
pub(super) fn explain(path: &Path, error: &CallError) -> CommandError {
    let at = path.display();
    match error {
        CallError::NoSocket if let Some(listens) = unit_listens_elsewhere(path) => failed(
            ExitStatus::Unreachable,
            format!(
                "nothing listens at {at} (admin_socket), because totpd-admin.socket listens at {listens}. Set both to \
                 the same path, then run: systemctl daemon-reload; systemctl restart totpd-admin.socket totpd"
            ),
        ),
        CallError::NoSocket | CallError::ConnectionRefused => failed(
            ExitStatus::Unreachable,
            format!("no totpd answers at {at}: {error}. Run: systemctl status totpd"),
        ),
        CallError::Error { name, parameters } => explain_error(name, parameters),
        CallError::WrongServer(uid) => failed(
            ExitStatus::Unreachable,
            format!(
                "the listener at {at} runs as uid {uid}, which is neither root nor the owner of its folder, so it is \
                 not trusted. Run, to find it: ss -xlp"
            ),
        ),
        CallError::TimedOut => failed(
            ExitStatus::Unreachable,
            format!("totpd at {at}: {error}. To find out why, run: totpd status"),
        ),
        other => failed(ExitStatus::Unreachable, format!("totpd at {at}: {other}")),
    }
}

/// The paths on which the installed totpd-admin.socket listens, if `path` is not one of them.
///
/// `None` for a path outside /run: it belongs to a daemon that somebody started by hand.
fn unit_listens_elsewhere(path: &Path) -> Option<String> {
    let is_units = path.starts_with("/run/") || path.starts_with("/var/run/");
    let listens = crate::units::values(Path::new("/"), "totpd-admin.socket", "ListenStream")?;
    let elsewhere = is_units && !listens.is_empty() && listens.iter().all(|listen| Path::new(listen) != path);
    elsewhere.then(|| listens.join(", "))
}

/// What is said of an answer that nothing was judged by. A commit in doubt may have used the code.
const NOT_JUDGED: &str = "totpd is busy, or its store did not answer in time. Try again, with the next code";

fn explain_error(name: &str, parameters: &str) -> CommandError {
    let parameters: Value = serde_json::from_str(parameters).unwrap_or_default();
    let text = |key: &str| parameters.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let number = |key: &str| parameters.get(key).and_then(Value::as_u64).unwrap_or_default();
    let user = text("user");
    let staged = parameters.get("staged").unwrap_or(&Value::Null);
    match name {
        service::PERMISSION_DENIED => {
            failed(ExitStatus::Refused, "only administrators may do this. Run it as root")
        }
        service::INVALID_PARAMETER => failed(ExitStatus::Usage, text("parameter")),
        admin::NO_SUCH_USER => failed(ExitStatus::Refused, format!("there is no user {user} on this system")),
        self_service::NO_NAME => {
            failed(ExitStatus::Refused, "your uid has no user name on this system. Ask your administrator")
        }
        self_service::NOT_ENROLLED => {
            failed(ExitStatus::Refused, "you have no factor that this command can change. Run: totpd status")
        }
        self_service::CODE_NEEDED => failed(
            ExitStatus::Refused,
            "this change needs a current code or a recovery code. Run the command again, and type one",
        ),
        self_service::TICKET_NEEDED => failed(
            ExitStatus::Refused,
            "this change needs a ticket. Ask your administrator for one (`totpd enroll USER --ticket`)",
        ),
        self_service::ALREADY_STAGED if !staged.is_object() => failed(
            ExitStatus::Refused,
            "a new factor already waits for its first code. Run totpd confirm, or ask your administrator",
        ),
        self_service::ALREADY_STAGED => failed(
            ExitStatus::Refused,
            format!(
                "a change is already staged: {}. `totpd status` shows it, and `totpd cancel` with a code ends it",
                not_ripe_because(staged)
            ),
        ),
        self_service::CANCELLED_TWICE => failed(
            ExitStatus::Refused,
            "two changes were cancelled within a week, so the next one needs a ticket. Ask your administrator for one \
             (`totpd enroll USER --ticket`)",
        ),
        self_service::NOTHING_STAGED | admin::NOTHING_STAGED => failed(
            ExitStatus::Refused,
            "no change is staged, so there is nothing to cancel. Run: totpd status",
        ),
        self_service::NOT_RIPE => failed(
            ExitStatus::Refused,
            format!("the new factor cannot be used yet: {}. Nothing was changed", not_ripe_because(staged)),
        ),
        admin::NOT_RIPE => failed(
            ExitStatus::Refused,
            format!(
                "the user has staged this factor themselves, and {}. To enroll them without a delay, run: totpd enroll \
                 USER",
                not_ripe_because(staged)
            ),
        ),
        self_service::REFUSED => failed(
            ExitStatus::Refused,
            "the code or the ticket was refused, and nothing was changed. Run: totpd history",
        ),
        self_service::ENROLLMENT_DISABLED => failed(
            ExitStatus::Refused,
            "users cannot enroll themselves on this system. Ask your administrator",
        ),
        admin::NOT_ENROLLED => failed(
            ExitStatus::Refused,
            format!("{user} has no factor that this command can change. Run: totpd status {user}"),
        ),
        admin::PROTECTED_USER => failed(ExitStatus::Refused, protected(&user, &text("why"))),
        admin::ALREADY_ENROLLED => failed(
            ExitStatus::Refused,
            format!("{user} has a factor, and nothing was changed. To replace it, add --replace"),
        ),
        admin::UID_CHANGED | self_service::UID_CHANGED => failed(
            ExitStatus::Refused,
            format!(
                "{user} was enrolled as uid {}, and the name now has uid {}: it may be another person. To delete the \
                 old factor, run: totpd revoke {user}",
                number("enrolled"),
                number("now")
            ),
        ),
        admin::NO_PLACE | self_service::NO_PLACE => {
            let names = parameters.get("names").and_then(Value::as_array).cloned().unwrap_or_default();
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            failed(ExitStatus::Refused, authenticators::no_place(&user, &text("why"), &names))
        }
        admin::STORE_UNAVAILABLE | self_service::STORE_UNAVAILABLE => {
            failed(ExitStatus::Refused, text("why"))
        }
        login::STORE_UNAVAILABLE => failed(
            ExitStatus::Refused,
            "the store cannot be used, so every login is refused. Run: totpd status",
        ),
        admin::BUSY | self_service::BUSY => failed(ExitStatus::Refused, "totpd is busy. Try again"),
        login::BUSY | login::TIMED_OUT => failed(ExitStatus::Refused, NOT_JUDGED),
        other => failed(ExitStatus::Refused, format!("totpd answered {other}")),
    }
}

/// Why the helpdesk may not act on a user, and who may.
fn protected(user: &str, why: &str) -> String {
    let why = match why {
        "root" => format!("{user} has uid 0, and the helpdesk does nothing for root"),
        "oneself" => "nobody at the helpdesk does this for themselves".to_owned(),
        "group" => format!(
            "{user} is in a group whose members the helpdesk does nothing for (protected_groups, admin_group, \
             admin_groups)"
        ),
        _ => format!("the groups of {user} cannot be looked up now, so that they may be an administrator"),
    };
    format!("{why}. Ask root or a member of a group with the scope admin")
}

/// Why a staged change cannot be carried out yet: its delay, and a notice that the user has not
/// seen.
fn not_ripe_because(staged: &Value) -> String {
    let number = |key: &str| staged.get(key).and_then(Value::as_u64).unwrap_or_default();
    let notified = staged.get("notice_shown").and_then(Value::as_bool).unwrap_or_default();
    let ripens_at = local(Time::from_unix(number("ripens_at")));
    if notified {
        format!("it waits until {ripens_at}")
    } else {
        format!(
            "it waits until {ripens_at}, and for a login from a usual address that shows the notice of it"
        )
    }
}
