//! Several sites over one PostgreSQL: they are one system for users, and have one clock.

use crate::database::SiteDatabase;
use crate::phone::Phone;
use crate::site::Site;
use totpd_test_postgres::Server;

/// Sites whose daemons share a store, each in a mount namespace of its own.
#[derive(Debug)]
pub struct Fleet {
    /// The sites. The first one made the store.
    pub sites: Vec<Site>,
    /// Servers that the database may fail over to.
    pub standbys: Vec<Server>,
}

impl Fleet {
    /// Makes this many sites with daemons that serve.
    #[track_caller]
    pub fn new(count: usize) -> Self {
        let fleet = Self::without_daemons(count);
        fleet.sites.iter().for_each(Site::start);
        fleet
    }

    /// Makes sites with daemons, and a synchronous standby that each of them knows, too.
    #[track_caller]
    pub fn with_standby(count: usize) -> Self {
        let mut fleet = Self::without_daemons(count);
        let standby = fleet.server().start_standby("standby_1");
        fleet.server().require_standby("standby_1");
        fleet.standbys.push(standby);
        fleet.write_configs("");
        fleet.sites.iter().for_each(Site::start);
        fleet
    }

    /// Makes sites with one store and one key, without daemons.
    #[track_caller]
    pub fn without_daemons(count: usize) -> Self {
        let first = Site::on_postgresql();
        first.totpd(&["init"]).assert_success();
        let mut sites = vec![first];
        for _ in 1..count {
            let site = Site::beside(sites[0].database.as_ref().unwrap());
            for file in ["etc/totpd/totpd.key", "etc/totpd/store.id"] {
                // With its mode: the key is for its owner alone.
                std::fs::copy(sites[0].path(file), site.path(file)).unwrap();
            }
            std::fs::create_dir(site.path("state")).unwrap();
            sites.push(site);
        }
        Self { sites, standbys: Vec::new() }
    }

    /// Returns the database.
    pub fn database(&self) -> &SiteDatabase {
        self.sites[0].database.as_ref().unwrap()
    }

    /// Returns the server that is the primary at first.
    pub fn server(&self) -> &Server {
        &self.database().server
    }

    /// Writes the configuration of each site with every server in it, and `more` at its end.
    pub fn write_configs(&self, more: &str) {
        let port = self.server().port();
        let hosts = |separator: &str| {
            let ports = std::iter::once(port).chain(self.standbys.iter().map(Server::port));
            ports.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(separator)
        };
        for site in &self.sites {
            site.write_config(more);
            site.replace("etc/totpd/totpd.toml", &format!("127.0.0.1:{port}"), &hosts(","));
        }
    }

    /// Moves the clock of daemons and database into the next time step.
    pub fn next_step(&self) {
        self.sites[0].next_step();
    }

    /// Enrolls a user and confirms the factor by a first code.
    #[track_caller]
    pub fn enroll(&self, user: &str) -> Phone {
        self.sites[0].enroll(user)
    }
}
