//! `totpd status`, `list`, `revoke`, `forget` and `unlock`.

use super::daemon::admin_call;
use super::out::{Exit, Failed, failed};
use super::whom::{Whom, own_call};
use super::{Context, staged};
use crate::clock::rfc3339;
use serde_json::{Value, json};
use totp_core::Time;
use totp_wire::admin::{self, DaemonState, State, User};
use totp_wire::own;

/// `totpd status [USER]`
pub(super) fn status(context: &Context, user: Option<String>) -> Result<(), Failed> {
    let config = context.config()?;
    if user.is_none() && nix::unistd::geteuid().is_root() {
        return daemon_status(context);
    }
    let status = match Whom::of(user)? {
        Whom::Oneself(_) => own_call(&config, &own::Status {})?.status,
        Whom::User(user) => admin_call(&config, &admin::Status { user })?.status,
    };
    context.out.json(&document(&status))?;
    context.out.line(format!("{}: {}", status.user, sentence(&status)))?;
    for lock in &status.locks {
        let until = rfc3339(Time::from_unix(lock.until));
        let user = &status.user;
        let client = lock.client.as_deref().map_or_else(String::new, |client| format!(" {client}"));
        let class = &lock.class;
        context
            .out
            .line(format!("  locked for {class}{client} until {until}; `totpd unlock {user}` ends it"))?;
    }
    Ok(())
}

/// `totpd status`, for root.
fn daemon_status(context: &Context) -> Result<(), Failed> {
    let config = context.config()?;
    let reply = admin_call(&config, &admin::Daemon {})?;
    let serving = reply.state == DaemonState::Serving;
    context.out.json(&json!({
        "state": reply.state, "why": reply.why, "version": reply.version, "store_id": reply.store_id,
        "http": reply.http, "log_lines_dropped": reply.log_lines_dropped,
        "log_lines_waiting": reply.log_lines_waiting,
        "clock_behind": reply.clock_behind.map(|t| rfc3339(Time::from_unix(t))),
        "notice": reply.notice,
    }))?;
    if !serving {
        let why = reply.why.unwrap_or_default();
        return Err(failed(Exit::Refused, format!("the daemon refuses every login: {why}")));
    }
    let store = reply.store_id.unwrap_or_default();
    context.out.line(format!("totpd {} serves store {store}", reply.version))?;
    if let Some(granted) = reply.clock_behind {
        let granted = rfc3339(Time::from_unix(granted));
        context.out.line(format!(
            "a code was accepted at {granted}, and the clock lies before that: it was set back. Codes of phones are \
             refused, recovery codes work. Set the clock right; if it is right now, run: totpd trust-clock"
        ))?;
    }
    if let Some(notice) = reply.notice {
        context.out.line(notice)?;
    }
    if let Some(http) = reply.http {
        context.out.line(format!("the HTTP API {http}"))?;
    }
    if let Some(dropped) = reply.log_lines_dropped.filter(|dropped| *dropped > 0) {
        context.out.line(format!(
            "the log lacks {dropped} lines, since nobody read it in time; the history has every event"
        ))?;
    }
    if crate::breakglass::is_open(&config) {
        context.out.line("break-glass is open at this moment: everybody but its user is refused")?;
    }
    if config.breakglass_marks.exists() {
        let marks = config.breakglass_marks.display();
        context.out.line(format!(
            "break-glass was used on this host: {marks} says when and for whom. Removing it ends the lines at logins"
        ))?;
    }
    Ok(())
}

/// `totpd trust-clock`
pub(super) fn trust_clock(context: &Context) -> Result<(), Failed> {
    admin_call(&context.config()?, &admin::TrustClock {})?;
    context.out.json(&json!({ "trusted": true }))?;
    context.out.line("this host's clock is taken for right: codes of phones are judged by it again")
}

