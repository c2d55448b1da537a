//! Evaluates a stack for given answers of its modules, as `_pam_dispatch_aux` of libpam does
//! (pam_dispatch.c).

use super::line::Action;
use super::stack::{Entry, Stack};

/// A module's answer, by its name in a control field (`success`, `auth_err`, `ignore`, …).
pub type Answer = &'static str;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Impression {
    Undefined,
    Positive,
    Negative,
}

/// Whether the stack succeeds. `answer` is called for each module that is reached, in order.
///
/// For a module that cannot be loaded, `answer` returns `module_unknown`, as libpam does.
pub fn dispatch(stack: &Stack, mut answer: impl FnMut(&Entry) -> Answer) -> bool {
    dispatch_numbered(stack, |_, entry| answer(entry))
}

/// [`dispatch()`], with the index of each module in `stack.entries`.
pub fn dispatch_numbered(stack: &Stack, mut answer: impl FnMut(usize, &Entry) -> Answer) -> bool {
    let entries = &stack.entries;
    let (mut impression, mut success) = (Impression::Undefined, true);
    // The state at the beginning of each substack, for `reset`.
    let mut begun: Vec<(Impression, bool)> = vec![(Impression::Undefined, true)];
    let mut at = 0;
    while let Some(entry) = entries.get(at) {
        // A substack begins with the state before it.
        begun.truncate(entry.level + 1);
        while begun.len() <= entry.level {
            begun.push((impression, success));
        }
        let value = answer(at, entry);
        let action = entry.line.control.action(value);
        match action {
            Action::Ignore => {}
            Action::Ok | Action::Done => {
                if impression == Impression::Undefined || (impression == Impression::Positive && success) {
                    impression = Impression::Positive;
                    success = value == "success";
                }
                if impression == Impression::Positive && action == Action::Done {
                    at = end_of_level(entries, at);
                    continue;
                }
            }
            Action::Bad | Action::Die => {
                if impression != Impression::Negative {
                    impression = Impression::Negative;
                    success = false;
                }
                if action == Action::Die {
                    at = end_of_level(entries, at);
                    continue;
                }
            }
            Action::Reset => (impression, success) = begun[entry.level],
            Action::Jump(count) => {
                if let Some(target) = jump(entries, at, count) {
                    at = target;
                    continue;
                }
                // Past the end: libpam refuses.
                (impression, success) = (Impression::Negative, false);
            }
        }
        at += 1;
    }
    impression == Impression::Positive && success
}

/// The index behind the substack of the module at `at`, or behind the stack.
fn end_of_level(entries: &[Entry], at: usize) -> usize {
    let level = entries[at].level;
    if level == 0 {
        return entries.len();
    }
    // A sibling substack of the same depth begins with another number.
    let within = |entry: &Entry| {
        entry.level >= level && (entry.level > level || entry.substack == entries[at].substack)
    };
    entries[at..].iter().position(|entry| !within(entry)).map_or(entries.len(), |count| at + count)
}

/// The index at which a jump over `count` lines lands. A substack counts as one line.
fn jump(entries: &[Entry], at: usize, count: usize) -> Option<usize> {
    let (level, mut next) = (entries[at].level, at + 1);
    for _ in 0..count {
        entries.get(next).filter(|entry| entry.level >= level)?;
        if entries[next].level == level {
            next += 1;
        } else {
            let whole = entries[next].substack;
            while entries
                .get(next)
                .is_some_and(|e| e.level > level && (e.substack == whole || e.level > level + 1))
            {
                next += 1;
            }
        }
    }
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pam_config::line::Facility;
    use crate::pam_config::stack::ConfigDirs;

    /// Files of a scratch folder; the answers by the modules' names, `auth_err` for all others.
    fn answer(files: &[(&str, &str)], answers: &[(&str, Answer)]) -> bool {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("etc/pam.d");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let stack = ConfigDirs::of(scratch.path()).stack("svc", Facility::Auth).unwrap();
        dispatch(&stack, |entry| {
            let name = entry.line.module_name().trim_end_matches(".so");
            answers.iter().find(|(module, _)| *module == name).map_or("auth_err", |(_, answer)| *answer)
        })
    }

    fn alone(text: &str, answers: &[(&str, Answer)]) -> bool {
        answer(&[("svc", text)], answers)
    }

    #[test]
    fn keywords_decide_as_pam_conf_5_says() {
        let both = "auth required a.so\nauth required b.so\n";
        assert!(alone(both, &[("a", "success"), ("b", "success")]));
        assert!(!alone(both, &[("a", "success")]));
        assert!(!alone(both, &[("b", "success")]));
        // Everything ignored is a refusal.
        assert!(!alone(both, &[("a", "ignore"), ("b", "ignore")]));
        assert!(alone(both, &[("a", "ignore"), ("b", "success")]));
        let sufficient = "auth sufficient a.so\nauth required b.so\n";
        assert!(alone(sufficient, &[("a", "success")]));
        assert!(alone(sufficient, &[("b", "success")]));
        assert!(!alone("auth required b.so\nauth sufficient a.so\n", &[("a", "success")]));
        assert!(!alone("auth requird a.so\n", &[("a", "success")]));
        assert!(!alone("", &[]));
    }

    #[test]
    fn debians_common_auth_jumps_over_its_deny() {
        let common = "auth [success=1 default=ignore] unix.so nullok\nauth requisite deny.so\nauth required permit.so\n";
        let svc = "@include common-auth\nauth required totp.so\n";
        let files = [("svc", svc), ("common-auth", common)];
        assert!(answer(&files, &[("unix", "success"), ("permit", "success"), ("totp", "success")]));
        assert!(!answer(&files, &[("unix", "success"), ("permit", "success")]));
        assert!(!answer(&files, &[("permit", "success"), ("totp", "success")]));
        // pam_permit has answered: an exempt user passes.
        assert!(answer(&files, &[("unix", "success"), ("permit", "success"), ("totp", "ignore")]));
    }

    #[test]
    fn a_substack_ends_alone_and_an_include_does_not() {
        let inner = "auth sufficient a.so\nauth required deny.so\n";
        let substack = [("svc", "auth substack inner\nauth required totp.so\n"), ("inner", inner)];
        assert!(!answer(&substack, &[("a", "success")]));
        assert!(answer(&substack, &[("a", "success"), ("totp", "success")]));
        let include = [("svc", "auth include inner\nauth required totp.so\n"), ("inner", inner)];
        assert!(answer(&include, &[("a", "success")]));
        let jump = [
            ("svc", "auth [success=1 default=bad] a.so\nauth substack inner\nauth required totp.so\n"),
            ("inner", inner),
        ];
        assert!(answer(&jump, &[("a", "success"), ("totp", "success")]));
    }

    #[test]
    fn a_jump_past_the_end_refuses() {
        assert!(!alone(
            "auth [success=2 default=ignore] a.so\nauth required b.so\n",
            &[("a", "success"), ("b", "success")]
        ));
        assert!(!alone("auth [success=1 default=ignore] a.so\n", &[("a", "success")]));
    }
}
