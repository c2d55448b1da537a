//! The drop-in for the configurations that hosts have, and those that are refused.

use super::*;

/// Debian 12 and 13's, without comments.
const DEBIAN: &str =
    "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\nUsePAM yes\nX11Forwarding yes\n";

fn today(changes: &[(&str, &str)]) -> Effective {
    let stock = "usepam yes\npubkeyauthentication yes\npasswordauthentication yes\nkbdinteractiveauthentication no\n\
                 gssapiauthentication no\nhostbasedauthentication no\npermitrootlogin prohibit-password\n";
    let mut today = effective(stock);
    today.extend(changes.iter().map(|(keyword, value)| ((*keyword).to_owned(), (*value).to_owned())));
    today
}

fn planned(config: &str, drop_in: &str, today: &Effective, mode: Mode) -> Result<SshdPlan, String> {
    let folder = Path::new("/etc/ssh/sshd_config.d");
    let config = settings(Path::new("/etc/ssh/sshd_config"), config);
    let drop_ins = settings(&folder.join("50-cloud-init.conf"), drop_in);
    plan(&config, &drop_ins, folder, today, &["root".to_owned()], mode)
}

#[test]
fn keys_alone_become_a_key_and_a_code() {
    let today = today(&[("passwordauthentication", "no"), ("permitrootlogin", "no")]);
    let plan = planned(DEBIAN, "PasswordAuthentication no\n", &today, Mode::Require).unwrap();
    assert_eq!(plan.first, FirstFactor::Sshd);
    let drop_in = plan.drop_in.unwrap();
    assert!(drop_in.contains("\nAuthenticationMethods publickey,keyboard-interactive:pam\n"), "{drop_in}");
    assert!(drop_in.contains("\nPasswordAuthentication no\n"));
    assert!(!drop_in.contains("Match"), "root cannot log in at all");
}

#[test]
fn a_stock_sshd_takes_key_or_password_and_root_keeps_the_key() {
    let plan = planned(DEBIAN, "", &today(&[]), Mode::Rules).unwrap();
    assert_eq!(plan.first, FirstFactor::Either);
    let drop_in = plan.drop_in.unwrap();
    let methods = "\nAuthenticationMethods publickey,keyboard-interactive:pam keyboard-interactive:pam\n";
    assert!(drop_in.contains(methods), "{drop_in}");
    assert!(drop_in.contains("\nMatch User root\n    AuthenticationMethods publickey\nMatch all\n"));
    assert!(plan.notes.iter().any(|note| note.contains("NO code")));
    assert_eq!(plan.root_methods.unwrap(), "publickey");
}

#[test]
fn the_code_is_never_the_only_factor() {
    for (password, kbd) in [("yes", "no"), ("no", "yes"), ("yes", "yes"), ("no", "no")] {
        for pubkey in ["yes", "no"] {
            let today = today(&[
                ("passwordauthentication", password),
                ("kbdinteractiveauthentication", kbd),
                ("pubkeyauthentication", pubkey),
            ]);
            let Ok(plan) = planned(DEBIAN, "", &today, Mode::Require) else {
                assert_eq!((password, kbd, pubkey), ("no", "no", "no"));
                continue;
            };
            let alone = plan.methods.unwrap().split(' ').any(|way| way == "keyboard-interactive:pam");
            // keyboard-interactive alone is offered only where the stack asks for the password.
            assert_eq!(alone, plan.first != FirstFactor::Sshd);
        }
    }
}

#[test]
fn monitor_leaves_sshd_alone() {
    let plan = planned(DEBIAN, "", &today(&[]), Mode::Monitor).unwrap();
    assert_eq!((plan.drop_in, plan.first), (None, FirstFactor::Stack));
    let keys = today(&[("passwordauthentication", "no")]);
    assert!(
        planned(DEBIAN, "", &keys, Mode::Monitor).unwrap_err().contains("nothing that monitor could watch")
    );
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    let stock = today(&[]);
    let refused = |config: &str, drop_in: &str| planned(config, drop_in, &stock, Mode::Require).unwrap_err();
    let after = |lines: &str| format!("{DEBIAN}{lines}");
    assert!(
        refused(&after("AuthenticationMethods publickey\n"), "")
            .contains("sshd_config:5 sets AuthenticationMethods")
    );
    assert!(refused(DEBIAN, "AuthenticationMethods publickey\n").contains("50-cloud-init.conf:1 sets"));
    let below = after("Match Group sftp\n  PasswordAuthentication no\n");
    assert!(refused(&below, "").contains("below \"Match Group sftp\""));
    assert!(refused("UsePAM yes\n", "").contains("Put this line first"));
    let late = format!("PasswordAuthentication yes\n{DEBIAN}");
    assert!(refused(&late, "").contains("sshd_config:1 sets passwordauthentication before"));
    assert!(refused(&after("Include /etc/ssh/more\n"), "").contains("includes more files"));
    assert!(refused(&after("PAMServiceName ssh\n"), "").contains("another PAM service, ssh"));
    let no_pam = today(&[("usepam", "no")]);
    assert!(planned(DEBIAN, "", &no_pam, Mode::Require).unwrap_err().contains("UsePAM yes"));
}

