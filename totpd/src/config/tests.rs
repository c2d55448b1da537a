use super::*;
use std::path::Path;

const SHIPPED: &str = include_str!("../../../config/totpd.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/totpd/totpd.toml")).map_err(|e| e.to_string())
}

#[test]
fn the_shipped_file_states_the_defaults() {
    let defaults = Config::defaults(Path::new("/etc/totpd"));
    assert_eq!(parse(SHIPPED).unwrap(), defaults);
    // A key that is commented out and has a default shows that default.
    let shown = SHIPPED.replace("# key_file =", "key_file =");
    assert_eq!(parse(&shown).unwrap(), defaults);
}

#[test]
fn the_rules_in_the_shipped_file_are_valid() {
    let rules: String = SHIPPED
        .lines()
        .skip_while(|line| *line != "# [[login.rule]]")
        .map_while(|line| line.strip_prefix('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = parse(&rules).unwrap();
    assert_eq!(config.policy.rules.len(), 2);
    assert_eq!(config.rule_name(1), "rule 2 \"rollout\" (line 13)");
    assert_eq!(config.findings(), [""; 0]);
}

#[test]
fn a_meaningless_rule_is_refused_with_its_line_and_key() {
    for (text, word) in [
        ("", "action"),
        ("action = \"allow\"", "exempt"),
        ("action = \"exempt\"\nusers = []", "users is empty"),
        ("action = \"exempt\"\ngroups = [\"\"]", "groups"),
        ("action = \"exempt\"\nnetworks = [\"example.org\"]", "host names never match"),
        ("action = \"exempt\"\nnetworks = [\"10.1.2.3/8\"]", "after its prefix"),
        ("action = \"exempt\"\npeers = [\"any\"]", "peers"),
        ("action = \"exempt\"\nssh_methods = [\"none\"]", "ssh_methods"),
        ("action = \"require\"\nmode = \"enforce\"\nenforce_from = \"2027-01-01T00:00:00Z\"", "enforce_from"),
        ("action = \"require\"\nenforce_from = \"2027-01-01\"", "RFC 3339"),
        ("action = \"require\"\nuntil = \"2027-01-01T00:00:00Z\"", "until goes with"),
        ("action = \"exempt\"\nuntil = \"2027-01-01\"", "until is an RFC 3339"),
        ("action = \"deny\"\napproved_by = \"CISO\"", "approved_by goes with"),
        ("action = \"exempt\"\napproved_by = \" \"", "approved_by has"),
        ("action = \"require\"\nremember = \"31d\"", "remember"),
        ("action = \"require\"\nremember_by = \"ssh-key\"", "remember_by"),
        ("action = \"enroll\"\nlocal = true", "local"),
        ("action = \"enroll\"\nsubject = \"ruser\"", "subject"),
        ("action = \"deny\"\nname = \"\"", "name"),
        ("action = \"deny\"\nservices = [\"=\"]", "services"),
        ("action = \"deny\"\nservices = [\"==sudo\"]", "services"),
    ] {
        let error = parse(&format!("[login]\n\n[[login.rule]]\n{text}")).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
    let error = parse("\n\n[[login.rule]]\naction = \"deny\"\nusers = []").unwrap_err();
    assert!(error.contains("in line 3"), "{error}");
}

#[test]
fn a_service_in_a_rule_means_its_siblings_too() {
    let services = |list: &str| {
        let config = parse(&format!("[[login.rule]]\naction = \"deny\"\nservices = {list}")).unwrap();
        config.policy.rules[0].services.iter().flatten().cloned().collect::<Vec<_>>()
    };
    assert_eq!(services("[\"sudo\"]"), ["sudo", "sudo-i"]);
    assert_eq!(services("[\"su\", \"sshd\"]"), ["sshd", "su", "su-l"]);
    assert_eq!(services("[\"=sudo\"]"), ["sudo"]);
    assert_eq!(services("[\"sudo-i\"]"), ["sudo-i"]);
    assert_eq!(services("[\"=su\", \"su-l\"]"), ["su", "su-l"]);
}

#[test]
fn a_date_may_be_quoted_or_tomls_own() {
    for date in ["\"2027-01-01T01:00:00+01:00\"", "2027-01-01T00:00:00Z"] {
        let config = parse(&format!("[[login.rule]]\naction = \"require\"\nenforce_from = {date}")).unwrap();
        let from = config.policy.rules[0].enforce_from.map(crate::clock::rfc3339);
        assert_eq!(from.as_deref(), Some("2027-01-01T00:00:00Z"));
        assert_eq!(config.policy.rules[0].mode, totp_core::policy::Mode::Monitor);
    }
}

#[test]
fn the_shipped_file_shows_every_key() {
    // serde lists the keys that it knows; a key that is missing in the file fails here.
    for (text, table) in [
        ("x = 1", ""),
        ("[totp]\nx = 1", "totp"),
        ("[login]\nx = 1", "login"),
        ("[[login.rule]]\nx = 1", "login.rule"),
        ("[history]\nx = 1", "history"),
        ("[[trusted_peer]]\nx = 1", "trusted_peer"),
    ] {
        let error = parse(text).unwrap_err();
        let keys: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert!(!keys.is_empty(), "{error}");
        for key in keys {
            let shown = [
                format!("\n{key} ="),
                format!("\n# {key} ="),
                format!("\n[{key}]"),
                format!("\n# [[{key}]]"),
                format!("\n# [[{table}.{key}]]"),
            ];
            assert!(shown.iter().any(|s| SHIPPED.contains(s)), "{table}.{key} is not in config/totpd.toml");
        }
    }
}

#[test]
fn an_error_names_its_line_and_column_and_quotes_nothing() {
    let error = parse("state_dir = \"/x\"\n\n[totp]\ndigits = \"hunter2\"\n").unwrap_err();
    assert!(error.starts_with("/etc/totpd/totpd.toml:4:10: "), "{error}");
    let error = parse("secret_key = \"hunter2\"").unwrap_err();
    assert!(error.starts_with("/etc/totpd/totpd.toml:1:1: unknown field `secret_key`"), "{error}");
    assert!(!error.contains("hunter2"));
}

#[test]
fn values_outside_their_range_are_refused_by_name() {
    for (text, key) in [
        ("login_socket = \"login.sock\"", "login_socket"),
        ("login_socket = \"/a\"\nadmin_socket = \"/a\"", "admin_socket"),
        ("admin_group = \"\"", "admin_group"),
        ("admin_groups = [{ group = \"\", scope = \"admin\" }]", "admin_groups"),
        ("admin_group = \"a\"\nadmin_groups = [{ group = \"a\", scope = \"helpdesk\" }]", "admin_groups"),
        ("protected_groups = [\"\"]", "protected_groups"),
        ("[totp]\nissuer = \"a:b\"", "totp.issuer"),
        ("[totp]\ndigits = 5", "digits"),
        ("[totp]\nperiod = 5", "period"),
        ("[totp]\nalgorithm = \"MD5\"", "algorithm"),
        ("[totp]\nskew = 11", "totp.skew"),
        ("[totp]\npending = \"31d\"", "totp.pending"),
        ("[totp]\npending = \"soon\"", "totp.pending"),
        ("[login]\nprompt = \"\"", "login.prompt"),
        ("[login]\nrefused_prompt = \"\"", "login.refused_prompt"),
        ("[login]\nrefused_prompt = \"Not\\naccepted\"", "login.refused_prompt"),
        ("[history]\nkeep = 0", "history.keep"),
        ("[[trusted_peer]]\nuid = 0\nservices = [\"x\"]", "trusted_peer.uid"),
        ("[[trusted_peer]]\nuid = 5\nservices = []", "trusted_peer.services"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(key), "{text}: {error}");
    }
}

#[test]
fn the_helpdesk_is_off_and_sudo_is_protected_by_default() {
    let of = |text: &str| parse(text).unwrap().administration;
    assert_eq!(of("").untouchable(), ["sudo", "wheel"].map(str::to_owned).into());
    assert!(of("").groups.is_empty());
    let both = of(
        "protected_groups = []\nadmin_group = \"a\"\nadmin_groups = [{ group = \"h\", scope = \"helpdesk\" }]",
    );
    assert_eq!(both.untouchable(), ["a", "h"].map(str::to_owned).into());
    let groups = |scope| both.groups_with(scope).collect::<Vec<_>>();
    assert_eq!((groups(AdminScope::Admin), groups(AdminScope::Helpdesk)), (vec!["a"], vec!["h"]));
    for unclear in ["{ group = \"h\" }", "{ scope = \"admin\" }", "{ group = \"h\", scope = \"root\" }"] {
        assert!(parse(&format!("admin_groups = [{unclear}]")).is_err(), "{unclear}");
    }
}

#[test]
fn a_file_with_mistakes_still_names_the_sockets() {
    let sockets = Config::sockets_of_broken("login_socket = \"/l\"\nadmin_socket = \"/a\"\nwrong = 1");
    let expected = SocketPaths { root: "/root.sock".into(), login: "/l".into(), admin: "/a".into() };
    assert_eq!(sockets.as_ref(), Some(&expected));
    assert_eq!(Config::sockets_of_broken("login_socket = 5"), None);
    assert_eq!(Config::sockets_of_broken("login_socket = \"/l"), None);
    // A text that cannot be parsed still has lines with the sockets; keys of a later table do not
    // count.
    let broken = "admin_socket = \"/a\" # x\n= = =\nlogin_socket=\"/l\"\n[x]\nlogin_socket = \"/no\"";
    assert_eq!(Config::sockets_of_broken(broken), sockets);
    let defaults = Config::defaults(Path::new("/"));
    assert_eq!(Config::sockets_of_broken("= = ="), Some(defaults.socket_paths()));
}
