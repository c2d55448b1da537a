//! sshd's part: a drop-in that makes it ask PAM for the code, after a first factor of its own or
//! before one of PAM's.
//!
//! What a login takes today decides (`sshd -T`):
//!
//! | today | `AuthenticationMethods` | the stack |
//! | --- | --- | --- |
//! | keys | `publickey,keyboard-interactive:pam` | the code |
//! | passwords | `keyboard-interactive:pam` | password, code |
//! | both | `publickey,keyboard-interactive:pam keyboard-interactive:pam` | the code after a key; else password, code |
//!
//! `PasswordAuthentication` is off in all of them: that method answers every prompt with the
//! password, so that nobody could be asked for a code.
//!
//! root: under `PermitRootLogin prohibit-password`, which is sshd's default, sshd refuses
//! keyboard-interactive to root. A key has to stay enough there (`Match User root`), or root would
//! be locked out.

use super::block::{self, Mode};
use super::proof::FirstFactor;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The drop-in's name. sshd uses the first value of a setting, and 50-cloud-init.conf is common.
pub const DROP_IN: &str = "00-totpd.conf";

/// The settings that decide how users log in, in lower case. Another file that sets one is checked.
const DECIDES: [&str; 12] = [
    "authenticationmethods",
    "kbdinteractiveauthentication",
    "challengeresponseauthentication",
    "keyboardinteractiveauthentication",
    "passwordauthentication",
    "pubkeyauthentication",
    "hostbasedauthentication",
    "gssapiauthentication",
    "permitrootlogin",
    "usepam",
    "pamservicename",
    "include",
];
/// The settings of the drop-in, with their older names.
const SETS: [&str; 5] = [
    "authenticationmethods",
    "kbdinteractiveauthentication",
    "challengeresponseauthentication",
    "keyboardinteractiveauthentication",
    "passwordauthentication",
];
/// The settings that the drop-in may change in the output of `sshd -T`.
const OURS: [&str; 3] = ["authenticationmethods", "kbdinteractiveauthentication", "passwordauthentication"];

/// One setting of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub number: usize,
    /// The keyword in lower case.
    pub keyword: String,
    /// The rest of the line.
    pub value: String,
    /// The criteria of its `Match` block.
    pub below: Option<String>,
}

/// Reads the settings of one file (sshd_config(5)): a keyword, then blanks or one "=", then its
/// value.
pub fn settings(file: &Path, text: &str) -> Vec<Setting> {
    let (mut settings, mut below) = (Vec::new(), None);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
        let (keyword, value) = line.split_at(end);
        let value = value.trim_start_matches(|c: char| c.is_whitespace() || c == '=').trim_matches('"');
        let keyword = keyword.to_ascii_lowercase();
        if keyword == "match" {
            below = Some(value.to_owned()).filter(|value| !value.eq_ignore_ascii_case("all"));
            continue;
        }
        settings.push(Setting {
            file: file.to_owned(),
            number: index + 1,
            keyword,
            value: value.to_owned(),
            below: below.clone(),
        });
    }
    settings
}

/// The output of `sshd -T`: the last value of each keyword.
pub type Effective = BTreeMap<String, String>;

/// Reads the output of `sshd -T`.
pub fn effective(output: &str) -> Effective {
    let pairs = output.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(keyword, value)| (keyword.to_owned(), value.trim().to_owned())).collect()
}

/// The plan for sshd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshdPlan {
    /// What proves the first factor, for the plan of sshd's PAM stack.
    pub first: FirstFactor,
    /// The text of the drop-in; `None` under `monitor`.
    pub drop_in: Option<String>,
    /// The `AuthenticationMethods` that `sshd -T` must then print for users other than root.
    pub methods: Option<String>,
    /// The `AuthenticationMethods` that it must print for users with uid 0.
    pub root_methods: Option<String>,
    /// Notes for the administrator.
    pub notes: Vec<String>,
}

