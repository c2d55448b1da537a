//! Connects to the first of the servers that accepts writes.

use crate::config::server_url::{Server, ServerTls, ServerUrl};
use crate::store::postgres::connection::{Connection, Notices, carry, read_only};
use crate::store::postgres::fault::without_data;
use crate::store::postgres::password;
use crate::store::postgres::plain::{Guarded, IN_CLEAR, Plain};
use crate::store::postgres::session::{self, Role};
use crate::store::postgres::tls::VerifyingTls;
use futures_util::future::join_all;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Error, NoTls, Socket};

/// How long one server may take for everything until its connection can be used.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is said of a server that accepts no writes, as it should be with a standby.
const STANDBY: &str = "accepts no writes (a standby, or read-only by its settings)";

/// Why there is no connection: one sentence about each server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoConnection(pub(super) String);

/// Connects to the servers of a URL.
#[derive(Debug)]
pub(super) struct Dialer {
    pub(super) url: ServerUrl,
    password_file: Option<PathBuf>,
    /// The server of the last connection, which is tried first.
    last: AtomicUsize,
    /// The latest timeline of a server that was connected to. Each promotion begins one.
    timeline: AtomicU64,
    /// The name of the server of the last connection.
    present: watch::Sender<String>,
}

impl Dialer {
    /// For these servers. The password is in `password_file`, if there is one.
    pub(super) fn new(url: ServerUrl, password_file: Option<&Path>) -> Self {
        let password_file = password::file(password_file);
        Self {
            url,
            password_file,
            last: AtomicUsize::new(0),
            timeline: AtomicU64::new(0),
            present: watch::Sender::default(),
        }
    }

    /// Whether the last connection was made to another server than this one.
    pub(super) fn has_left(&self, server: &str) -> bool {
        *self.present.borrow() != server
    }

    /// Waits until a connection is made to another server than this one, which accepts writes.
    pub(super) async fn left(&self, server: &str) {
        // The sender is ours, and lives as long as this.
        let _ = self.present.subscribe().wait_for(|present| present != server).await;
    }

    /// Connects. The connection lives on the runtime that runs this.
    ///
    /// # Errors
    /// [`NoConnection`]: what is wrong with each server.
    pub(super) async fn dial(&self, role: Role) -> Result<Connection, NoConnection> {
        let first = self.last.load(Ordering::Relaxed);
        let mut reasons = Vec::new();
        let servers = self.url.servers.iter().enumerate();
        for (index, server) in servers.clone().skip(first).chain(servers.take(first)) {
            match tokio::time::timeout(TIMEOUT, self.dial_one(server, role)).await {
                Ok(Ok(connection)) => {
                    self.last.store(index, Ordering::Relaxed);
                    self.present.send_replace(server.name.clone());
                    return Ok(connection);
                }
                Ok(Err(why)) => reasons.push(why),
                Err(_) => reasons.push(format!("{} does not answer", server.name)),
            }
        }
        Err(NoConnection(reasons.join("; ")))
    }

    /// Looks at the servers that are not used now, and returns what an administrator should attend
    /// to before a failover needs them.
    pub(super) async fn look_at_others(&self) -> Vec<String> {
        let present = self.present.borrow().clone();
        let others = self.url.servers.iter().filter(|server| server.name != present);
        let looked = others.map(async |server| {
            let name = &server.name;
            // Its timeline is not taken note of: that would leave the present primary for it.
            match tokio::time::timeout(TIMEOUT, self.reach(server, Role::Read)).await {
                Ok(Err(why)) if why.ends_with(STANDBY) => None,
                Ok(Err(why)) => Some(format!("{why}. After a failover to {name} nobody could log in")),
                Err(_) => Some(format!("{name} does not answer. After a failover to it nobody could log in")),
                // A failover that has just happened.
                Ok(Ok(_)) if self.has_left(&present) => None,
                Ok(Ok(_)) => Some(format!(
                    "{name} accepts writes, and so does {present}: with two primaries a code may work twice. Stop the one \
                     that was replaced"
                )),
            }
        });
        join_all(looked).await.into_iter().flatten().collect()
    }

    async fn dial_one(&self, server: &Server, role: Role) -> Result<Connection, String> {
        let connection = self.reach(server, role).await?;
        self.check_timeline(&connection).await?;
        Ok(connection)
    }

