//! Databases, roles and SQL, by `psql`.

use crate::programs::{clear_environment, folder};
use crate::server::Server;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A database for one test, and the role that owns it. It goes away with its server.
#[derive(Debug)]
pub struct Database<'s> {
    server: &'s Server,
    /// The name of the database, and of the role.
    pub name: String,
    /// The password of the role.
    pub password: String,
}

impl Database<'_> {
    /// Returns the URL for connections by TCP, with the role's name and without its password:
    /// `postgresql://NAME@ADDRESS:PORT/NAME`.
    pub fn url(&self) -> String {
        let name = &self.name;
        format!("postgresql://{name}@{}:{}/{name}", self.server.address(), self.server.port())
    }

    /// Returns the URL for connections through the Unix socket, which need no password.
    pub fn socket_url(&self) -> String {
        let (name, port) = (&self.name, self.server.port());
        let folder = self.server.socket_folder().display().to_string().replace('/', "%2F");
        format!("postgresql://{name}@{folder}:{port}/{name}")
    }

    /// Returns the same database on another server: a standby, or one that was promoted.
    pub fn on<'t>(&self, server: &'t Server) -> Database<'t> {
        Database { server, name: self.name.clone(), password: self.password.clone() }
    }

    /// Returns the server.
    pub fn server(&self) -> &Server {
        self.server
    }

    /// Executes SQL as the superuser. Returns rows as lines, and columns between bars.
    #[track_caller]
    pub fn sql(&self, statements: &str) -> String {
        self.server.sql(&self.name, statements)
    }
}

impl Server {
    /// Makes a role and a database of its own. The database sorts by English rules and not by bytes
    /// (ICU), as a site's may.
    #[track_caller]
    pub fn create_database(&self) -> Database<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("totpd_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let password = format!("password of {name}");
        self.create_role(&name, &password);
        self.sql(
            "postgres",
            &format!(
                "CREATE DATABASE {name} OWNER {name} TEMPLATE template0 \
                 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'"
            ),
        );
        Database { server: self, name, password }
    }

    /// Returns a database that [`create_database`](Self::create_database) made.
    pub fn database(&self, name: &str, password: &str) -> Database<'_> {
        Database { server: self, name: name.to_owned(), password: password.to_owned() }
    }

    /// Makes a database with the content of `from`, which may be in use. `pg_dump` makes the copy,
    /// as a site's backup does.
    #[track_caller]
    pub fn copy_database(&self, from: &str, to: &str, owner: &str) {
        self.sql("postgres", &format!("CREATE DATABASE {to} OWNER {owner} TEMPLATE template0"));
        let mut dump = Command::new(folder().join("pg_dump"));
        clear_environment(&mut dump);
        dump.arg("--host").arg(self.socket_folder()).args(["--port", &self.port().to_string()]);
        let mut dump = dump
            .args(["--username=postgres", "--dbname", from])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut restore = self.psql(to);
        restore.stdin(dump.stdout.take().unwrap()).stdout(Stdio::null());
        assert!(restore.status().unwrap().success() && dump.wait().unwrap().success(), "{from} to {to}");
    }

    /// Puts the database `copy` in the place of `name`, whose sessions end. What was there is
    /// `NAME_replaced` afterwards.
    #[track_caller]
    pub fn replace_database(&self, name: &str, copy: &str) {
        let run = |sql: &str| self.sql("postgres", sql);
        run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
        run(&format!(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = '{name}'"
        ));
        run(&format!("ALTER DATABASE {name} RENAME TO {name}_replaced"));
        run(&format!("ALTER DATABASE {copy} RENAME TO {name}"));
    }

    /// Makes a role that can log in.
    #[track_caller]
    pub fn create_role(&self, name: &str, password: &str) {
        self.sql("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'"));
    }

    /// Executes SQL as the superuser. Returns rows as lines, and columns between bars.
    #[track_caller]
    pub fn sql(&self, database: &str, statements: &str) -> String {
        self.try_sql(database, statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    /// Executes SQL as the superuser.
    ///
    /// # Errors
    /// What `psql` writes to standard error. Each statement before the one that failed is
    /// committed.
    pub fn try_sql(&self, database: &str, statements: &str) -> Result<String, String> {
        let mut psql = self.psql(database);
        let output = psql.args(["--command", statements]).output().unwrap();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Returns a `psql` as the superuser that reads SQL from its standard input or by `--command`.
    pub fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(folder().join("psql"));
        clear_environment(&mut psql);
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        psql.arg("--host").arg(self.socket_folder()).args(["--port", &self.port().to_string()]);
        psql.args(["--username=postgres", "--dbname", database]).stdin(Stdio::null());
        psql
    }
}
