//! Which programs have asked for a code lately. A program that refuses a user asks again in a new
//! call of the module, sshd in a new process; this tells that question from a first one.
//!
//! What came of the earlier question is not looked at: a grant that became no login (the password
//! was wrong) and a refusal must read the same, or the next question would tell that the code was
//! right.

use crate::engine::LoginRequest;
use crate::sync::ignore_poison;
use crate::varlink::grace_time::SSHD_TTY;
use crate::varlink::peer::Peer;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use totp_core::policy::Peer as Speaker;
use totp_wire::login::{Attempt, Process};

/// How long a program's question is remembered, after it was asked and after it was answered.
const LIFETIME: Duration = Duration::from_mins(2);
/// Questions that are remembered for one source: a user of this machine, or a remote host.
const MAX_PER_SOURCE: usize = 64;
/// Questions that are remembered in all.
const MAX_QUESTIONS: usize = 4096;

/// The questions of the last minutes, over all sockets.
#[derive(Debug, Default)]
pub(crate) struct PromptHistory {
    /// Names are not kept: people type passwords at prompts for names.
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    questions: HashMap<u64, Question>,
    /// The keys of the questions, the oldest first.
    by_age: BTreeSet<(Instant, u64)>,
    /// The number of questions of each source.
    counts: HashMap<u64, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    source: u64,
    at: Instant,
}

/// Which program asks, for whom, and for which user, as hashes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    key: u64,
    source: u64,
}

impl PromptHistory {
    /// The program that makes an attempt. `None` for one that cannot be told from a later one of
    /// the same pid.
    ///
    /// The user, the service, the remote host and the uid that started the program belong to it, so
    /// that an attempt against somebody else, or by somebody else, changes no question.
    pub(crate) fn asker(&self, peer: Peer, attempt: &Attempt, request: &LoginRequest) -> Option<Asker> {
        let from = &request.from;
        let process = if asks_in_children(attempt, request) {
            attempt.parent.filter(|parent| parent.pid > 1)?
        } else {
            Process { pid: u32::try_from(peer.pid?).ok()?, started: attempt.started? }
        };
        let source = match (&from.rhost, from.caller_uid) {
            (Some(rhost), _) => self.hasher.hash_one((0, peer.uid, rhost)),
            (None, caller) => self.hasher.hash_one((1, peer.uid, caller)),
        };
        let key = self.hasher.hash_one((source, process.pid, process.started, &request.user, &from.service));
        Some(Asker { key, source })
    }

    /// Whether the program asked this user before.
    pub(crate) fn has_asked(&self, asker: Asker, now: Instant) -> bool {
        let state = ignore_poison(self.state.lock());
        state.questions.get(&asker.key).is_some_and(|question| question.is_alive(now))
    }

    /// Remembers that the program asks, or has its answer. A source that has too many questions is
    /// not remembered, so that it makes nobody else's forgotten.
    pub(crate) fn record(&self, asker: Asker, now: Instant) {
        let Asker { key, source } = asker;
        let mut state = ignore_poison(self.state.lock());
        state.remove(key);
        while let Some((at, oldest)) = state.by_age.first().copied()
            && (now.saturating_duration_since(at) >= LIFETIME || state.questions.len() >= MAX_QUESTIONS)
        {
            state.remove(oldest);
        }
        let count = state.counts.entry(source).or_default();
        if *count < MAX_PER_SOURCE {
            *count += 1;
            state.questions.insert(key, Question { source, at: now });
            state.by_age.insert((now, key));
        }
    }
}

impl State {
    fn remove(&mut self, key: u64) {
        let Some(Question { source, at }) = self.questions.remove(&key) else { return };
        self.by_age.remove(&(at, key));
        let count = self.counts.entry(source).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.counts.remove(&source);
        }
    }
}

impl Question {
    fn is_alive(self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < LIFETIME
    }
}

