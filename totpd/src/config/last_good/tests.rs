use super::*;
use std::os::unix::fs::PermissionsExt;

const RULES: &str = r#"
admin_group = "wheel"
[login]
self_enroll = "open"
[[login.rule]]
users = ["a"]
action = "exempt"
local = true
[[login.rule]]
users = ["b"]
action = "enroll"
remember = "1h"
[[login.rule]]
users = ["c"]
action = "deny"
[[login.rule]]
users = ["d"]
action = "deny"
mode = "monitor"
[[login.rule]]
users = ["e"]
action = "deny"
enforce_from = "2026-11-20T00:00:00Z"
[[login.rule]]
action = "require"
mode = "off"
[[trusted_peer]]
uid = 99
services = ["dovecot"]
"#;

#[test]
fn exemptions_are_off_and_denied_users_stay_denied() {
    let config = Config::parse(RULES, Path::new("/etc/totpd/totpd.toml")).unwrap();
    let at = |text: &str| from_rfc3339(text).unwrap();
    for (now, reached) in [(at("2026-11-19T23:59:59Z"), false), (at("2026-11-20T00:00:00Z"), true)] {
        let strict = without_exemptions(config.clone(), now);
        let actions: Vec<Action> = strict.policy.rules.iter().map(|rule| rule.action).collect();
        let (ask, deny) = (Action::Require, Action::Deny);
        assert_eq!(actions, [ask, ask, deny, ask, if reached { deny } else { ask }, ask]);
        for rule in &strict.policy.rules {
            assert_eq!((rule.mode, rule.enforce_from), (Mode::Enforce, None));
            assert!(rule.remember.is_none() && !rule.local);
        }
        assert!(strict.trusted_peers.is_empty() && strict.administration.groups.is_empty());
        assert_eq!(strict.self_enroll, SelfEnroll::Ticket);
    }
}

struct Host {
    folder: tempfile::TempDir,
    sealer: Sealer,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = StoreKey::generate().unwrap();
        key.create(&folder.path().join("totpd.key")).unwrap();
        Self { sealer: Sealer::new(&key), folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    fn read(&self) -> Result<(Config, Time), String> {
        self.read_by(Some(&self.folder.path().join("totpd.key")))
    }

    fn read_by(&self, key_file: Option<&Path>) -> Result<(Config, Time), String> {
        let now = Time::from_unix(1_800_000_000);
        read(&self.file(), &self.folder.path().join("totpd.toml"), key_file, now)
    }

    fn write(&self, text: &str) {
        write(self.folder.path(), text, &self.sealer, Time::from_unix(1_700_000_000)).unwrap();
    }
}

#[test]
fn a_copy_reads_back_and_belongs_to_this_user_alone() {
    let host = Host::new();
    for text in ["", RULES, "[login]\nprompt = \"Code: \""] {
        host.write(text);
        let (config, saved) = host.read().unwrap();
        assert_eq!(saved, Time::from_unix(1_700_000_000));
        let of_file = Config::parse(text, &host.folder.path().join("totpd.toml")).unwrap();
        assert_eq!((config.prompt, config.rule_lines), (of_file.prompt, of_file.rule_lines));
        assert_eq!(host.file().metadata().unwrap().mode() & 0o777, 0o600);
        assert!(!host.folder.path().join(FRESH).exists());
    }
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    mode(&host.file(), 0o640);
    assert!(host.read().unwrap_err().contains("daemon's user alone"));
    mode(&host.file(), 0o600);
    mode(host.folder.path(), 0o777);
    assert!(host.read().unwrap_err().contains("its folder"));
    mode(host.folder.path(), 0o700);
    assert!(host.read().is_ok());
    std::fs::hard_link(host.file(), host.folder.path().join("second")).unwrap();
    assert!(host.read().unwrap_err().contains("cannot be used"));
}

#[test]
fn a_damaged_copy_or_that_of_another_store_is_refused() {
    let (host, other) = (Host::new(), Host::new());
    assert_eq!(host.read().unwrap_err(), "is missing");
    host.write(RULES);
    let content = std::fs::read_to_string(host.file()).unwrap();
    let put = |content: &[u8]| std::fs::write(host.file(), content).unwrap();
    // Cut off anywhere, even where what is left is a valid configuration that denies nobody.
    for length in (0..content.len()).step_by(7) {
        put(&content.as_bytes()[..length]);
        assert!(host.read().is_err(), "{length}");
    }
    put(content.replace("\"deny\"", "\"require\"").as_bytes());
    assert_eq!(host.read().unwrap_err(), "is damaged");
    put(b"\xff\xfe");
    assert_eq!(host.read().unwrap_err(), "is damaged");
    other.write(RULES);
    put(&std::fs::read(other.file()).unwrap());
    assert_eq!(host.read().unwrap_err(), "belongs to another store");
    // Another store's that says it is this one's.
    let foreign = std::fs::read_to_string(other.file()).unwrap();
    put(foreign.replace(other.sealer.store_id(), host.sealer.store_id()).as_bytes());
    assert_eq!(host.read().unwrap_err(), "is damaged");
    put(content.as_bytes());
    assert!(host.read().is_ok());
}

#[test]
fn a_copy_cannot_choose_its_own_key() {
    let host = Host::new();
    let key = StoreKey::generate().unwrap();
    let folder = host.folder.path().join("place");
    std::fs::create_dir(&folder).unwrap();
    let own = folder.join("own.key");
    key.create(&own).unwrap();
    let text = format!("key_file = \"{}\"\n", own.display());
    write(host.folder.path(), &text, &Sealer::new(&key), Time::from_unix(1_700_000_000)).unwrap();
    assert_eq!(host.read().unwrap_err(), "names another key than totpd.toml does");
    assert!(host.read_by(Some(&own)).is_ok());
    // If that line has the mistake, only a key in a folder of root is used.
    nix::unistd::chown(&folder, Some(4242.into()), None).unwrap();
    assert_eq!(host.read_by(None).unwrap_err(), "names another key than totpd.toml does");
}
