//! Whether the servers keep what they acknowledge: after a power cut, and after a failover.

use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;

/// What the settings and the standbys of a server mean for what it acknowledges.
#[derive(Debug, Default)]
pub(super) struct Durability {
    /// What may be lost, one sentence for each reason; none when a failover loses nothing.
    pub(super) findings: Vec<String>,
    /// Why no commit can end now: a code that was typed would be used up in vain.
    pub(super) blocked: Option<String>,
}

impl From<Vec<String>> for Durability {
    fn from(findings: Vec<String>) -> Self {
        Self { findings, blocked: None }
    }
}

/// Asks a server.
pub(super) async fn look(db: &Connection) -> Result<Durability, Fault> {
    match ask(db).await {
        Err(fault) if !fault.is_of_connection() => {
            Ok(vec![format!("what a failover of {} could lose is not known: {fault}", db.server)].into())
        }
        found => found,
    }
}

async fn ask(db: &Connection) -> Result<Durability, Fault> {
    let setting = async |name: &'static str| -> Result<String, Fault> {
        let row = db.row("SELECT current_setting($1, true)", &[&name]).await?;
        Ok(row.and_then(|row| row.get::<_, Option<String>>(0)).unwrap_or_default())
    };
    let mut found = Vec::new();
    for name in ["fsync", "full_page_writes"] {
        if setting(name).await? == "off" {
            found.push(format!(
                "PostgreSQL runs with {name} = off: after a crash of its host used codes may be fresh again. Set it to on"
            ));
        }
    }
    let names = setting("synchronous_standby_names").await?;
    for (reason, holds) in [
        ("synchronous_standby_names is empty", names.trim().is_empty()),
        ("max_wal_senders is 0", setting("max_wal_senders").await? == "0"),
    ] {
        if holds {
            found.push(format!(
                "PostgreSQL waits for no standby ({reason}): after a failover the latest used codes may be fresh again"
            ));
            return Ok(found.into());
        }
    }
    let mut blocked = None;
    let sql = "SELECT count(*), count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')), count(sync_state)
               FROM pg_stat_replication";
    if let Some(row) = db.row(sql, &[]).await? {
        let (all, counting, visible): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        if all > 0 && visible == 0 {
            found.push(
                "whether a standby keeps up is not known: GRANT pg_monitor to the user of totpd".to_owned(),
            );
        } else if counting < needed(&names) {
            let which = match needed(&names) {
                1 => "no standby that commits wait for is".to_owned(),
                needed => format!("of {needed} standbys that commits wait for {counting} are"),
            };
            blocked = Some(format!(
                "{which} connected to {}, so nobody can be let in. Start the standby; docs/how-to/database-recovery.md has \
                 more",
                db.server
            ));
        }
    }
    Ok(Durability { findings: found, blocked })
}

/// How many standbys a commit waits for (PostgreSQL's manual, "synchronous_standby_names"):
/// `FIRST 2 (a, b)`, `ANY 2 (a, b, c)`, `2 (a, b)`, and otherwise one.
fn needed(names: &str) -> i64 {
    let Some((before, _)) = names.split_once('(') else { return 1 };
    before.split_whitespace().next_back().and_then(|number| number.parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::needed;

    #[test]
    fn the_number_of_standbys_is_that_of_the_setting() {
        for (names, number) in [
            ("*", 1),
            ("a", 1),
            ("a, b", 1),
            ("FIRST 1 (*)", 1),
            ("first 2(a,b)", 2),
            ("ANY 3 (\"a (1)\", b, c, d)", 3),
            ("2 (a, b, c)", 2),
            ("\"node (1)\", b", 1),
        ] {
            assert_eq!(needed(names), number, "{names}");
        }
    }
}
