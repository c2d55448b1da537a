//! `[store] url`: which PostgreSQL servers hold the store, and how they are reached.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// How long a connection to one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// After how long without an answer of the network a connection counts as lost.
const USER_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a connection is silent before the network is probed, and between probes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(3);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// The database, and the user, of a URL that names none.
const DEFAULT_NAME: &str = "totpd";
/// What libpq knows and totpd passes on.
const PASSED_ON: [&str; 6] = ["host", "port", "user", "dbname", "application_name", "options"];

/// How connections are protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerTls {
    /// They are not: a Unix socket, this host, or a network that the administrator trusts.
    Off,
    /// TLS. The server's certificate is checked against these certificates and its name.
    VerifyFull(PathBuf),
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name and port, for messages.
    pub name: String,
    /// How it is reached, without the password.
    pub config: Config,
}

/// The table `[store]` of a site with PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Where the database is.
    pub url: ServerUrl,
    /// The file with the password of its user, if it needs one. `None`: systemd's credential
    /// `store-password`, if there is one.
    pub password_file: Option<PathBuf>,
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// The servers, in the order in which they are tried. One of them accepts writes.
    pub servers: Vec<Server>,
    /// How connections are protected.
    pub tls: ServerTls,
    /// The user of the database.
    pub user: String,
    /// The database.
    pub database: String,
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let servers: Vec<&str> = self.servers.iter().map(|server| server.name.as_str()).collect();
        write!(f, "{} on PostgreSQL {}", self.database, servers.join(", "))
    }
}

impl ServerUrl {
    /// Parses `postgresql://USER@HOST1:PORT,HOST2/DATABASE?…`.
    ///
    /// # Errors
    /// What is wrong, as a sentence that quotes nothing of the URL but names of options.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form =
            || "write it as postgresql://USER@HOST1,HOST2/DATABASE?sslrootcert=/path/ca.pem".to_owned();
        if !text.starts_with("postgresql://") && !text.starts_with("postgres://") {
            return Err(form());
        }
        let (base, options) = text.split_once('?').unwrap_or((text, ""));
        let Options { passed_on, sslmode, sslrootcert } = Options::parse(options)?;
        // Not the parser's own words, which might quote a password.
        let config: Config = format!("{base}?{}", passed_on.join("&")).parse().map_err(|_| form())?;
        if config.get_password().is_some() {
            return Err("it may not hold a password: write that into a file and set password_file".to_owned());
        }
        let user = config.get_user().unwrap_or(DEFAULT_NAME).to_owned();
        let database = config.get_dbname().unwrap_or(DEFAULT_NAME).to_owned();
        let (hosts, ports) = (config.get_hosts(), config.get_ports());
        if hosts.is_empty() || !(ports.len() <= 1 || ports.len() == hosts.len()) {
            return Err(form());
        }
        let is_local = hosts.iter().all(is_local);
        let has_socket = hosts.iter().any(|host| matches!(host, Host::Unix(_)));
        let tls = tls(sslmode.as_deref(), sslrootcert, is_local, has_socket)?;
        let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        let server = |(index, host)| server(&config, (&user, &database), host, port(index), &tls);
        let servers = hosts.iter().enumerate().map(server).collect();
        Ok(Self { servers, tls, user, database })
    }

    /// Names the servers to which codes' records travel readable by the network, if there are any.
    pub fn unprotected(&self) -> Option<String> {
        let far: Vec<&str> = self
            .servers
            .iter()
            .filter(|s| !s.config.get_hosts().iter().all(is_local))
            .map(|s| s.name.as_str())
            .collect();
        (self.tls == ServerTls::Off && !far.is_empty()).then(|| far.join(", "))
    }
}

/// The options of a URL, apart.
#[derive(Default)]
struct Options<'a> {
    passed_on: Vec<&'a str>,
    sslmode: Option<String>,
    sslrootcert: Option<PathBuf>,
}

impl<'a> Options<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let mut options = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "sslmode" => options.sslmode = Some(value.to_owned()),
                "sslrootcert" if value.starts_with('/') && !value.contains('%') => {
                    options.sslrootcert = Some(value.into());
                }
                "sslrootcert" => return Err("sslrootcert must be an absolute path".to_owned()),
                "target_session_attrs" if value == "read-write" => {}
                "target_session_attrs" => {
                    return Err("target_session_attrs is always read-write".to_owned());
                }
                "password" | "passfile" => {
                    return Err("write the password into a file and set password_file".to_owned());
                }
                key if PASSED_ON.contains(&key) => options.passed_on.push(pair),
                _ => {
                    return Err(format!(
                        "it has an option that totpd does not know. It knows sslmode, sslrootcert, \
                         target_session_attrs, {}",
                        PASSED_ON.join(", ")
                    ));
                }
            }
        }
        Ok(options)
    }
}

