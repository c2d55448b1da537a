//! Checks systemd's units: installed, enabled, listening where the configuration says, and of this
//! release.

use crate::config::StorePlace;
use crate::config::server_url::Server;
use crate::doctor::catalogue as kinds;
use crate::doctor::finding::{Finding, Kind};
use crate::doctor::fix::Fix;
use crate::doctor::system::Host;
use crate::units;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio_postgres::config::Host as At;

/// The folders of unit files. systemd uses the first that has the file (systemd.unit(5)).
const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// The daemon's unit.
const SERVICE: &str = "totpd.service";
/// The sockets, with the commands that repair them.
const SOCKETS: [Socket; 3] = [
    Socket {
        unit: "totpd.socket",
        start: "systemctl start totpd.socket",
        enable: "systemctl enable totpd.socket",
        unmask: "systemctl unmask totpd.socket",
    },
    Socket {
        unit: "totpd-root.socket",
        start: "systemctl start totpd-root.socket",
        enable: "systemctl enable totpd-root.socket",
        unmask: "systemctl unmask totpd-root.socket",
    },
    Socket {
        unit: "totpd-admin.socket",
        start: "systemctl start totpd-admin.socket",
        enable: "systemctl enable totpd-admin.socket",
        unmask: "systemctl unmask totpd-admin.socket",
    },
];

#[derive(Debug)]
struct Socket {
    unit: &'static str,
    start: &'static str,
    enable: &'static str,
    unmask: &'static str,
}

/// Rows about units. A host without totpd's units has no findings: totpd is started by other means.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    if file(host, SERVICE).is_none() && SOCKETS.iter().all(|socket| file(host, socket.unit).is_none()) {
        return Vec::new();
    }
    let mut found = paths(host);
    found.extend(service(host));
    for socket in &SOCKETS {
        found.extend(of_socket(host, socket));
    }
    found.extend(binary(host));
    found.extend(network(host));
    found
}

/// The shipped unit has no network, which a store on a PostgreSQL server needs.
fn network(host: &Host) -> Option<Finding> {
    let config = host.config.as_ref().ok()?;
    let StorePlace::Postgres(settings) = &config.store else { return None };
    let by_network = |server: &Server| server.config.get_hosts().iter().any(|at| matches!(at, At::Tcp(_)));
    let server = settings.url.servers.iter().find(|server| by_network(server))?;
    let values = |setting| units::values(&host.root, SERVICE, setting);
    let families = values("RestrictAddressFamilies")?;
    // systemd.exec(5), systemd.resource-control(5): of some the last one counts, of others all.
    let is_closed = [
        ("PrivateNetwork", values("PrivateNetwork")?.last().is_some_and(|value| is_on(value))),
        ("RestrictAddressFamilies", !families.is_empty() && !families.iter().any(|value| allows_inet(value))),
        (
            "IPAddressDeny",
            values("IPAddressDeny")?.contains(&"any".into()) && values("IPAddressAllow")?.is_empty(),
        ),
    ];
    let closing = is_closed.into_iter().find_map(|(setting, closes)| closes.then_some(setting));
    closing.map(|setting| {
        let what = format!("{SERVICE} has no network ({setting}), and the store is at {}", server.name);
        unit(&kinds::UNIT_WITHOUT_NETWORK, SERVICE, what).cure(
            "Run: install -D -m 0644 /usr/share/totpd/network.conf \
             /etc/systemd/system/totpd.service.d/network.conf; systemctl daemon-reload; systemctl restart totpd",
        )
    })
}

fn is_on(value: &str) -> bool {
    matches!(value, "yes" | "true" | "on" | "1")
}

/// Whether a list of families lets a program reach a server. One that begins with `~` names those
/// that are closed.
fn allows_inet(list: &str) -> bool {
    list.starts_with('~') || list.split_whitespace().any(|family| family.starts_with("AF_INET"))
}

