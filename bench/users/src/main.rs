//! Fills a store with users who can log in: `bench_users CONFIG < USERS`.
//!
//! Each line of standard input is `name uid secret`, the secret in base32. The records are sealed
//! with the site's key and committed by the daemon's own library, so that the store is what
//! `totpd import` would have made of a million users, without their rows in the history. The daemon
//! must not run.
#![forbid(unsafe_code)]

use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use totp_core::account::new_id;
use totp_core::given_secret::{GivenSecret, ShortSecret};
use totp_core::new_factor::NewFactor;
use totp_core::{Account, Secret, Time, UserName};
use totpd::config::Config;
use totpd::key::StoreKey;
use totpd::os_random::Kernel;
use totpd::seal::{SealedAccount, Sealer};
use totpd::store::{AccountWrite, ChangeSet, CommitGuard, OlderCopy, SpaceUse, Store, open};

/// Users that are committed at once: what waits for the store's writer becomes one transaction.
const AT_ONCE: usize = 2048;
/// How long one of them may wait for its commit.
const PATIENCE: Duration = Duration::from_mins(10);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A user to be made: a line of standard input, and the ids of the account and of its factor.
struct User {
    line: String,
    id: String,
    totp_id: String,
}

/// Reads the users, and gives them random ids in ascending order: the database appends to its
/// indexes, where it would otherwise write a page of each for every user.
fn users(lines: impl Iterator<Item = std::io::Result<String>>) -> Result<Vec<User>, Failure> {
    let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
    let ids = |kind| -> Result<Vec<String>, Failure> {
        let mut ids = lines.iter().map(|_| new_id(kind, &mut Kernel)).collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        Ok(ids)
    };
    let (ids, totp_ids) = (ids("user")?, ids("totp")?);
    let users = lines.into_iter().zip(ids).zip(totp_ids);
    Ok(users.map(|((line, id), totp_id)| User { line, id, totp_id }).collect())
}

/// Returns the sealed record of a user, whose codes work from the next time step but one on.
fn account(user: User, sealer: &Sealer, config: &Config, now: Time) -> Result<SealedAccount, Failure> {
    let words: Vec<&str> = user.line.split(' ').collect();
    let [name, uid, secret] = words[..] else { return Err("a line is not `name uid secret`".into()) };
    let mut account = Account::blank(user.id, Some(UserName::parse(name)?), Some(uid.parse()?), now);
    let given = GivenSecret::new(Secret::from_base32(secret)?, ShortSecret::Refuse)?;
    account.enroll_given(&NewFactor::default(), &given, config.totp.skew, now, &mut Kernel)?;
    if let Some(factor) = &mut account.pending {
        factor.id = user.totp_id;
    }
    account.activate_imported(now);
    Ok(sealer.seal(account, 1)?)
}

/// Commits these users together.
async fn commit(store: &Arc<dyn Store>, accounts: Vec<SealedAccount>) -> Result<(), Failure> {
    let guard = || Arc::new(CommitGuard::new(Instant::now() + PATIENCE));
    let mut commits = JoinSet::new();
    for account in accounts {
        let write = AccountWrite::Insert(Box::new(account));
        let change = ChangeSet { write, side_writes: Vec::new(), space: SpaceUse::Essential, event: None };
        let (store, guard) = (Arc::clone(store), guard());
        commits.spawn(async move { store.commit(change, guard).await });
    }
    while let Some(committed) = commits.join_next().await {
        committed?.map_err(|error| format!("{error:?}"))?;
    }
    Ok(())
}

async fn fill(config: &Path) -> Result<(), Failure> {
    let config = Arc::new(Config::load_for_command(config)?);
    let sealer = Arc::new(Sealer::new(&StoreKey::load(&config.key_file)?));
    let now = totpd::clock::now();
    let store = open::open(&config, &sealer, now, OlderCopy::Refuse).await?;
    let mut users = users(std::io::stdin().lock().lines())?.into_iter();
    let mut sealed = Vec::new();
    loop {
        let batch: Vec<User> = users.by_ref().take(AT_ONCE).collect();
        let more = !batch.is_empty();
        // The next users are sealed on another thread while these are committed.
        let (sealer, config) = (Arc::clone(&sealer), Arc::clone(&config));
        let next = tokio::task::spawn_blocking(move || {
            batch.into_iter().map(|user| account(user, &sealer, &config, now)).collect::<Result<Vec<_>, _>>()
        });
        commit(&store, std::mem::take(&mut sealed)).await?;
        sealed = next.await??;
        if !more {
            return Ok(());
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [config] = &arguments[..] else { return Err("usage: bench_users CONFIG < USERS".into()) };
    fill(Path::new(config)).await?;
    Ok(ExitCode::SUCCESS)
}