/// How connections are protected: by TLS, unless they stay on this host or the URL says otherwise.
fn tls(
    sslmode: Option<&str>,
    roots: Option<PathBuf>,
    is_local: bool,
    has_socket: bool,
) -> Result<ServerTls, String> {
    match (sslmode, roots) {
        (Some("disable"), None) => Ok(ServerTls::Off),
        (None, None) if is_local => Ok(ServerTls::Off),
        (Some("verify-full") | None, _) if has_socket => {
            Err("a Unix socket has no TLS: leave sslmode and sslrootcert out, or name hosts".to_owned())
        }
        (Some("verify-full") | None, Some(roots)) => Ok(ServerTls::VerifyFull(roots)),
        (Some("verify-full") | None, None) => Err(
            "name the certificates by which the servers are known: sslrootcert=/path/ca.pem. On a network that \
             nobody else can reach, sslmode=disable goes without TLS"
                .to_owned(),
        ),
        (Some(_), _) => Err(
            "sslmode is verify-full, or disable without sslrootcert: every other mode accepts any server".to_owned(),
        ),
    }
}

fn server(
    common: &Config,
    (user, database): (&str, &str),
    host: &Host,
    port: u16,
    tls: &ServerTls,
) -> Server {
    let mut config = Config::new();
    let name = match host {
        Host::Tcp(host) => {
            config.host(host);
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
        }
        Host::Unix(folder) => {
            config.host_path(folder);
            format!("{}/.s.PGSQL.{port}", folder.display())
        }
    };
    config.port(port).user(user).dbname(database);
    config.application_name(common.get_application_name().unwrap_or(DEFAULT_NAME));
    if let Some(options) = common.get_options() {
        config.options(options);
    }
    config.ssl_mode(if *tls == ServerTls::Off { SslMode::Disable } else { SslMode::Require });
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(USER_TIMEOUT).keepalives(true);
    config.keepalives_idle(KEEPALIVE_IDLE).keepalives_interval(KEEPALIVE_INTERVAL).keepalives_retries(3);
    Server { name, config }
}

/// Whether connections to it stay on this host.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(host) => {
            host == "localhost"
                || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_servers_are_reached_each_by_its_own_port() {
        let url =
            "postgresql://totpd@db1:5433,db2:5434/site?sslrootcert=/ca.pem&target_session_attrs=read-write";
        let url = ServerUrl::parse(url).unwrap();
        let names: Vec<&str> = url.servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["db1:5433", "db2:5434"]);
        assert_eq!(url.tls, ServerTls::VerifyFull("/ca.pem".into()));
        assert_eq!((url.user.as_str(), url.database.as_str()), ("totpd", "site"));
        assert!(url.servers.iter().all(|server| server.config.get_ssl_mode() == SslMode::Require));
        assert_eq!(url.to_string(), "site on PostgreSQL db1:5433, db2:5434");
    }

    #[test]
    fn only_connections_within_the_host_go_without_tls_unasked() {
        for local in
            ["postgresql:///totpd?host=/run/postgresql", "postgresql://localhost", "postgresql://[::1]"]
        {
            assert_eq!(ServerUrl::parse(local).unwrap().tls, ServerTls::Off, "{local}");
        }
        let error = ServerUrl::parse("postgresql://db1").unwrap_err();
        assert!(error.contains("sslrootcert"), "{error}");
        let written = ServerUrl::parse("postgresql://db1?sslmode=disable").unwrap();
        assert_eq!(written.unprotected().as_deref(), Some("db1:5432"));
        assert_eq!(ServerUrl::parse("postgresql://127.0.0.1").unwrap().unprotected(), None);
        for unchecked in ["require", "prefer", "allow", "verify-ca", ""] {
            let url = format!("postgresql://db1?sslmode={unchecked}&sslrootcert=/ca.pem");
            assert!(ServerUrl::parse(&url).is_err(), "{unchecked}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_quoted() {
        for url in [
            "postgresql://totpd:hunter2@localhost",
            "postgresql://localhost?password=hunter2",
            "postgresql://totpd:hunter2@localhost:port",
            "mysql://totpd:hunter2@localhost",
            "postgresql://localhost?hunter2=1",
        ] {
            let error = ServerUrl::parse(url).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        for bad in ["postgresql:///totpd", "postgresql://localhost?target_session_attrs=any", ""] {
            assert!(ServerUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
