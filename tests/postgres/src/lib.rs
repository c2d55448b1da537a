//! Real PostgreSQL servers for tests: started as an ordinary user in a scratch folder, joined by
//! streaming replication, stopped, killed and promoted.
//!
//! A cluster of the host is never used. When the test process ends, however it ends, a guard
//! process stops its servers and removes the folder.
//!
//! ```no_run
//! use totpd_test_postgres::{Server, shared};
//!
//! // A database for one test, on the server that the tests of this process share.
//! let database = shared().create_database();
//! assert_eq!(database.sql("SELECT 1 + 1"), "2");
//!
//! // A server of its own, with a synchronous standby that takes over.
//! let primary = Server::start();
//! let database = primary.create_database();
//! let standby = primary.start_standby("standby_1");
//! primary.require_standby("standby_1");
//! database.sql("CREATE TABLE kept (id int)");
//! primary.kill();
//! standby.promote();
//! assert_eq!(database.on(&standby).sql("SELECT count(*) FROM kept"), "0");
//! ```
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod database;
mod programs;
mod replication;
mod scratch;
mod server;
mod template;
mod tls;

pub use database::Database;
pub use server::{Server, Setup, Shutdown, Surroundings};
pub use tls::Certificates;

use std::sync::OnceLock;

/// Returns the server that the tests of this process share. It has no standby and no TLS. Tests
/// that stop or reconfigure a server start their own.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}