    /// Connects to a server that accepts writes, whatever its timeline.
    async fn reach(&self, server: &Server, role: Role) -> Result<Connection, String> {
        let mut config = server.config.clone();
        if let Some(file) = &self.password_file {
            config.password(password::read(file)?.as_slice());
        }
        let connected = match (&self.url.tls, server.config.get_hosts().first()) {
            (ServerTls::Off, Some(Host::Unix(folder))) => connect_socket(&config, folder, server).await?,
            (ServerTls::Off, _) => {
                config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
                connect(&config, Plain, server).await
            }
            (ServerTls::VerifyFull(roots), _) => {
                connect(&config, VerifyingTls::from_file(roots)?, server).await
            }
        };
        let connection = connected.map_err(|error| self.sentence(server, &error))?;
        session::set(&connection, role).await.map_err(|why| format!("{}: {why}", server.name))?;
        if read_only(&connection).await.map_err(|fault| format!("{}: {fault}", server.name))? {
            return Err(format!("{} {STANDBY}", server.name));
        }
        Ok(connection)
    }

    /// A server that comes back after it was replaced accepts writes, and lacks what was committed
    /// since: it is left alone.
    async fn check_timeline(&self, db: &Connection) -> Result<(), String> {
        let sql = "SELECT CAST(substring(pg_walfile_name(pg_current_wal_lsn()) FROM 1 FOR 8) AS TEXT)";
        // Servers that are compatible with PostgreSQL may have no timelines.
        let Ok(Some(row)) = db.row(sql, &[]).await else { return Ok(()) };
        let timeline = u64::from_str_radix(row.get(0), 16).unwrap_or(0);
        let latest = self.timeline.fetch_max(timeline, Ordering::AcqRel);
        if timeline >= latest {
            return Ok(());
        }
        Err(format!(
            "{} was replaced in a failover, and accepts writes again (timeline {timeline}; totpd has seen {latest}). Make it \
             a standby of the present primary. If this is a new cluster (pg_upgrade, a dump), restart totpd",
            db.server
        ))
    }

    /// What an administrator can do about a connection that was not made.
    fn sentence(&self, server: &Server, error: &Error) -> String {
        let (name, ServerUrl { user, database, .. }) = (&server.name, &self.url);
        let Some(said) = error.as_db_error() else {
            let why = without_data(error);
            return if why.contains(IN_CLEAR) {
                format!(
                    "{name} {IN_CLEAR}, and is not told it without TLS. Use scram-sha-256 there (password_encryption, and \
                     pg_hba.conf; then set the password again), or TLS (sslrootcert in store.url)"
                )
            } else if why.contains("does not allow writes") {
                format!("{name} {STANDBY}")
            } else if why.contains("certificate") {
                format!(
                    "the certificate of {name} is not accepted ({why}). Check the name in store.url and sslrootcert"
                )
            } else if why.contains("password missing") {
                format!("{name} wants a password of the user {user}. Set store.password_file")
            } else {
                format!("{name} cannot be reached ({why})")
            };
        };
        match *said.code() {
            SqlState::INVALID_PASSWORD => {
                format!("{name} refuses the password of the user {user}. Check store.password_file")
            }
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                format!(
                    "{name} lets the user {user} in neither by password nor otherwise. Check its pg_hba.conf"
                )
            }
            SqlState::INVALID_CATALOG_NAME => {
                format!("{name} has no database {database}. Make it: createdb -O {user} {database}")
            }
            ref code => format!("{name} refuses the connection (SQLSTATE {})", code.code()),
        }
    }
}

async fn connect<T>(config: &Config, tls: T, server: &Server) -> Result<Connection, Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    Ok(carried(config.connect(tls).await?, server))
}

/// Connects to a Unix socket. The library does not guard one.
async fn connect_socket(
    config: &Config,
    folder: &Path,
    server: &Server,
) -> Result<Result<Connection, Error>, String> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let socket = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await;
    let socket = socket.map_err(|error| format!("{} cannot be reached ({error})", server.name))?;
    let made = config.connect_raw(Guarded::new(socket), NoTls).await;
    Ok(made.map(|made| carried(made, server)))
}

fn carried<S, T>(
    (client, connection): (Client, tokio_postgres::Connection<S, T>),
    server: &Server,
) -> Connection
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let notices = Notices::default();
    let carrier = tokio::spawn(carry(connection, notices.clone())).abort_handle();
    Connection::new(client, server.name.clone(), notices, carrier)
}
