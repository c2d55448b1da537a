//! `totpd breakglass USER --for TIME`.

use super::Context;
use crate::breakglass::{self, End};
use crate::cli::output::{CommandError, ExitStatus, failed};
use serde_json::json;
use std::time::Duration;
use totp_core::UserName;
use totp_core::breakglass::MAX_LIFETIME;

/// The shortest that anybody can log in within.
const SHORTEST: Duration = Duration::from_mins(1);

/// `totpd breakglass`
pub(super) fn breakglass(
    context: &Context,
    user: &str,
    lasts: Duration,
    directory_user: bool,
) -> Result<(), CommandError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(failed(ExitStatus::Refused, "only root may break the glass"));
    }
    if !(SHORTEST..=MAX_LIFETIME).contains(&lasts) {
        return Err(failed(ExitStatus::Usage, "--for takes 1m to 24h"));
    }
    let name = UserName::parse(user).map_err(|error| failed(ExitStatus::Usage, error))?;
    // A directory may be what hangs: it is not asked. A slip would refuse everybody for nothing.
    if !directory_user && !crate::user_directory::is_local(user) {
        let why = format!("{user} is not in /etc/passwd; for a user of a directory add --directory-user");
        return Err(failed(ExitStatus::Refused, why));
    }
    let config = context.config()?;
    let (responder, code) = breakglass::Responder::prepare(&config, name, lasts)
        .map_err(|error| failed(ExitStatus::Refused, error))?;
    let (out, time) = (context.out, humantime::format_duration(lasts));
    out.json(&json!({ "user": user, "code": code.as_str(), "for_seconds": lasts.as_secs() }))?;
    out.line(format!("{user} may log in once, within {time}, with this code at the code's prompt:"))?;
    out.line(format!("    {}", code.as_str()))?;
    out.line(
        "Everybody else is refused meanwhile. It ends with that login, after that time, or with Ctrl-C.",
    )?;
    drop(code);
    let end = responder.run().map_err(|error| failed(ExitStatus::Refused, error))?;
    match end {
        End::Used => out.line(format!("{user} has logged in; the socket is given back")),
        End::TimeUp => out.line("the time is up; the socket is given back"),
        End::Stopped => out.line("stopped; the socket is given back"),
        End::Displaced => Err(failed(
            ExitStatus::Refused,
            "somebody else has taken the socket (was a socket unit of totpd restarted?): the code is worth nothing any more",
        )),
    }
}