#[test]
fn settings_that_change_nothing_here_are_fine() {
    let config = format!(
        "{DEBIAN}AuthenticationMethods any\nMatch User git\n  X11Forwarding no\nMatch all\nPort 22\n"
    );
    assert!(planned(&config, "PasswordAuthentication yes\n", &today(&[]), Mode::Require).is_ok());
    let keys = today(&[("passwordauthentication", "no")]);
    let config = format!("{DEBIAN}Match Group sftp\n  PasswordAuthentication no\n");
    assert!(planned(&config, "", &keys, Mode::Require).is_ok());
}

#[test]
fn a_robot_that_logs_in_by_key_alone_stays_one() {
    let robot = "Match User backup\n    AuthenticationMethods publickey\nMatch all\n";
    let plan = planned(DEBIAN, robot, &today(&[]), Mode::Require).unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("\"Match User backup\" keeps")), "{:?}", plan.notes);
    let mut before = today(&[("authenticationmethods", "publickey")]);
    let mut after = before.clone();
    after.insert("kbdinteractiveauthentication".to_owned(), "yes".to_owned());
    compare(&plan, &SshUser::Other("backup"), &before, &after).unwrap();
    before.insert("authenticationmethods".to_owned(), "any".to_owned());
    assert!(compare(&plan, &SshUser::Other("alice"), &before, &after).is_err());
    // A code would be the only factor.
    let open = robot.replace("publickey", "publickey keyboard-interactive:pam");
    assert!(planned(DEBIAN, &open, &today(&[]), Mode::Require).is_err());
}

#[test]
fn a_setting_that_leaks_is_found_by_comparison() {
    let plan = planned(DEBIAN, "", &today(&[]), Mode::Require).unwrap();
    let mut after = today(&[("kbdinteractiveauthentication", "yes"), ("passwordauthentication", "no")]);
    let methods = plan.methods.clone().unwrap();
    after.insert("authenticationmethods".to_owned(), methods);
    let before = today(&[("authenticationmethods", "any")]);
    compare(&plan, &SshUser::Other("alice"), &before, &after).unwrap();
    assert!(compare(&plan, &SshUser::Root("root"), &before, &after).unwrap_err().contains("for root"));
    after.insert("x11forwarding".to_owned(), "no".to_owned());
    assert!(compare(&plan, &SshUser::Other("alice"), &before, &after).unwrap_err().contains("x11forwarding"));
}

#[test]
fn a_match_block_that_would_lock_out_by_password_is_refused() {
    let today = today(&[]);
    for methods in ["publickey,password", "publickey publickey,password", "hostbased,password"] {
        let config = format!("{DEBIAN}Match Group contractors\n    AuthenticationMethods {methods}\n");
        let why = planned(&config, "", &today, Mode::Require).unwrap_err();
        assert!(why.contains("would be locked out"), "{methods}: {why}");
    }
    for methods in ["publickey", "publickey,keyboard-interactive", "publickey,publickey hostbased"] {
        let config = format!("{DEBIAN}Match Group contractors\n    AuthenticationMethods {methods}\n");
        planned(&config, "", &today, Mode::Require).unwrap();
    }
}

#[test]
fn an_include_of_more_than_the_folder_is_refused() {
    let more = DEBIAN.replace("*.conf\n", "*.conf /etc/ssh/site/*.conf\n");
    let why = planned(&more, "", &today(&[]), Mode::Require).unwrap_err();
    assert!(why.contains("includes more files"), "{why}");
}