/// Plans sshd's drop-in.
///
/// `config` and `drop_ins` are the settings of sshd_config and of its folder, without ours; `today`
/// is what `sshd -T` says without ours; `roots` are the names of uid 0.
///
/// # Errors
/// The sentence that says what is not understood, and what to do.
pub fn plan(
    config: &[Setting],
    drop_ins: &[Setting],
    folder: &Path,
    today: &Effective,
    roots: &[String],
    mode: Mode,
) -> Result<SshdPlan, String> {
    let is = |keyword: &str| today.get(keyword).is_some_and(|value| value == "yes");
    if !is("usepam") {
        return Err(
            "sshd does not ask PAM. Set UsePAM yes in /etc/ssh/sshd_config, then try again".to_owned()
        );
    }
    let keys: Vec<&str> = [
        ("pubkeyauthentication", "publickey"),
        ("gssapiauthentication", "gssapi-with-mic"),
        ("hostbasedauthentication", "hostbased"),
    ]
    .into_iter()
    .filter_map(|(keyword, method)| is(keyword).then_some(method))
    .collect();
    let passwords = is("passwordauthentication") || is("kbdinteractiveauthentication");
    let first = match (keys.is_empty(), passwords) {
        (false, false) => FirstFactor::Sshd,
        (true, true) => FirstFactor::Stack,
        (false, true) => FirstFactor::Either,
        (true, false) => return Err("sshd lets nobody log in, neither by key nor by password".to_owned()),
    };
    if mode == Mode::Monitor {
        return monitor(first, config, drop_ins);
    }
    let mut notes = understood(config, drop_ins, folder, first)?;
    let mut methods: Vec<String> = keys.iter().map(|key| format!("{key},keyboard-interactive:pam")).collect();
    if passwords {
        methods.push("keyboard-interactive:pam".to_owned());
        notes.push(match first {
            FirstFactor::Stack => "a login needs the password, then the code".to_owned(),
            _ => "a login needs a key or the password, then the code".to_owned(),
        });
    } else {
        notes.push("a login needs a key, then the code".to_owned());
    }
    notes.push("clients that cannot answer a question (ssh -o BatchMode=yes, robots) are refused".to_owned());
    let methods = methods.join(" ");
    let mut lines = vec![
        "# sshd takes the first value of a setting, so this file comes before the others.".to_owned(),
        "KbdInteractiveAuthentication yes".to_owned(),
        "# This method cannot ask for a code; passwords are asked for by keyboard-interactive, if at all."
            .to_owned(),
        "PasswordAuthentication no".to_owned(),
        format!("AuthenticationMethods {methods}"),
    ];
    // sshd -T prints the older name of the two.
    let permit = match today.get("permitrootlogin").map_or("", String::as_str) {
        "without-password" => "prohibit-password",
        other => other,
    };
    let key_only = matches!(permit, "prohibit-password" | "forced-commands-only");
    let mut root_methods = (permit == "yes").then(|| methods.clone());
    if key_only && !keys.is_empty() {
        let alone = keys.join(" ");
        lines.push(format!(
            "# PermitRootLogin {permit}: sshd refuses root's answers to PAM. Without these lines root could not log in."
        ));
        lines.push(format!("Match User {}", roots.join(",")));
        lines.push(format!("    AuthenticationMethods {alone}"));
        lines.push("Match all".to_owned());
        notes.push(format!(
            "root logs in with a key and NO code, because under \"PermitRootLogin {permit}\" sshd cannot ask root for \
             one. To change that, set PermitRootLogin no (then sudo asks), or yes (then root needs a factor)"
        ));
        root_methods = Some(alone);
    } else if permit == "yes" {
        notes.push("root is asked for a code too. If root logs in by ssh, run: totpd enroll root".to_owned());
    }
    let drop_in = Some(block::whole("sshd", mode, &lines));
    Ok(SshdPlan { first, drop_in, methods: Some(methods), root_methods, notes })
}

/// Under `monitor` sshd stays as it is: a client that cannot answer has to get in, and a key alone
/// does.
fn monitor(first: FirstFactor, config: &[Setting], drop_ins: &[Setting]) -> Result<SshdPlan, String> {
    let methods = config.iter().chain(drop_ins).any(|setting| setting.keyword == "authenticationmethods");
    if first == FirstFactor::Sshd && !methods {
        return Err("sshd lets a key in without asking PAM, so there is nothing that monitor could watch, and asking would \
                    lock out clients that cannot answer. Enroll people, see totpd list, and then use --mode rules or require"
            .to_owned());
    }
    let notes = vec![
        "sshd's own settings stay as they are, so that nobody is locked out: logins by key alone are not seen".to_owned(),
    ];
    Ok(SshdPlan { first: FirstFactor::Stack, drop_in: None, methods: None, root_methods: None, notes })
}