/// Whether the program asks each time in a new process of the same parent, which serves one
/// connection: sshd. The parent of any other program is a shell, a display manager or init, and
/// outlives the login.
fn asks_in_children(attempt: &Attempt, request: &LoginRequest) -> bool {
    request.facts.peer == Speaker::Root
        && request.from.rhost.is_some()
        && attempt.tty.as_deref() == Some(SSHD_TTY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::varlink::peer::simulate;
    use std::path::Path;

    const ROOT: Peer = Peer { uid: 0, pid: Some(700) };

    fn sudo() -> Attempt {
        Attempt {
            user: "alice".into(),
            service: Some("sudo".into()),
            real_uid: Some(5001),
            started: Some(99),
            parent: Some(Process { pid: 600, started: 9 }),
            ..Attempt::default()
        }
    }

    fn sshd() -> Attempt {
        let (rhost, tty) = (Some("192.0.2.7".into()), Some("ssh".into()));
        Attempt { service: Some("sshd".into()), real_uid: Some(0), rhost, tty, ..sudo() }
    }

    fn asker(history: &PromptHistory, peer: Peer, attempt: &Attempt) -> Option<Asker> {
        let request = simulate(peer, attempt, &Config::defaults(Path::new("/etc/totpd"))).unwrap();
        history.asker(peer, attempt, &request)
    }

    /// Whether `second` is asked as not the first time after `first`.
    fn is_repeated(first: (Peer, &Attempt), second: (Peer, &Attempt)) -> bool {
        let (history, now) = (PromptHistory::default(), Instant::now());
        let [before, after] = [first, second].map(|(peer, attempt)| asker(&history, peer, attempt).unwrap());
        assert!(!history.has_asked(after, now));
        history.record(before, now);
        history.has_asked(after, now)
    }

    #[test]
    fn a_process_asks_again_and_another_one_does_not() {
        assert!(is_repeated((ROOT, &sudo()), (ROOT, &sudo())));
        let other = Peer { pid: Some(701), ..ROOT };
        assert!(!is_repeated((ROOT, &sudo()), (other, &sudo())), "of the same shell");
        assert!(
            !is_repeated((ROOT, &sudo()), (ROOT, &Attempt { started: Some(100), ..sudo() })),
            "pid reused"
        );
    }

    #[test]
    fn sshd_asks_again_in_another_child_of_the_same_connection() {
        let child = Peer { pid: Some(701), ..ROOT };
        assert!(is_repeated((ROOT, &sshd()), (child, &Attempt { started: Some(100), ..sshd() })));
        let connection = Some(Process { pid: 601, started: 9 });
        assert!(!is_repeated((ROOT, &sshd()), (child, &Attempt { parent: connection, ..sshd() })));
    }

    #[test]
    fn nobody_else_changes_a_question() {
        for other in [
            Attempt { user: "bob".into(), ..sudo() },
            Attempt { real_uid: Some(5002), ..sudo() },
            Attempt { service: Some("su".into()), ..sudo() },
        ] {
            assert!(!is_repeated((ROOT, &other), (ROOT, &sudo())), "{other:?}");
        }
        for other in [
            Attempt { user: "bob".into(), ..sshd() },
            Attempt { rhost: Some("192.0.2.8".into()), ..sshd() },
            // A setuid program that names sshd's terminal and a remote host has its caller all the
            // same.
            Attempt { real_uid: Some(5001), ..sshd() },
        ] {
            assert!(!is_repeated((ROOT, &other), (ROOT, &sshd())), "{other:?}");
        }
        let own = Peer { uid: 5001, ..ROOT };
        assert!(!is_repeated((own, &sudo()), (ROOT, &sudo())));
    }

    #[test]
    fn an_older_module_is_never_asked_as_again() {
        let history = PromptHistory::default();
        assert!(asker(&history, ROOT, &Attempt { started: None, ..sudo() }).is_none());
        assert!(asker(&history, Peer { pid: None, ..ROOT }, &sudo()).is_none());
        assert!(asker(&history, ROOT, &Attempt { parent: None, ..sshd() }).is_none());
        let init = Some(Process { pid: 1, started: 1 });
        assert!(asker(&history, ROOT, &Attempt { parent: init, ..sshd() }).is_none());
    }

    #[test]
    fn a_question_is_remembered_for_two_minutes() {
        let (history, start) = (PromptHistory::default(), Instant::now());
        let asker = asker(&history, ROOT, &sudo()).unwrap();
        history.record(asker, start);
        assert!(history.has_asked(asker, start + Duration::from_secs(119)));
        assert!(!history.has_asked(asker, start + LIFETIME));
    }

    #[test]
    fn a_flood_forgets_nobody_elses_question() {
        let (history, now) = (PromptHistory::default(), Instant::now());
        let alice = asker(&history, ROOT, &sudo()).unwrap();
        history.record(alice, now);
        let later = now + Duration::from_secs(1);
        for pid in 1_000..9_000 {
            let eve = Attempt { real_uid: Some(5003), ..sudo() };
            history.record(asker(&history, Peer { pid: Some(pid), ..ROOT }, &eve).unwrap(), later);
        }
        assert!(history.has_asked(alice, later));
        assert_eq!(history.state.lock().unwrap().questions.len(), MAX_PER_SOURCE + 1);
    }

    #[test]
    fn any_number_of_sources_takes_bounded_memory() {
        let (history, start) = (PromptHistory::default(), Instant::now());
        for host in 0..10_000_u32 {
            let rhost = Some(std::net::Ipv4Addr::from(host).to_string());
            let asker = asker(&history, ROOT, &Attempt { rhost, ..sshd() }).unwrap();
            history.record(asker, start);
            history.record(asker, start);
        }
        let sizes = |history: &PromptHistory| {
            let state = history.state.lock().unwrap();
            [state.questions.len(), state.by_age.len(), state.counts.len()]
        };
        assert_eq!(sizes(&history), [MAX_QUESTIONS; 3]);
        history.record(asker(&history, ROOT, &sudo()).unwrap(), start + LIFETIME);
        assert_eq!(sizes(&history), [1; 3]);
    }
}
