//! What keeps a store from being opened, each with the sentence that says which.

use super::PostgresFixture;
use super::fixture::{on_thread, settings};
use crate::config::server_url::{PostgresSettings, ServerUrl};
use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::store::OpenError;
use crate::store::contract::fixture::Fixture as _;
use crate::store::copies::OlderCopy;
use crate::store::postgres::{Postgres, create};
use crate::witness::Witness;
use totpd_test_postgres::{Certificates, Server, shared};

/// The error with which these settings and this key are refused.
fn refused(settings: &PostgresSettings, sealer: &Sealer) -> OpenError {
    let folder = tempfile::tempdir().unwrap();
    let witness = Witness::new(folder.path(), "x");
    on_thread(|| Postgres::open(settings, sealer, 1000, witness, OlderCopy::Refuse)).unwrap_err()
}

#[test]
fn another_key_a_newer_schema_and_no_store_are_told_apart() {
    let fixture = PostgresFixture::new();
    let other = Sealer::new(&StoreKey::generate().unwrap());
    assert!(matches!(refused(&fixture.settings, &other), OpenError::OtherStore(..)));
    let again = on_thread(|| create(&fixture.settings, &other)).unwrap_err();
    assert!(matches!(again, OpenError::HoldsStore(_)), "{again}");
    assert_eq!(fixture.sql("SELECT count(*) FROM meta WHERE key = 'store_id'"), "1");
    fixture.sql("UPDATE meta SET value = 'other' WHERE key = 'key_check'");
    assert!(matches!(refused(&fixture.settings, fixture.sealer()), OpenError::OtherKey(_)));
    fixture.sql("INSERT INTO refinery_schema_history VALUES (99, 'future', '', '0')");
    let newer = refused(&fixture.settings, fixture.sealer());
    assert!(matches!(newer, OpenError::Newer(_, 99, 1)), "{newer:?}");
    let empty = shared().create_database();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&empty.url(), &empty.password, folder.path());
    let missing = refused(&settings, &other);
    assert!(matches!(missing, OpenError::NoStore(..)), "{missing:?}");
    assert_eq!(empty.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
}

#[test]
fn a_wrong_password_or_name_is_told_and_never_shown() {
    let fixture = PostgresFixture::new();
    let folder = tempfile::tempdir().unwrap();
    let database = shared().create_database();
    let sealer = fixture.sealer();
    let with =
        |url: &str, password: &str| refused(&settings(url, password, folder.path()), sealer).to_string();
    let wrong = with(&database.url(), "hunter2");
    assert!(wrong.contains("refuses the password of the user") && !wrong.contains("hunter2"), "{wrong}");
    let url = database.url();
    let (server, _) = url.rsplit_once('/').unwrap();
    let nowhere = with(&format!("{server}/nowhere"), &database.password);
    assert!(nowhere.contains("has no database nowhere"), "{nowhere}");
    let mut without = settings(&database.url(), "x", folder.path());
    without.password_file = None;
    let none = refused(&without, sealer).to_string();
    assert!(none.contains("Set store.password_file"), "{none}");
    let closed = with("postgresql://127.0.0.1:1/totpd", "x");
    assert!(closed.contains("127.0.0.1:1 cannot be reached"), "{closed}");
}

#[test]
fn only_a_verified_server_is_told_the_password() {
    let (server, authority) = (Server::start(), Certificates::new());
    let database = server.create_database();
    server.enable_tls(&authority, "IP:127.0.0.1");
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let with = |root: &Certificates| {
        let url = format!("{}?sslmode=verify-full&sslrootcert={}", database.url(), root.root().display());
        settings(&url, &database.password, folder.path())
    };
    let right = with(&authority);
    on_thread(|| create(&right, &sealer)).unwrap();
    let query = "SELECT count(*) FROM pg_tables WHERE tablename = 'account'";
    assert_eq!(database.sql(query), "1");
    let other = refused(&with(&Certificates::new()), &sealer).to_string();
    assert!(other.contains("certificate of 127.0.0.1") && other.contains("sslrootcert"), "{other}");
    server.enable_tls(&authority, "DNS:elsewhere");
    let name = refused(&right, &sealer).to_string();
    assert!(name.contains("certificate of 127.0.0.1"), "{name}");
    server.configure(&[("ssl", "off")]);
    let plain = refused(&right, &sealer).to_string();
    assert!(plain.contains("cannot be reached"), "{plain}");
}

#[test]
fn a_standby_alone_is_refused() {
    let (fixture, server) = PostgresFixture::on_own_server();
    let standby = server.start_standby("standby_1");
    let user = &fixture.settings.url.user;
    let url = format!("postgresql://{user}@127.0.0.1:{}/{}", standby.port(), fixture.database);
    let mut settings = fixture.settings.clone();
    settings.url = ServerUrl::parse(&url).unwrap();
    let error = refused(&settings, fixture.sealer()).to_string();
    assert!(error.contains("accepts no writes (a standby, or read-only"), "{error}");
}

/// Answers one client as a server that asks for its password, and returns what the client sent.
fn ask(mut client: impl std::io::Read + std::io::Write, question: &[u8]) -> String {
    let mut sent = vec![0; 4096];
    let length = client.read(&mut sent).unwrap();
    sent.truncate(length);
    client.write_all(question).unwrap();
    let _ = client.read_to_end(&mut sent);
    String::from_utf8_lossy(&sent).into_owned()
}

#[test]
fn without_tls_no_server_is_told_the_password_in_clear() {
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = std::os::unix::net::UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    let urls = [
        format!("postgresql://totpd@127.0.0.1:{}/totpd", tcp.local_addr().unwrap().port()),
        format!("postgresql://totpd@/totpd?host={}", folder.path().display()),
    ];
    let md5: &[u8] = b"R\0\0\0\x0c\0\0\0\x05salt";
    for (question, asked) in [(&b"R\0\0\0\x08\0\0\0\x03"[..], "clear"), (md5, "MD5")] {
        for (url, is_tcp) in urls.iter().zip([true, false]) {
            let accept = || {
                if is_tcp {
                    ask(tcp.accept().unwrap().0, question)
                } else {
                    ask(socket.accept().unwrap().0, question)
                }
            };
            let (error, sent) = std::thread::scope(|scope| {
                let server = scope.spawn(accept);
                let error = refused(&settings(url, "hunter2", folder.path()), &sealer).to_string();
                (error, server.join().unwrap())
            });
            assert!(error.contains("in clear or as MD5") && error.contains("scram-sha-256"), "{error}");
            let only_its_name = sent.contains("totpd") && !sent.contains("hunter2") && !sent.contains("md5");
            assert!(only_its_name, "{asked} {url}: {sent}");
        }
    }
}

#[test]
fn a_database_of_another_encoding_is_refused() {
    let fixture = PostgresFixture::new();
    let (user, name) = (&fixture.settings.url.user, format!("{}_latin", fixture.database));
    for encoding in ["LATIN1", "SQL_ASCII"] {
        shared().sql(
            "postgres",
            &format!(
                "CREATE DATABASE {name}_{encoding} OWNER {user} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
            ),
        );
        let mut settings = fixture.settings.clone();
        for server in &mut settings.url.servers {
            server.config.dbname(format!("{name}_{encoding}").to_lowercase());
        }
        let error = on_thread(|| create(&settings, fixture.sealer())).unwrap_err().to_string();
        assert!(error.contains("createdb -E UTF8 -T template0"), "{error}");
    }
}
