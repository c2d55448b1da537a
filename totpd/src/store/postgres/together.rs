//! Many logins as one statement, in which each is a row: the server runs one statement for all of
//! them, and sends one answer.

use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::session::BEGUN;
use crate::store::postgres::slots;
use crate::store::postgres::steps::Value;
use std::error::Error;
use std::sync::LazyLock;
use tokio_postgres::Statement;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// The columns of a row, with their types: those of an account as [`Columns`] has them, the grant,
/// and the event. A row without an account has an event alone.
///
/// [`Columns`]: crate::store::postgres::columns::Columns
const COLUMNS: [(&str, &str); 22] = [
    ("id", "TEXT"),
    ("name", "TEXT"),
    ("version", "BIGINT"),
    ("uid", "BIGINT"),
    ("created", "BIGINT"),
    ("email", "TEXT"),
    ("phone", "TEXT"),
    ("awaits", "BOOLEAN"),
    ("active_totp", "TEXT"),
    ("pending_totp", "TEXT"),
    ("pending_until", "BIGINT"),
    ("locked_until", "BIGINT"),
    ("ticket_until", "BIGINT"),
    ("record", "TEXT"),
    ("second_totp", "TEXT"),
    ("third_totp", "TEXT"),
    ("email_id", "TEXT"),
    ("phone_id", "TEXT"),
    ("granted", "BIGINT"),
    ("at", "BIGINT"),
    ("who", "TEXT"),
    ("event", "TEXT"),
];
/// How many of them are the account's.
const OF_ACCOUNT: usize = 18;

/// Writes the accounts, the latest grant and the events, and returns the numbers of the rows that
/// it has written. The records are locked in the order of the rows, whatever order the server would
/// choose. Two logins of one record are two rows at one version, of which it writes one.
static STATEMENT: LazyLock<String> = LazyLock::new(|| {
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    let arrays: Vec<String> =
        (1..).zip(COLUMNS).map(|(place, (_, sort))| format!("CAST(${place} AS {sort}[])")).collect();
    let account = COLUMNS[..OF_ACCOUNT].iter().map(|(name, _)| *name);
    let changed = account.filter(|name| !["id", "version"].contains(name));
    let changed: Vec<String> = changed.map(|name| format!("{name} = new.{name}")).collect();
    format!(
        "WITH new AS (SELECT * FROM unnest({arrays}) WITH ORDINALITY AS new ({names}, nr) WHERE {BEGUN}),
              held AS (SELECT new.nr, locked.id FROM new CROSS JOIN LATERAL (
                         SELECT account.id FROM account
                         WHERE account.id = new.id AND account.version = new.version FOR NO KEY UPDATE) AS locked),
              written AS (UPDATE account SET version = account.version + 1, {changed}
                          FROM new JOIN held ON held.nr = new.nr WHERE account.id = held.id
                          RETURNING new.nr, new.granted),
              moved AS ({moved}),
              noted AS (INSERT INTO history (at, name, event)
                        SELECT new.at, new.who, new.event FROM new LEFT JOIN written ON written.nr = new.nr
                        WHERE new.event IS NOT NULL AND (new.id IS NULL OR written.nr IS NOT NULL)
                        ORDER BY new.nr)
         SELECT nr FROM written UNION ALL SELECT nr FROM new WHERE id IS NULL",
        arrays = arrays.join(", "),
        changed = changed.join(", "),
        moved = slots::moved("SELECT max(granted) FROM written", &format!("${}", COLUMNS.len() + 1)),
    )
});

/// Prepares the statement, unless that was done before.
pub(super) async fn prepared(db: &Connection) -> Result<Statement, Fault> {
    db.prepared(&STATEMENT).await
}

/// The row of a login.
pub(super) struct Row(Vec<Value>);

impl Row {
    /// Of an account's columns, if it has one, and what is written beside it.
    pub(super) fn new(account: Option<Vec<Value>>, beside: [Value; COLUMNS.len() - OF_ACCOUNT]) -> Self {
        let nothing = || (0..OF_ACCOUNT).map(|_| Box::new(Null) as Value).collect();
        let mut values = account.unwrap_or_else(nothing);
        values.extend(beside);
        Self(values)
    }
}

/// Writes rows; for each of them `false` when its account is at another version.
pub(super) async fn write(
    db: &Connection,
    statement: &Statement,
    slot: i64,
    rows: &[Row],
) -> Result<Vec<bool>, Fault> {
    let column = |place: usize| -> Vec<Item<'_>> { rows.iter().map(|row| Item(&row.0[place])).collect() };
    let columns: Vec<Vec<Item<'_>>> = (0..COLUMNS.len()).map(column).collect();
    let mut values: Vec<&(dyn ToSql + Sync)> =
        columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
    values.push(&slot);
    let answered = db.client.query(statement, &values).await?;
    let mut written = vec![false; rows.len()];
    for number in answered.iter().map(|row| row.get::<_, i64>(0)) {
        let place = usize::try_from(number - 1).ok().and_then(|place| written.get_mut(place));
        *place.ok_or_else(|| Fault::Other("PostgreSQL has written a row that was not sent".to_owned()))? =
            true;
    }
    Ok(written)
}

/// A value in an array.
#[derive(Debug)]
struct Item<'a>(&'a Value);

impl ToSql for Item<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.to_sql_checked(ty, out)
    }

    /// The value itself is asked when it is written.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// No value, of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
