//! Evaluates a PAM stack for right and wrong passwords, and for each answer of our module.
//!
//! [`crate::pam_config::dispatch()`] evaluates as libpam does. This file has the answers of the
//! other modules.

use crate::pam_config::{Action, Answer, Entry, MODULE, Stack, dispatch};

/// The role of a module in an `auth` stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// totpd's module.
    Ours,
    /// Proves a factor, and answers "success" or "auth_err".
    Authenticator,
    /// Checks the user, the host or the time, and answers "success" or "auth_err".
    Condition,
    /// Always gives this answer to users other than root.
    Always(Answer),
}

/// Modules that prove nothing, with their answer.
const ALWAYS: [(&str, Answer); 33] = [
    ("pam_permit", "success"),
    ("pam_deny", "auth_err"),
    ("pam_rootok", "auth_err"),
    ("pam_nologin", "success"),
    ("pam_shells", "success"),
    ("pam_securetty", "success"),
    ("pam_sepermit", "success"),
    ("pam_lastlog", "success"),
    ("pam_lastlog2", "success"),
    ("pam_loginuid", "success"),
    ("pam_limits", "success"),
    ("pam_umask", "success"),
    ("pam_tally2", "success"),
    ("pam_abl", "success"),
    ("pam_faildelay", "ignore"),
    ("pam_env", "ignore"),
    ("pam_group", "ignore"),
    ("pam_cap", "ignore"),
    ("pam_echo", "ignore"),
    ("pam_warn", "ignore"),
    ("pam_debug", "ignore"),
    ("pam_keyinit", "ignore"),
    ("pam_issue", "ignore"),
    ("pam_motd", "ignore"),
    ("pam_mail", "ignore"),
    ("pam_mount", "ignore"),
    ("pam_ssh_add", "ignore"),
    ("pam_gnome_keyring", "ignore"),
    ("pam_kwallet5", "ignore"),
    ("pam_kwallet", "ignore"),
    ("pam_ecryptfs", "ignore"),
    ("pam_selinux", "ignore"),
    ("pam_setquota", "ignore"),
];
const CONDITIONS: [&str; 9] = [
    "pam_succeed_if",
    "pam_listfile",
    "pam_access",
    "pam_time",
    "pam_localuser",
    "pam_wheel",
    "pam_exec",
    "pam_script",
    "pam_usertype",
];

/// The most modules of one role whose answers are all tried, two each.
const MAX_VARIED: usize = 6;

fn role(entry: &Entry) -> Role {
    if entry.line.is_ours() {
        return Role::Ours;
    }
    let name = name_of(entry);
    if name == "pam_faillock" {
        // Before the password it succeeds unless the user is locked; behind it, it records the
        // failure.
        let fails = entry.line.arguments.iter().any(|argument| argument == "authfail");
        return Role::Always(if fails { "auth_err" } else { "success" });
    }
    // A line of `totpd pam enable sshd`: a key that sshd has verified is a factor.
    let says = |word: &str| entry.line.arguments.iter().any(|argument| argument.ends_with(word));
    if name == "pam_exec" && says("/totpd") && says("ssh-key-shown") {
        return Role::Authenticator;
    }
    if CONDITIONS.contains(&name) {
        return Role::Condition;
    }
    ALWAYS
        .iter()
        .find(|(module, _)| *module == name)
        .map_or(Role::Authenticator, |(_, says)| Role::Always(says))
}

/// The module's name without its ending.
pub fn name_of(entry: &Entry) -> &str {
    entry.line.module_name().trim_end_matches(".so")
}

/// The modules of a stack that prove a factor.
pub fn authenticators(stack: &Stack) -> Vec<&Entry> {
    stack.entries.iter().filter(|entry| role(entry) == Role::Authenticator).collect()
}

/// The outcome for one combination of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The stack granted the login.
    pub succeeded: bool,
    /// The indices of totpd's lines that were reached.
    pub ours_reached: Vec<usize>,
    /// The indices of authenticators that succeeded.
    pub proved: Vec<usize>,
    /// The indices of conditions that did not give their usual answer.
    pub unusual: Vec<usize>,
}

