//! `[http]`: where the HTTP API listens, and with which certificate.

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The default of `requests_per_minute`.
const DEFAULT_REQUESTS: u32 = 12_000;
/// The default of `connections`, and its maximum.
const DEFAULT_CONNECTIONS: usize = 1_024;
const MAX_CONNECTIONS: usize = 8_192;

/// The settings of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where the daemon listens.
    pub listen: Listen,
    /// Requests a minute that one client may make.
    pub requests_per_minute: u32,
    /// Connections that may be open at once.
    pub connections: usize,
}

/// Where the HTTP API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A Unix socket.
    Unix(PathBuf),
    /// A loopback address, without TLS.
    Plain(SocketAddr),
    /// Any address, with TLS.
    Tls(SocketAddr, Tls),
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Plain(address) | Self::Tls(address, _) => write!(f, "{address}"),
        }
    }
}

/// Certificate and key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, followed by its intermediate certificates.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    listen: Option<String>,
    certificate: Option<PathBuf>,
    private_key: Option<PathBuf>,
    requests_per_minute: Option<u32>,
    connections: Option<usize>,
}

/// Checks the table `[http]`. `None` if the API is off.
pub(super) fn check(http: toml::Value) -> Result<Option<Http>, String> {
    if !http.is_table() {
        return Err("http must be a table: [http]".into());
    }
    let raw: RawHttp = http.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    raw.check()
}

impl RawHttp {
    fn check(self) -> Result<Option<Http>, String> {
        let requests_per_minute = self.requests_per_minute.unwrap_or(DEFAULT_REQUESTS);
        if requests_per_minute == 0 {
            return Err("requests_per_minute must be 1 or more".into());
        }
        let connections = self.connections.unwrap_or(DEFAULT_CONNECTIONS);
        if !(8..=MAX_CONNECTIONS).contains(&connections) {
            return Err(format!("connections must be 8 to {MAX_CONNECTIONS}"));
        }
        let tls = match (self.certificate, self.private_key) {
            (None, None) => None,
            (Some(certificate), Some(private_key)) => {
                if !certificate.is_absolute() || !private_key.is_absolute() {
                    return Err("certificate and private_key must be absolute paths".into());
                }
                Some(Tls { certificate, private_key })
            }
            _ => return Err("certificate and private_key must be set together".into()),
        };
        let Some(listen) = self.listen else {
            return match tls {
                None => Ok(None),
                Some(_) => Err("certificate is set, but listen is not. Set listen to an address".into()),
            };
        };
        let listen = parse_listen(&listen, tls)?;
        Ok(Some(Http { listen, requests_per_minute, connections }))
    }
}

fn parse_listen(listen: &str, tls: Option<Tls>) -> Result<Listen, String> {
    if listen.starts_with('/') {
        return match tls {
            None => Ok(Listen::Unix(listen.into())),
            Some(_) => {
                Err("a Unix socket has no TLS. Set the certificate in the proxy in front of it".into())
            }
        };
    }
    let address: SocketAddr = listen.parse().map_err(|_| {
        format!(
            "listen = \"{listen}\" is neither an address with its port (\"127.0.0.1:8420\", \"[::]:8420\") nor \
             the absolute path of a Unix socket"
        )
    })?;
    match tls {
        Some(tls) => Ok(Listen::Tls(address, tls)),
        None if address.ip().to_canonical().is_loopback() => Ok(Listen::Plain(address)),
        None => Err(format!(
            "listen = \"{listen}\" can be reached from the network, so codes and credentials would be sent in the \
             clear. Set certificate and private_key, or listen on 127.0.0.1, [::1] or a Unix socket behind a proxy \
             with TLS"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Option<Http>, String> {
        super::check(toml::from_str(text).unwrap())
    }

    #[test]
    fn without_listen_there_is_no_api() {
        assert_eq!(check(""), Ok(None));
        assert_eq!(check("requests_per_minute = 5"), Ok(None));
    }

    #[test]
    fn without_tls_only_loopback_and_unix_sockets_are_accepted() {
        for good in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            let listen = check(&format!("listen = \"{good}\"")).unwrap().unwrap().listen;
            assert_eq!(listen, Listen::Plain(good.parse().unwrap()));
        }
        for bad in ["0.0.0.0:1", "[::]:1", "192.0.2.1:443", "[2001:db8::1]:1"] {
            let error = check(&format!("listen = \"{bad}\"")).unwrap_err();
            assert!(error.contains("in the clear") && error.contains("certificate"), "{error}");
        }
        let unix = check("listen = \"/run/totpd/http.sock\"").unwrap().unwrap().listen;
        assert_eq!(unix, Listen::Unix("/run/totpd/http.sock".into()));
    }

    #[test]
    fn certificates_need_keys_and_absolute_paths() {
        let tls = "certificate = \"/c.pem\"\nprivate_key = \"/k.pem\"\n";
        let listen = check(&format!("{tls}listen = \"0.0.0.0:443\"")).unwrap().unwrap().listen;
        assert!(matches!(listen, Listen::Tls(address, _) if address.port() == 443));
        for bad in [
            tls.to_owned(),
            format!("{tls}listen = \"/run/x.sock\""),
            "listen = \"127.0.0.1:1\"\ncertificate = \"/c.pem\"".to_owned(),
            "listen = \"127.0.0.1:1\"\ncertificate = \"c.pem\"\nprivate_key = \"/k.pem\"".to_owned(),
            "listen = \"localhost:1\"".to_owned(),
            "listn = \"127.0.0.1:1\"".to_owned(),
            "listen = 8420".to_owned(),
            "listen = \"127.0.0.1\"".to_owned(),
            "listen = \"127.0.0.1:1\"\nconnections = 1".to_owned(),
            "listen = \"127.0.0.1:1\"\nrequests_per_minute = 0".to_owned(),
        ] {
            assert!(check(&bad).is_err(), "{bad}");
        }
    }
}
