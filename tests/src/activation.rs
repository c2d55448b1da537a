//! Socket activation: sockets that root makes and hands to the daemon, as systemd does.

use crate::Site;
use crate::paths::{native, totpd};

/// `UID PORT COUNT PATH… COMMAND…`: binds the sockets, becomes the user and executes the command.
/// No port is 0.
const ACTIVATE: &str = r"
import os, socket, sys
uid, port, count = (int(word) for word in sys.argv[1:4])
paths, command = sys.argv[4:4 + count], sys.argv[4 + count:]
sockets = []
if port:
    tcp = socket.socket(socket.AF_INET)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.bind(('127.0.0.1', port))
    sockets.append(tcp)
for path in paths:
    if os.path.exists(path): os.unlink(path)
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(path)
    os.chmod(path, 0o666 if path.endswith('login.sock') else 0o600)
    sockets.append(unix)
for number, s in enumerate(sockets):
    s.listen(16)
    os.dup2(s.fileno(), number + 20)
for number in range(len(sockets)): os.dup2(number + 20, number + 3)
os.environ['LISTEN_FDS'] = str(len(sockets))
os.environ['LISTEN_PID'] = str(os.getpid())
os.setgid(uid)
os.setuid(uid)
os.execvp(command[0], command)
";

/// What the daemon inherits.
#[derive(Clone, Copy, Debug)]
pub struct Activation<'a> {
    /// Names of Unix sockets in the site's `run` folder, without `.sock`.
    pub sockets: &'a [&'a str],
    /// A port of loopback. The daemon then has a network namespace of its own.
    pub port: Option<u16>,
    /// The daemon's uid.
    pub uid: u32,
}

impl Default for Activation<'_> {
    /// All Unix sockets of the shipped units, and a daemon of root's.
    fn default() -> Self {
        Self { sockets: &["root", "login", "admin"], port: None, uid: 0 }
    }
}

impl Activation<'_> {
    /// Starts the site's daemon with these sockets, and waits until it answers.
    #[track_caller]
    pub fn start(&self, site: &Site) {
        let mut command = site.command("/usr/bin/python3");
        command.args(["-c", ACTIVATE, &self.uid.to_string(), &self.port.unwrap_or(0).to_string()]);
        command.arg(self.sockets.len().to_string());
        command.args(self.sockets.iter().map(|socket| site.path(&format!("run/{socket}.sock"))));
        if self.port.is_some() {
            command.args(["unshare", "--net"]);
        }
        command.arg(totpd()).arg("--config").arg(site.path("etc/totpd/totpd.toml")).arg("serve");
        command.env("LD_PRELOAD", native("faults.so")).env("TOTPD_FAULTS", &site.faults.path);
        site.start_as(command);
    }
}
