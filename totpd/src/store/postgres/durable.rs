//! Whether the servers keep what they acknowledge: after a power cut, and after a failover.

use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;

/// What may be lost, one sentence for each reason; none when a failover loses nothing.
pub(super) async fn findings(db: &Connection) -> Result<Vec<String>, Fault> {
    match ask(db).await {
        Err(fault) if !fault.is_of_connection() => {
            Ok(vec![format!("what a failover of {} could lose is not known: {fault}", db.server)])
        }
        found => found,
    }
}

async fn ask(db: &Connection) -> Result<Vec<String>, Fault> {
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
    if setting("synchronous_standby_names").await?.trim().is_empty() {
        found.push(
            "PostgreSQL waits for no standby (synchronous_standby_names is empty): after a failover the latest used codes \
             may be fresh again"
                .to_owned(),
        );
        return Ok(found);
    }
    let sql = "SELECT count(*), count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')), count(sync_state)
               FROM pg_stat_replication";
    if let Some(row) = db.row(sql, &[]).await? {
        let (all, counting, visible): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        if all > 0 && visible == 0 {
            found.push(
                "whether a standby keeps up is not known: GRANT pg_monitor to the user of totpd".to_owned(),
            );
        } else if counting == 0 {
            found.push(
                "no standby that counts is connected to PostgreSQL: commits wait for one, and logins with them. Start it; \
                 docs/how-to/database-recovery.md has more"
                    .to_owned(),
            );
        }
    }
    Ok(found)
}