fn unit(kind: &'static Kind, name: &str, what: String) -> Finding {
    Finding::new(kind, name, what)
}

/// The path of a unit's file on the host.
fn file(host: &Host, name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| host.stat(path).is_ok())
}

/// Whether a unit is masked: its file is a link to /dev/null.
fn is_masked(host: &Host, name: &str) -> bool {
    let Some(path) = file(host, name) else { return false };
    std::fs::read_link(host.inside(&path)).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// The properties of a unit, from `systemctl show`.
fn properties(host: &Host, name: &str) -> BTreeMap<String, String> {
    let wanted = "--property=ActiveState,UnitFileState,NeedDaemonReload,Result";
    let text = host.output(&["systemctl", "show", wanted, name]).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// Rows "socket stopped; not enabled; masked service".
fn service(host: &Host) -> Vec<Finding> {
    if is_masked(host, SERVICE) {
        let fix = Fix::Run(vec!["systemctl unmask totpd.service", "systemctl start totpd.service"]);
        return vec![unit(&kinds::UNIT_MASKED, SERVICE, format!("{SERVICE} is masked")).fixed_by(fix)];
    }
    if file(host, SERVICE).is_none() {
        let finding = unit(&kinds::UNIT_MISSING, SERVICE, format!("there is no unit {SERVICE}"));
        return vec![finding.cure("Install the package of totpd again")];
    }
    let state = properties(host, SERVICE);
    let is = |key: &str, value: &str| state.get(key).is_some_and(|v| v == value);
    let mut found = Vec::new();
    if is("ActiveState", "failed") {
        let result = state.get("Result").map_or("", String::as_str);
        let finding = unit(&kinds::UNIT_FAILED, SERVICE, format!("{SERVICE} has failed ({result})"));
        found
            .push(finding.cure(
                "Run: journalctl -u totpd -n 20. Fix what it names, then run: systemctl restart totpd",
            ));
    }
    if is("NeedDaemonReload", "yes") {
        let finding = unit(&kinds::UNIT_CHANGED, SERVICE, format!("the file of {SERVICE} has changed"));
        found.push(
            finding
                .fixed_by(Fix::Run(vec!["systemctl daemon-reload", "systemctl try-restart totpd.service"])),
        );
    }
    // A stopped service with active sockets is healthy: systemd starts it on demand.
    found
}

fn of_socket(host: &Host, socket: &Socket) -> Option<Finding> {
    let name = socket.unit;
    if is_masked(host, name) {
        let fix = Fix::Run(vec![socket.unmask, socket.enable, socket.start]);
        return Some(unit(&kinds::UNIT_MASKED, name, format!("{name} is masked")).fixed_by(fix));
    }
    if file(host, name).is_none() {
        let finding = unit(&kinds::UNIT_MISSING, name, format!("there is no unit {name}"));
        return Some(finding.cure("Install the package of totpd again"));
    }
    let state = properties(host, name);
    let is = |key: &str, value: &str| state.get(key).is_some_and(|v| v == value);
    // Without a running systemd, as in a tree, the links show it.
    let enabled = match state.get("UnitFileState") {
        Some(state) => {
            matches!(state.as_str(), "enabled" | "enabled-runtime" | "static" | "indirect" | "generated")
        }
        None => is_linked(host, name),
    };
    let stopped =
        state.contains_key("ActiveState") && !is("ActiveState", "active") && !is("ActiveState", "activating");
    match (stopped, enabled) {
        (false, true) => None,
        (true, enabled) => {
            // systemd does not start a socket whose service already runs.
            let mut commands = vec!["systemctl stop totpd.service", socket.start];
            if !enabled {
                commands.insert(0, socket.enable);
            }
            let also = if enabled { "" } else { ", and not enabled" };
            let what = format!("{name} is stopped{also}");
            Some(unit(&kinds::SOCKET_STOPPED, name, what).fixed_by(Fix::Run(commands)))
        }
        (false, false) => {
            let what = format!("{name} is not enabled");
            Some(unit(&kinds::SOCKET_NOT_ENABLED, name, what).fixed_by(Fix::Run(vec![socket.enable])))
        }
    }
}

/// Whether sockets.target wants the unit.
fn is_linked(host: &Host, name: &str) -> bool {
    let wants = ["/etc/systemd/system/sockets.target.wants", "/usr/lib/systemd/system/sockets.target.wants"];
    wants.iter().any(|folder| host.stat(Path::new(folder).join(name)).is_ok())
}

/// Row "socket path in totpd.toml ≠ socket unit".
fn paths(host: &Host) -> Vec<Finding> {
    let Ok(config) = &host.config else { return Vec::new() };
    let wanted = [&config.login_socket, &config.root_socket, &config.admin_socket];
    let differs = |(socket, wanted): (&Socket, &PathBuf)| {
        let (path, file, line) = listens(host, socket.unit)?;
        if Path::new(&path) == wanted || is_masked(host, socket.unit) {
            return None;
        }
        let what = format!(
            "{} listens at {path}, but {} says {}",
            socket.unit,
            host.config_path.display(),
            wanted.display()
        );
        let cure = format!(
            "Remove the path from {}, or run: systemctl edit {}",
            host.config_path.display(),
            socket.unit
        );
        Some(unit(&kinds::SOCKET_PATH, socket.unit, what).cure(cure).at(&file, line))
    };
    SOCKETS.iter().zip(wanted).filter_map(differs).collect()
}

/// The last path of `ListenStream=` in a unit and its drop-ins, with its file and line. An empty
/// one resets the list.
fn listens(host: &Host, name: &str) -> Option<(String, PathBuf, usize)> {
    let mut files = vec![file(host, name)?];
    for folder in FOLDERS.iter().rev() {
        let folder = Path::new(folder).join(format!("{name}.d"));
        let entries = std::fs::read_dir(host.inside(&folder)).into_iter().flatten().flatten();
        let mut more: Vec<PathBuf> = entries.map(|entry| folder.join(entry.file_name())).collect();
        more.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
        more.sort();
        files.extend(more);
    }
    let mut last = None;
    for file in files {
        for (at, line) in host.read(&file).unwrap_or_default().lines().enumerate() {
            if let Some(path) = line.trim().strip_prefix("ListenStream=") {
                last = Some((path.to_owned(), file.clone(), at + 1)).filter(|(path, ..)| !path.is_empty());
            }
        }
    }
    last
}

/// Row "running binary ≠ installed".
fn binary(host: &Host) -> Option<Finding> {
    let daemon = host.daemon.as_ref()?;
    let restart = || Fix::Run(vec!["systemctl restart totpd.service"]);
    let version = daemon.reply.as_ref().ok().map(|reply| reply.version.as_str());
    if let Some(version) = version.filter(|version| *version != env!("CARGO_PKG_VERSION")) {
        let what = format!("totpd {version} runs, but {} is installed", env!("CARGO_PKG_VERSION"));
        return Some(unit(&kinds::BINARY_OUTDATED, SERVICE, what).fixed_by(restart()));
    }
    let exe = host.inside(Path::new(&format!("/proc/{}/exe", daemon.pid?)));
    let named = std::fs::read_link(&exe).ok()?;
    let named = named.to_str()?;
    let installed = named.strip_suffix(" (deleted)").unwrap_or(named);
    // The file that the process runs, even if it was renamed or removed.
    let running = std::fs::metadata(&exe).ok()?;
    let current = std::fs::metadata(host.inside(Path::new(installed))).ok()?;
    if running.ino() == current.ino() || !installed.ends_with("/totpd") {
        return None;
    }
    let what = format!("{installed} was replaced since the daemon started");
    Some(unit(&kinds::BINARY_OUTDATED, SERVICE, what).fixed_by(restart()))
}