/// Refuses a configuration whose other settings would override the drop-in, or be overridden by it
/// unseen. What is left as it is, in words.
fn understood(
    config: &[Setting],
    drop_ins: &[Setting],
    folder: &Path,
    first: FirstFactor,
) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    let wanted = folder.join("*.conf");
    let is_ours = |setting: &&Setting| {
        let names = |word: &str| Path::new("/etc/ssh").join(word) == wanted || Path::new(word) == wanted;
        setting.keyword == "include" && setting.value.split_whitespace().any(names)
    };
    let wanted = wanted.display();
    let include = config.iter().find(is_ours).filter(|include| include.below.is_none()).ok_or_else(|| {
        format!("sshd_config does not include {wanted}. Put this line first into it: Include {wanted}")
    })?;
    let only_ours = include.value.split_whitespace().count() == 1;
    for setting in config.iter().chain(drop_ins) {
        if (setting == include && only_ours) || !DECIDES.contains(&setting.keyword.as_str()) {
            continue;
        }
        let at = format!("{}:{}", setting.file.display(), setting.number);
        let (keyword, value) = (&setting.keyword, &setting.value);
        let below_match = setting.below.as_deref();
        if keyword == "authenticationmethods"
            && let Some(below) = below_match.filter(|_| begins_with_a_key(value))
        {
            if value.split([',', ' ', '\t']).any(|method| method == "password") {
                return Err(format!(
                    "{at}: \"Match {below}\" takes the method password, which cannot ask for a code and would be off: these users \
                     would be locked out. Write keyboard-interactive instead of password there, or remove that line"
                ));
            }
            // An administrator's own exemption, such as for a robot, which needs a key.
            notes.push(format!("{at}: \"Match {below}\" keeps AuthenticationMethods {value}"));
            continue;
        }
        if keyword == "authenticationmethods" && value != "any" {
            return Err(format!(
                "{at} sets AuthenticationMethods already. Remove that line, or write sshd's settings by hand"
            ));
        }
        if keyword == "include" {
            return Err(format!(
                "{at} includes more files than this command looks at; write sshd's settings by hand"
            ));
        }
        if keyword == "pamservicename" && value != "sshd" {
            return Err(format!("{at} gives sshd another PAM service, {value}; edit that one by hand"));
        }
        let harmless = first == FirstFactor::Sshd && keyword == "passwordauthentication" && value == "no";
        if let Some(below) = setting.below.as_ref().filter(|_| !harmless) {
            return Err(format!(
                "{at} sets {keyword} below \"Match {below}\", and who logs in how there is not understood. Move it out of \
                 the Match block, or write sshd's settings by hand"
            ));
        }
        let early = setting.file == include.file && setting.number < include.number;
        if early && SETS.contains(&keyword.as_str()) {
            return Err(format!(
                "{at} sets {keyword} before the line that includes {wanted}, and the first value wins. Move the Include \
                 up, to the first line"
            ));
        }
    }
    let before = |setting: &&Setting| setting.file == include.file && setting.number < include.number;
    if let Some(early) = config.iter().filter(before).find(|setting| setting.below.is_some()) {
        return Err(format!(
            "{}:{} begins a Match block before the Include",
            early.file.display(),
            early.number
        ));
    }
    Ok(notes)
}

/// Whether every list of methods begins with a method without PAM.
fn begins_with_a_key(methods: &str) -> bool {
    let keys = ["publickey", "hostbased", "gssapi-with-mic"];
    let begins = |list: &str| list.split(',').next().is_some_and(|first| keys.contains(&first));
    !methods.is_empty() && methods.split_whitespace().all(begins)
}

/// A user for whom sshd's settings are compared. The plan has other methods for root.
#[derive(Clone, Copy, Debug)]
pub enum SshUser<'a> {
    /// An account with uid 0.
    Root(&'a str),
    /// Any other account.
    Other(&'a str),
}

/// Compares the output of `sshd -T -C user=…` before and after the change, for one user.
///
/// # Errors
/// Which setting would change although it must not, or would not change although it must.
pub fn compare(
    plan: &SshdPlan,
    user: &SshUser<'_>,
    before: &Effective,
    after: &Effective,
) -> Result<(), String> {
    let own = before.get("authenticationmethods").is_some_and(|methods| methods != "any");
    // An administrator's own Match block, which is not changed, decides for this user.
    let kept = own && before.get("authenticationmethods") == after.get("authenticationmethods");
    let (user, wanted) = match user {
        SshUser::Root(user) => (user, &plan.root_methods),
        SshUser::Other(user) => (user, &plan.methods),
    };
    let wanted = wanted.as_ref().filter(|_| !kept);
    let get = |of: &Effective, keyword: &str| of.get(keyword).cloned().unwrap_or_default();
    if let Some(wanted) = wanted
        && get(after, "authenticationmethods") != *wanted
    {
        let found = get(after, "authenticationmethods");
        return Err(format!(
            "for {user}, sshd would use AuthenticationMethods {found:?} instead of {wanted:?}"
        ));
    }
    if wanted.is_some() && get(after, "kbdinteractiveauthentication") != "yes" {
        return Err(format!(
            "for {user}, sshd would not ask PAM, because another file sets KbdInteractiveAuthentication"
        ));
    }
    let keywords = before.keys().chain(after.keys()).filter(|keyword| !OURS.contains(&keyword.as_str()));
    for keyword in keywords {
        if before.get(keyword) != after.get(keyword) {
            return Err(format!("for {user}, the drop-in would change {keyword} as well"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "sshd_tests.rs"]
mod tests;
