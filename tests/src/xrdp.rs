//! The session manager of xrdp, which asks PAM about clients of the network and names no remote
//! host.

use crate::run::wait_until;
use crate::site::Site;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

/// A running xrdp-sesman, on loopback.
#[derive(Debug)]
pub struct Sesman {
    sesman: Child,
    port: u16,
}

/// `SCP_GW_AUTHENTICATION` of libscp: asks whether name and password are right, and starts no
/// session.
const AUTHENTICATE: u16 = 4;

impl Sesman {
    /// Starts it with these `auth` lines. Debian 12's listens on ::1 for 127.0.0.1.
    #[track_caller]
    pub fn start(site: &Site, auth: &str) -> Self {
        site.service("xrdp-sesman", &format!("{auth}\naccount required pam_permit.so\n"));
        let port = TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap().port();
        let log = site.path("sesman.log");
        site.write(
            "sesman.ini",
            &format!(
                "[Globals]\nListenAddress=127.0.0.1\nListenPort={port}\n[Security]\nAllowRootLogin=true\n\
                 MaxLoginRetry=4\nAlwaysGroupCheck=false\n[Sessions]\nMaxSessions=50\n\
                 [Logging]\nLogFile={}\nLogLevel=INFO\nEnableSyslog=false\n",
                log.display()
            ),
        );
        let mut command = site.command("/usr/sbin/xrdp-sesman");
        command.arg("-n").arg("-c").arg(site.path("sesman.ini"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let sesman = command.spawn().unwrap();
        let sesman = Self { sesman, port };
        wait_until("xrdp-sesman listens", || TcpStream::connect(("::1", port)).is_ok());
        sesman
    }

    /// Asks as an xrdp gateway does, which needs no privilege. A message of protocol version 0 is
    /// version, size, code, name and password with their lengths; numbers are in network order. The
    /// reply ends with 0 for a right password.
    #[track_caller]
    pub fn lets_in(&self, user: &str, password: &str) -> bool {
        let mut body = AUTHENTICATE.to_be_bytes().to_vec();
        for text in [user, password] {
            body.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            body.extend(text.as_bytes());
        }
        let size = u32::try_from(body.len() + 8).unwrap();
        let mut message = [0_u32.to_be_bytes(), size.to_be_bytes()].concat();
        message.extend(body);
        let mut stream = TcpStream::connect(("::1", self.port)).unwrap();
        stream.write_all(&message).unwrap();
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        // Version, size, code, and the verdict.
        assert!(reply.len() >= 14, "{reply:?}");
        u16::from_be_bytes([reply[10], reply[11]]) == 0 && u16::from_be_bytes([reply[12], reply[13]]) == 0
    }
}

impl Drop for Sesman {
    fn drop(&mut self) {
        let _ = self.sesman.kill();
        let _ = self.sesman.wait();
    }
}
