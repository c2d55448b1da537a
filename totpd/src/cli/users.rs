//! `totpd status`, `list`, `revoke`, `forget` and `unlock`.

use super::user_view::Standing;
use super::{Context, authenticators, own_locks, staged, user_view};
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc::admin_call;
use crate::cli::subject::{Subject, self_service_call};
use crate::cli::table::{Layout, Table};
use crate::clock::now;
use serde_json::json;
use std::collections::BTreeMap;
use totp_wire::admin;
use totp_wire::self_service;

/// `totpd status [USER]`
pub(super) fn status(context: &Context, user: Option<String>) -> Result<(), CommandError> {
    if user.is_none() && nix::unistd::geteuid().is_root() {
        return super::status::status(context);
    }
    let config = context.config()?;
    let subject = Subject::of(user)?;
    let admin::StatusReply { mut status, clock_behind } = match subject.clone() {
        Subject::Oneself(_) => self_service_call(&config, &self_service::Status {})?,
        Subject::User(user) => admin_call(&config, &admin::Status { user })?,
    };
    context.out.json(&user_view::document(&status, clock_behind))?;
    // Users read of their locks in other words than administrators.
    let own_locks = match subject {
        Subject::Oneself(_) => own_locks::lines(&std::mem::take(&mut status.locks), &status.user, now()),
        Subject::User(_) => Vec::new(),
    };
    context.out.paragraph(0, format!("{}: {}", status.user, user_view::sentence(&status)))?;
    let details = user_view::details(&status, clock_behind);
    for line in own_locks.iter().chain(&authenticators::lines(&status)).chain(&details) {
        context.out.paragraph(2, line)?;
    }
    Ok(())
}

/// `totpd trust-clock`
pub(super) fn trust_clock(context: &Context) -> Result<(), CommandError> {
    admin_call(&context.config()?, &admin::TrustClock {})?;
    context.out.json(&json!({ "trusted": true }))?;
    context.out.line("this host's clock is trusted again: codes of phones are accepted by it")
}

/// `totpd list`
pub(super) fn list(context: &Context) -> Result<(), CommandError> {
    let config = context.config()?;
    let (out, layout) = (context.out, Layout::of_stdout());
    let (mut after, mut clock_behind) = (None, None);
    let (mut documents, mut urgent, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let mut counts = BTreeMap::new();
    loop {
        let page = admin_call(&config, &admin::List { after, limit: None })?;
        clock_behind = clock_behind.or(page.clock_behind);
        for user in &page.users {
            if out.json {
                documents.push(user_view::document(user, page.clock_behind));
                continue;
            }
            let standing = Standing::of(user);
            *counts.entry(standing).or_insert(0_usize) += 1;
            let rows = if standing.is_urgent() { &mut urgent } else { &mut others };
            rows.push((standing, user_view::row(user, layout)));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if out.json {
        return out.json(&json!({ "users": documents }));
    }
    if let Some(granted) = clock_behind {
        out.paragraph(0, user_view::clock_sentence(granted))?;
    }
    urgent.sort_by_key(|(standing, _)| *standing);
    let rows: Vec<_> = urgent.into_iter().chain(others).map(|(_, row)| row).collect();
    for line in Table::new(layout, user_view::HEADINGS).lines(&rows) {
        out.line(line)?;
    }
    if rows.is_empty() {
        out.empty("No user is enrolled. `totpd enroll USER` makes the first.");
    } else if layout.columns.is_some() {
        let users = if rows.len() == 1 { "user" } else { "users" };
        let counts: Vec<String> = counts.iter().map(|(s, count)| format!("{count} {}", s.word())).collect();
        out.paragraph(0, format!("\n{} {users}: {}", rows.len(), counts.join(", ")))?;
    }
    Ok(())
}

/// `totpd revoke [USER]`
pub(super) fn revoke(
    context: &Context,
    user: Option<String>,
    name: Option<String>,
) -> Result<(), CommandError> {
    let config = context.config()?;
    let subject = Subject::of(user)?;
    let admin::RevokeReply { revoked, staged } = match &subject {
        Subject::Oneself(_) => {
            let (code, ticket) = staged::ask_proof()?;
            self_service_call(&config, &self_service::Revoke { code, ticket, name: name.clone() })?
        }
        Subject::User(user) => {
            admin_call(&config, &admin::Revoke { user: user.clone(), name: name.clone() })?
        }
    };
    let user = subject.name();
    let waits = staged.as_ref().map(staged::document);
    context.out.json(&json!({ "user": user, "revoked": revoked, "staged": waits }))?;
    if let Some(staged) = &staged {
        context.out.line(format!("{user}: staged {}.", staged::what(staged)))?;
        return staged::explain(context.out, staged);
    }
    if !revoked {
        return Err(failed(ExitStatus::Refused, format!("{user} has no factor. Run: totpd status {user}")));
    }
    let Some(name) = name else {
        let all = format!(
            "{user}: deleted every factor, recovery code, ticket and remembered login, and ended enrollments inside \
             logins"
        );
        return context.out.paragraph(0, all);
    };
    let deleted = format!("{user}: deleted the authenticator \"{name}\" and the logins it remembered");
    context.out.paragraph(0, deleted)?;
    let admin::StatusReply { status, .. } = match &subject {
        Subject::Oneself(_) => self_service_call(&config, &self_service::Status {})?,
        Subject::User(user) => admin_call(&config, &admin::Status { user: user.clone() })?,
    };
    match status.state {
        admin::State::Active => Ok(()),
        admin::State::Pending | admin::State::None => context.out.paragraph(
            0,
            format!("It was the last one: {user} has no recovery codes, and every login is refused. Run: totpd enroll {user}"),
        ),
    }
}

/// `totpd forget [USER]`
pub(super) fn forget(context: &Context, user: Option<String>) -> Result<(), CommandError> {
    let config = context.config()?;
    let subject = Subject::of(user)?;
    let forgotten = match &subject {
        Subject::Oneself(_) => self_service_call(&config, &self_service::Forget {})?.forgotten,
        Subject::User(user) => admin_call(&config, &admin::Forget { user: user.clone() })?.forgotten,
    };
    let user = subject.name();
    context.out.json(&json!({ "user": user, "forgotten": forgotten }))?;
    context.out.line(format!("{user}: ended {forgotten} remembered logins; the next login needs a code"))
}

/// `totpd unlock USER`
pub(super) fn unlock(context: &Context, user: &str) -> Result<(), CommandError> {
    let call = admin::Unlock { user: user.to_owned() };
    let unlocked = admin_call(&context.config()?, &call)?.unlocked;
    context.out.json(&json!({ "user": user, "unlocked": unlocked }))?;
    context.out.line(if unlocked {
        format!("{user}: unlocked, and the count of failures is 0")
    } else {
        format!("{user}: was not locked")
    })
}
