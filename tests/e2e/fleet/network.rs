//! Packets that are dropped (nftables, in the test's own network namespace): a login is refused, or
//! granted once, within its deadline.

use std::io::Write as _;
use std::time::{Duration, Instant};
use totp_wire::login::Verdict;
use totpd_e2e::network::{Namespace, Network, SERVER};
use totpd_e2e::peer::{Waiting, begin, local, login};
use totpd_e2e::phone::Phone;
use totpd_e2e::run::{run, wait_until};
use totpd_e2e::{Site, short_or_long};

/// A daemon that reaches PostgreSQL over a network whose packets can be dropped.
struct World {
    site: Site,
    network: Network,
}

impl World {
    #[track_caller]
    fn new() -> Self {
        let network = Network::new(1);
        let site = Site::on_postgresql_at(&network.server, SERVER[0]);
        let client = &network.clients[0];
        let mut init = site.totpd_command_at(Some(client));
        init.arg("init");
        run(init, "").assert_success();
        let mut serve = site.totpd_command_at(Some(client));
        serve.arg("serve");
        site.start_as(serve);
        client.sh(
            "nft add table ip test; nft 'add chain ip test out { type filter hook output priority 0; }'\n\
             nft 'add chain ip test in { type filter hook input priority 0; }'",
        );
        Self { site, network }
    }

    fn client(&self) -> &Namespace {
        &self.network.clients[0]
    }

    fn port(&self) -> u16 {
        self.site.database.as_ref().unwrap().server.port()
    }

    /// Drops what the daemon sends to PostgreSQL.
    fn drop_requests(&self) {
        self.client().sh(&format!("nft add rule ip test out tcp dport {} drop", self.port()));
    }

    /// Drops what PostgreSQL sends to the daemon.
    fn drop_replies(&self) {
        self.client().sh(&format!("nft add rule ip test in tcp sport {} drop", self.port()));
    }

    fn drop_nothing(&self) {
        self.client().sh("nft flush chain ip test out; nft flush chain ip test in");
    }

    /// Answers `code`, and checks that a verdict or an error comes within ten seconds.
    #[track_caller]
    fn answer(waiting: Waiting, code: &str) -> bool {
        let start = Instant::now();
        let verdict = waiting.answer_within(code, Duration::from_secs(10));
        assert!(start.elapsed() < Duration::from_secs(11), "{verdict:?} after {:?}", start.elapsed());
        verdict == Ok(Verdict::Granted)
    }

    /// Logs in, and returns the verdict. A connection that was begun during the cut may fail after
    /// it, so that the daemon serves, and does not, and serves.
    #[track_caller]
    fn judged(&self, code: &str) -> Verdict {
        let mut verdict = None;
        wait_until("a login is judged", || {
            verdict = login(&self.site, "alice", code).ok();
            verdict.is_some()
        });
        verdict.unwrap()
    }

    /// Lets packets through again, and counts how often the code is granted then.
    #[track_caller]
    fn recover(&self, phone: &Phone, code: &str) -> usize {
        self.drop_nothing();
        self.site.wait_until_serving();
        let again = (0..3).filter(|_| self.judged(code) == Verdict::Granted).count();
        self.site.next_step();
        assert_eq!(self.judged(&phone.code(&self.site)), Verdict::Granted, "{}", self.site.log());
        self.site.next_step();
        again
    }
}

#[test]
fn a_cut_before_the_commit_refuses_and_burns_no_code() {
    let world = World::new();
    let phone = world.site.enroll("alice");
    let code = phone.code(&world.site);
    let waiting = begin(&world.site, local("alice")).unwrap();
    world.drop_requests();
    assert!(!World::answer(waiting, &code));
    assert_ne!(world.site.last_login()["reason"], "in-doubt");
    assert_eq!(world.recover(&phone, &code), 1, "the code was used up");
}

#[test]
fn a_commit_that_never_arrives_refuses_and_burns_no_code() {
    let world = World::new();
    let phone = world.site.enroll("alice");
    let code = phone.code(&world.site);
    let database = world.site.database.as_ref().unwrap();
    let waiting = begin(&world.site, local("alice")).unwrap();
    // The statements wait for a record that another session holds. Their answer arrives, and the
    // COMMIT that follows it does not.
    let mut holder = database.server.psql(&database.name);
    let mut holder = holder.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut input = holder.stdin.take().unwrap();
    input.write_all(b"BEGIN; SELECT 1 FROM account FOR UPDATE;\n").unwrap();
    let waits = |what: &str, who: &str| {
        let count =
            format!("SELECT count(*) FROM pg_stat_activity WHERE {what} AND application_name = '{who}'");
        database.server.wait_for("postgres", &count, "1");
    };
    waits("state = 'idle in transaction' AND query LIKE 'SELECT 1%'", "psql");
    let granted = std::thread::scope(|scope| {
        let answer = scope.spawn(|| World::answer(waiting, &code));
        waits("wait_event_type = 'Lock'", "totpd");
        world.drop_requests();
        drop(input);
        waits("state = 'idle in transaction'", "totpd");
        // The server ends such a session after ten seconds, too.
        let end =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'";
        assert_eq!(database.server.sql("postgres", end), "t");
        answer.join().unwrap()
    });
    holder.wait().unwrap();
    assert!(!granted, "granted without a commit");
    assert_eq!(world.site.last_login()["reason"], "in-doubt");
    assert_eq!(world.recover(&phone, &code), 1, "the code was used up");
}

#[test]
fn a_lost_answer_to_a_commit_refuses_and_the_code_is_spent() {
    let world = World::new();
    let phone = world.site.enroll("alice");
    let code = phone.code(&world.site);
    let server = &world.site.database.as_ref().unwrap().server;
    // A commit that waits for a standby that does not exist is a commit whose answer is under way.
    let database = world.site.database.as_ref().unwrap().database();
    let waiting = begin(&world.site, local("alice")).unwrap();
    server.configure(&[("synchronous_standby_names", "absent")]);
    let granted = std::thread::scope(|scope| {
        let answer = scope.spawn(|| World::answer(waiting, &code));
        server.wait_for(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'totpd'",
            "1",
        );
        world.drop_replies();
        server.configure(&[("synchronous_standby_names", "")]);
        answer.join().unwrap()
    });
    assert!(!granted, "granted without the answer");
    assert_eq!(world.site.last_login()["reason"], "in-doubt");
    assert_eq!(world.recover(&phone, &code), 0, "the code was accepted twice");
    assert_ne!(database.sql("SELECT count(*) FROM history"), "0");
}

#[test]
fn a_cut_at_any_moment_grants_at_most_once() {
    let world = World::new();
    let phone = world.site.enroll("alice");
    for round in 0..short_or_long(3, 40) {
        let code = phone.code(&world.site);
        let waiting = begin(&world.site, local("alice")).unwrap();
        let granted = std::thread::scope(|scope| {
            let answer = scope.spawn(|| World::answer(waiting, &code));
            std::thread::sleep(Duration::from_millis(round % 20));
            if round % 2 == 0 {
                world.drop_requests();
            } else {
                world.drop_replies();
            }
            answer.join().unwrap()
        });
        let again = world.recover(&phone, &code);
        assert!(usize::from(granted) + again <= 1, "round {round}: granted {granted}, again {again}");
    }
}