/// `totpd list`
pub(super) fn list(context: &Context) -> Result<(), Failed> {
    let config = context.config()?;
    let mut after = None;
    let mut documents = Vec::new();
    loop {
        let page = admin_call(&config, &admin::List { after, limit: None })?;
        for user in &page.users {
            context.out.line(format!("{}: {}", user.user, sentence(user)))?;
            documents.push(document(user));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    context.out.json(&json!({ "users": documents }))
}

/// `totpd revoke [USER]`
pub(super) fn revoke(context: &Context, user: Option<String>) -> Result<(), Failed> {
    let config = context.config()?;
    let whom = Whom::of(user)?;
    let admin::RevokeReply { revoked, staged } = match &whom {
        Whom::Oneself(_) => {
            let (code, ticket) = staged::ask_proof()?;
            own_call(&config, &own::Revoke { code, ticket })?
        }
        Whom::User(user) => admin_call(&config, &admin::Revoke { user: user.clone() })?,
    };
    let user = whom.name();
    let waits = staged.as_ref().map(staged::document);
    context.out.json(&json!({ "user": user, "revoked": revoked, "staged": waits }))?;
    if let Some(staged) = &staged {
        context.out.line(format!("{user}: asked for {}.", staged::what(staged)))?;
        return staged::explain(context.out, staged);
    }
    if !revoked {
        return Err(failed(Exit::Refused, format!("{user} has no factor")));
    }
    context.out.line(format!("{user}: every factor, recovery code, ticket and remembered login is forgotten"))
}

/// `totpd forget [USER]`
pub(super) fn forget(context: &Context, user: Option<String>) -> Result<(), Failed> {
    let config = context.config()?;
    let whom = Whom::of(user)?;
    let forgotten = match &whom {
        Whom::Oneself(_) => own_call(&config, &own::Forget {})?.forgotten,
        Whom::User(user) => admin_call(&config, &admin::Forget { user: user.clone() })?.forgotten,
    };
    let user = whom.name();
    context.out.json(&json!({ "user": user, "forgotten": forgotten }))?;
    context.out.line(format!(
        "{user}: {forgotten} remembered logins are forgotten; the next one is asked for a code"
    ))
}

/// `totpd unlock USER`
pub(super) fn unlock(context: &Context, user: &str) -> Result<(), Failed> {
    let call = admin::Unlock { user: user.to_owned() };
    let unlocked = admin_call(&context.config()?, &call)?.unlocked;
    context.out.json(&json!({ "user": user, "unlocked": unlocked }))?;
    context.out.line(if unlocked {
        format!("{user}: unlocked, failures forgotten")
    } else {
        format!("{user}: was not locked")
    })
}

fn document(user: &User) -> Value {
    let time = |t: Option<u64>| t.map(|t| rfc3339(Time::from_unix(t)));
    let locks: Vec<Value> = user
        .locks
        .iter()
        .map(|lock| json!({ "class": lock.class, "client": lock.client, "until": time(Some(lock.until)) }))
        .collect();
    json!({
        "user": user.user,
        "state": user.state,
        "totp_id": user.totp_id,
        "replacement_pending": user.replacement_pending,
        "expires_at": time(user.expires_at),
        "recovery_codes_left": user.recovery_codes_left,
        "remembered": user.remembered,
        "staged": user.staged.as_ref().map(staged::document),
        "failures": user.failures,
        "locked": !user.locks.is_empty(),
        "locked_until": time(user.locks.iter().map(|lock| lock.until).max()),
        "locks": locks,
    })
}

fn sentence(user: &User) -> String {
    let expires = user.expires_at.map(|t| rfc3339(Time::from_unix(t))).unwrap_or_default();
    let mut text = match user.state {
        State::None => "not enrolled".to_owned(),
        State::Pending => format!("waits for its first code until {expires}"),
        State::Active => format!("active, {} recovery codes left", user.recovery_codes_left),
    };
    if let Some(staged) = &user.staged {
        let (what, ripe) = (staged::what(staged), rfc3339(Time::from_unix(staged.ripens_at)));
        let told = if staged.told { "told at a login" } else { "not told at a login yet" };
        text.push_str(&format!(", {what} is staged and can be done from {ripe} on ({told})"));
    } else if user.replacement_pending {
        text.push_str(&format!(", a replacement waits for its first code until {expires}"));
    }
    if user.remembered > 0 {
        text.push_str(&format!(", {} logins remembered", user.remembered));
    }
    if user.failures > 0 {
        text.push_str(&format!(", {} failures", user.failures));
    }
    text
}