/// Evaluates the stack once. `proves` and `unusual` return for each index whether that
/// authenticator succeeds, and whether that condition gives its unusual answer.
fn run_once(
    stack: &Stack,
    ours: Answer,
    proves: &dyn Fn(usize) -> bool,
    unusual: &dyn Fn(usize) -> bool,
) -> Run {
    let mut run = Run { succeeded: false, ours_reached: Vec::new(), proved: Vec::new(), unusual: Vec::new() };
    run.succeeded = dispatch(stack, |entry| {
        let at = stack.entries.iter().position(|e| std::ptr::eq(e, entry)).unwrap_or_default();
        match role(entry) {
            Role::Ours => {
                run.ours_reached.push(at);
                ours
            }
            Role::Always(answer) => answer,
            Role::Authenticator if proves(at) => {
                run.proved.push(at);
                "success"
            }
            Role::Authenticator => "auth_err",
            Role::Condition => {
                let changed = unusual(at);
                if changed {
                    run.unusual.push(at);
                }
                if ordinary(entry) == changed { "auth_err" } else { "success" }
            }
        }
    });
    run
}

/// Whether a condition succeeds for most users: not if its success skips lines.
fn ordinary(entry: &Entry) -> bool {
    !matches!(entry.line.control.action("success"), Action::Jump(_) | Action::Done)
}

/// The outcomes for every combination in which totpd's lines answer `ours`. Those with few unusual
/// conditions come first, then those with few successful authenticators.
pub fn runs(stack: &Stack, ours: Answer) -> Vec<Run> {
    let indices = |wanted: Role| -> Vec<usize> {
        let entries = stack.entries.iter().enumerate();
        entries.filter(|(_, entry)| role(entry) == wanted).map(|(at, _)| at).take(MAX_VARIED).collect()
    };
    let (factors, conditions) = (indices(Role::Authenticator), indices(Role::Condition));
    let has = |of: &[usize], bits: u32, at: usize| {
        of.iter().position(|index| *index == at).is_some_and(|bit| bits >> bit & 1 == 1)
    };
    let sets = |of: &[usize]| -> Vec<u32> {
        let mut sets: Vec<u32> = (0..1_u32 << of.len()).collect();
        sets.sort_by_key(|set| set.count_ones());
        sets
    };
    let mut all = Vec::new();
    for turned in sets(&conditions) {
        for right in sets(&factors) {
            all.push(run_once(stack, ours, &|at| has(&factors, right, at), &|at| {
                has(&conditions, turned, at)
            }));
        }
    }
    all
}

/// The first outcome in which the stack grants although totpd's lines answer `ours`.
pub fn lets_in(stack: &Stack, ours: Answer) -> Option<Run> {
    runs(stack, ours).into_iter().find(|run| run.succeeded)
}

/// Whether the stack grants if every authenticator succeeds and every condition gives its usual
/// answer.
pub fn lets_in_with_all(stack: &Stack, ours: Answer) -> bool {
    run_once(stack, ours, &|_| true, &|_| false).succeeded
}

/// Whether totpd's line at this index can be reached although no authenticator succeeded.
pub fn reached_without_proof(stack: &Stack, at: usize) -> bool {
    runs(stack, "success").iter().any(|run| run.proved.is_empty() && run.ours_reached.contains(&at))
}

/// Whether the stack asks for a code and depends on it: it refuses if totpd's line refuses.
pub fn asks(stack: &Stack) -> bool {
    stack.ours().next().is_some() && lets_in(stack, "auth_err").is_none_or(|run| !run.unusual.is_empty())
}

/// Whether a module's name differs from totpd's in one or two letters.
pub fn is_near(name: &str) -> bool {
    if name == MODULE {
        return false;
    }
    let (a, b): (Vec<char>, Vec<char>) = (MODULE.chars().collect(), name.chars().take(32).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let change = row.get(j).copied().unwrap_or_default() + usize::from(x != y);
            let drop = row.get(j + 1).copied().unwrap_or_default() + 1;
            let add = next.last().copied().unwrap_or_default() + 1;
            next.push(change.min(drop).min(add));
        }
        row = next;
    }
    row.last().is_some_and(|distance| *distance <= 2)
}
