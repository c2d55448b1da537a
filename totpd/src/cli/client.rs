//! `totpd client`: the secrets of applications for the HTTP API.

use super::Context;
use super::args::ClientCommand;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc::admin_call;
use crate::clock::rfc3339;
use crate::config::Config;
use crate::local_time::local;
use serde_json::{Value, json};
use totp_core::Time;
use totp_wire::admin::{AddClient, ClientSecret, ListClients, RevokeClient};

/// `totpd client add|list|revoke`
pub(super) fn client(context: &Context, command: ClientCommand) -> Result<(), CommandError> {
    match command {
        ClientCommand::Add { name, scope } => add(context, &name, &scope),
        ClientCommand::List => list(context),
        ClientCommand::Revoke { name, secret } => revoke(context, &name, secret),
    }
}

fn add(context: &Context, name: &str, scope: &str) -> Result<(), CommandError> {
    context.out.require_shown("the secret")?;
    let config = context.config()?;
    let call = AddClient { name: name.to_owned(), scope: scope.to_owned() };
    let added = admin_call(&config, &call)?;
    let out = context.out;
    out.json(&json!({
        "name": name, "scope": scope, "project_id": added.project_id,
        "secret": added.secret.reveal(), "secret_id": added.secret_id,
    }))?;
    out.line(format!("project_id: {}", added.project_id))?;
    out.line(format!("secret:     {}", added.secret.reveal()))?;
    out.line(format!(
        "The secret is shown only now. To revoke it: totpd client revoke {name} --secret {}",
        added.secret_id
    ))?;
    // The secret is made: an error from here on must not look like a failure.
    let (_, all) = all_clients(&config).unwrap_or_default();
    let others: Vec<_> = all.iter().filter(|c| c.name == name && c.secret_id != added.secret_id).collect();
    if !others.is_empty() {
        out.line(format!("{name} has other secrets, which still work:"))?;
        others.into_iter().try_for_each(|other| out.line(format!("  {}", sentence(other))))?;
    }
    if config.http == Ok(None) {
        out.line(
            "No application can use it yet, because the HTTP API is off. Set http.listen in the configuration",
        )?;
    }
    Ok(())
}

fn list(context: &Context) -> Result<(), CommandError> {
    let (project_id, clients) = all_clients(&context.config()?)?;
    clients.iter().try_for_each(|client| context.out.line(sentence(client)))?;
    if clients.is_empty() {
        context.out.line("there is no client. Add one: totpd client add NAME --scope verify")?;
    }
    let clients: Vec<Value> = clients.iter().map(document).collect();
    context.out.json(&json!({ "project_id": project_id, "clients": clients }))
}

/// Reads the project's id and every secret of every client.
fn all_clients(config: &Config) -> Result<(String, Vec<ClientSecret>), CommandError> {
    let (mut after, mut clients) = (None, Vec::new());
    loop {
        let page = admin_call(config, &ListClients { after })?;
        clients.extend(page.clients);
        after = page.next;
        if after.is_none() {
            return Ok((page.project_id, clients));
        }
    }
}

fn revoke(context: &Context, name: &str, secret: Option<String>) -> Result<(), CommandError> {
    let call = RevokeClient { name: name.to_owned(), secret_id: secret.clone() };
    let revoked = admin_call(&context.config()?, &call)?.revoked;
    context.out.json(&json!({ "name": name, "revoked": revoked }))?;
    if revoked == 0 {
        let what = secret.map_or_else(String::new, |secret| format!(" with the secret {secret}"));
        return Err(failed(
            ExitStatus::Refused,
            format!("there is no client {name}{what}. Run: totpd client list"),
        ));
    }
    context.out.line(format!("{name}: revoked {revoked} secrets"))
}

fn time(seconds: u64) -> String {
    rfc3339(Time::from_unix(seconds))
}

fn sentence(client: &ClientSecret) -> String {
    let ClientSecret { name, scope, secret_id, created_at, used_at } = client;
    let shown = |seconds| local(Time::from_unix(seconds));
    let used = used_at.map_or_else(
        || "not used since the daemon started".to_owned(),
        |t| format!("last used {}", shown(t)),
    );
    format!("{name}: {scope}, secret {secret_id} of {}, {used}", shown(*created_at))
}

fn document(client: &ClientSecret) -> Value {
    json!({
        "name": client.name, "scope": client.scope, "secret_id": client.secret_id,
        "created_at": time(client.created_at), "used_at": client.used_at.map(time),
    })
}
