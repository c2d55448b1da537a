//! `totpd breakglass USER --for TIME`.

use super::Context;
use crate::breakglass::{self, End};
use crate::cli::output::{CommandError, ExitStatus, failed};
use serde_json::json;
use std::time::Duration;
use totp_core::UserName;
use totp_core::breakglass::MAX_LIFETIME;

/// The shortest time within which a user can log in.
const SHORTEST: Duration = Duration::from_mins(1);

/// `totpd breakglass`
pub(super) fn breakglass(
    context: &Context,
    user: &str,
    lasts: Duration,
    directory_user: bool,
) -> Result<(), CommandError> {
    if !nix::unistd::geteuid().is_root() {
        let why =
            "only root may use break-glass. Run it in a root shell that is still open, or on the console";
        return Err(failed(ExitStatus::Refused, why));
    }
    if !(SHORTEST..=MAX_LIFETIME).contains(&lasts) {
        return Err(failed(ExitStatus::Usage, "--for takes 1m to 24h"));
    }
    let name = UserName::parse(user).map_err(|error| failed(ExitStatus::Usage, error))?;
    // Not asked of a directory, which may be what hangs. A typing error would refuse every user for
    // nothing.
    if !directory_user && !crate::user_directory::is_local(user) {
        let why =
            format!("{user} is not in /etc/passwd. If the user is in a directory, add --directory-user");
        return Err(failed(ExitStatus::Refused, why));
    }
    let config = context.config()?;
    let (responder, code) = breakglass::Responder::prepare(&config, name, lasts)
        .map_err(|error| failed(ExitStatus::Refused, error))?;
    let (out, time) = (context.out, humantime::format_duration(lasts));
    out.json(&json!({ "user": user, "code": code.as_str(), "for_seconds": lasts.as_secs() }))?;
    out.line(format!("{user} may log in once within {time}, with this code at the prompt for the code:"))?;
    out.line(format!("    {}", code.as_str()))?;
    out.line(
        "Every other user is refused until then. It ends with that login, after that time, or with Ctrl-C.",
    )?;
    drop(code);
    let end = responder.run().map_err(|error| failed(ExitStatus::Refused, error))?;
    match end {
        End::Used => out.line(format!("{user} has logged in; the daemon has its socket back")),
        End::TimeUp => out.line("the time is over; the daemon has its socket back"),
        End::Stopped => out.line("stopped; the daemon has its socket back"),
        End::Displaced => Err(failed(
            ExitStatus::Refused,
            "another program has taken the socket, so the code no longer works. Do not restart totpd's socket units while \
             break-glass is open; run the command again",
        )),
    }
}
