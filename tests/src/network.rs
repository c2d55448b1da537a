//! A network for one test: a server and clients, each in a network namespace, joined by veth pairs.
//!
//! The namespaces have no name and the pairs are made inside of them, so the host does not see
//! them, two tests cannot collide, and the kernel removes everything when the processes that hold
//! the namespaces end. These read a pipe of the test, and end with it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A network namespace that a process holds.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
}

/// A server and its clients. Each client reaches the server at `192.0.2.1` and `2001:db8::1`.
#[derive(Debug)]
pub struct Network {
    /// The server's namespace.
    pub server: Namespace,
    /// The clients' namespaces: client n has the addresses `198.51.100.n+1` and `2001:db8:n+1::2`.
    pub clients: Vec<Namespace>,
}

/// The server's addresses.
pub const SERVER: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

impl Namespace {
    fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo ready && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 6];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut line)
            .expect("a network namespace can be made: these tests need root, CAP_SYS_ADMIN and iproute2");
        Self { holder }
    }

    /// Returns the path that `nsenter --net=` takes.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.id()).into()
    }

    /// Runs a script in the namespace.
    #[track_caller]
    pub fn sh(&self, script: &str) {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).args(["sh", "-e", "-c", script]);
        assert!(command.status().unwrap().success(), "{script}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Network {
    /// Makes a server with this many clients.
    pub fn new(clients: usize) -> Self {
        let server = Namespace::new();
        // nodad: an address that is still checked for duplicates cannot be bound.
        server.sh("ip address add 192.0.2.1/32 dev lo; ip address add 2001:db8::1/128 dev lo nodad");
        let clients = (1..=clients)
            .map(|n| {
                let client = Namespace::new();
                let (v4, v6) = (format!("198.51.100.{n}"), format!("2001:db8:{n}::"));
                server.sh(&format!(
                    "ip link add to{n} type veth peer name wire netns {}; ip link set to{n} up\n\
                     ip address add 192.0.2.1/32 peer {v4}/32 dev to{n}\n\
                     ip address add {v6}1/64 dev to{n} nodad",
                    client.holder.id()
                ));
                client.sh(&format!(
                    "ip link set wire up; ip address add {v4}/32 peer 192.0.2.1/32 dev wire\n\
                     ip address add {v6}2/64 dev wire nodad; ip route add 2001:db8::1/128 via {v6}1"
                ));
                client
            })
            .collect();
        Self { server, clients }
    }
}
