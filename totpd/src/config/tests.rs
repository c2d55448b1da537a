use super::*;

const SHIPPED: &str = include_str!("../../../config/totpd.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/totpd/totpd.toml")).map_err(|e| e.to_string())
}

#[test]
fn the_shipped_file_states_the_defaults() {
    let defaults = Config::defaults(Path::new("/etc/totpd"));
    assert_eq!(parse(SHIPPED).unwrap(), defaults);
    // And so it does with every key that it shows commented out put in force, where it has a default.
    let shown = SHIPPED.replace("# key_file =", "key_file =");
    assert_eq!(parse(&shown).unwrap(), defaults);
}

#[test]
fn the_shipped_file_shows_every_key() {
    // serde lists what it would have taken; a key missing in the file fails here.
    for (text, table) in [
        ("x = 1", ""),
        ("[totp]\nx = 1", "totp"),
        ("[login]\nx = 1", "login"),
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
        ("[totp]\nissuer = \"a:b\"", "totp.issuer"),
        ("[totp]\ndigits = 5", "digits"),
        ("[totp]\nperiod = 5", "period"),
        ("[totp]\nalgorithm = \"MD5\"", "algorithm"),
        ("[totp]\nskew = 11", "totp.skew"),
        ("[totp]\npending = \"31d\"", "totp.pending"),
        ("[totp]\npending = \"soon\"", "totp.pending"),
        ("[login]\nprompt = \"\"", "login.prompt"),
        ("[history]\nkeep = 0", "history.keep"),
        ("[[trusted_peer]]\nuid = 0\nservices = [\"x\"]", "trusted_peer.uid"),
        ("[[trusted_peer]]\nuid = 5\nservices = []", "trusted_peer.services"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(key), "{text}: {error}");
    }
}

#[test]
fn a_broken_file_still_says_where_to_refuse() {
    let sockets = Config::sockets_of_broken("login_socket = \"/l\"\nadmin_socket = \"/a\"\nwrong = 1");
    assert_eq!(sockets, Some(("/l".into(), "/a".into())));
    assert_eq!(Config::sockets_of_broken("login_socket = 5"), None);
    assert_eq!(Config::sockets_of_broken("= = ="), None);
}
