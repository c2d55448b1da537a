//! A search of users as SQL: filters become conditions, values become parameters.

use crate::store::query::{MAX_COUNTED, MAX_PAGE_BYTES, UserFilter, UserPage, UserQuery};
use crate::store::sqlite::accounts::stored;
use crate::store::values::{read_time, sql_limit, sql_time};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// A condition of SQL and the values of its parameters.
struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    fn new(sql: &str, values: impl IntoIterator<Item = Value>) -> Self {
        Self { sql: sql.to_owned(), values: values.into_iter().collect() }
    }

    fn one_of(column: &str, texts: &[String]) -> Self {
        let marks = vec!["?"; texts.len()].join(", ");
        Self::new(&format!("{column} IN ({marks})"), texts.iter().cloned().map(Value::Text))
    }

    fn like(column: &str, text: &str) -> Self {
        Self::new(&format!("instr({column}, ?) > 0"), [Value::Text(text.to_owned())])
    }

    fn of(filter: &UserFilter, now: i64) -> Self {
        match filter {
            UserFilter::Id(ids) => Self::one_of("id", ids),
            UserFilter::Name(names) => Self::one_of("name", names),
            UserFilter::Email(emails) => {
                Self::one_of("email", &emails.iter().map(|e| e.to_lowercase()).collect::<Vec<_>>())
            }
            UserFilter::EmailContains(text) => Self::like("email", &text.to_lowercase()),
            UserFilter::Phone(phones) => Self::one_of("phone", phones),
            UserFilter::PhoneContains(text) => Self::like("phone", text),
            UserFilter::Pending(pending) => Self::new("awaits = ?", [Value::Integer((*pending).into())]),
            UserFilter::Totp(ids) => {
                let of = |column| Self::one_of(column, ids);
                let (active, second, third) = (of("active_totp"), of("second_totp"), of("third_totp"));
                let pending = of("pending_totp");
                let sql = format!(
                    "({} OR {} OR {} OR ({} AND pending_until > ?))",
                    active.sql, second.sql, third.sql, pending.sql
                );
                let values = [active, second, third, pending].into_iter().flat_map(|of| of.values);
                Self { sql, values: values.chain([Value::Integer(now)]).collect() }
            }
            UserFilter::TotpVerified(true) => Self::new("active_totp IS NOT NULL", []),
            UserFilter::TotpVerified(false) => {
                Self::new("(pending_totp IS NOT NULL AND pending_until > ?)", [Value::Integer(now)])
            }
            UserFilter::CreatedAfter(time) => Self::new("created > ?", [Value::Integer(sql_time(*time))]),
            UserFilter::CreatedBefore(time) => Self::new("created < ?", [Value::Integer(sql_time(*time))]),
        }
    }
}

/// The filters together, without the cursor.
fn filters(query: &UserQuery) -> Condition {
    let conditions: Vec<Condition> =
        query.filters.iter().map(|f| Condition::of(f, sql_time(query.now))).collect();
    if conditions.is_empty() {
        return Condition::new("1", []);
    }
    let word = if query.any { " OR " } else { " AND " };
    let sql = conditions.iter().map(|c| c.sql.as_str()).collect::<Vec<_>>().join(word);
    Condition { sql: format!("({sql})"), values: conditions.into_iter().flat_map(|c| c.values).collect() }
}

/// Returns a page, in the order in which users were made, and how many users there are.
pub(super) fn search(db: &Connection, query: &UserQuery) -> rusqlite::Result<UserPage> {
    Ok(UserPage { total: count(db, query)?, ..page(db, query)? })
}

fn page(db: &Connection, query: &UserQuery) -> rusqlite::Result<UserPage> {
    let Condition { mut sql, mut values } = filters(query);
    if let Some((created, id)) = &query.after {
        sql.push_str(" AND (created, id) > (?, ?)");
        values.extend([Value::Integer(sql_time(*created)), Value::Text(id.clone())]);
    }
    // One more than asked for tells whether there is another page.
    values.push(Value::Integer(sql_limit(query.limit).saturating_add(1)));
    let mut statement = db.prepare_cached(&format!(
        "SELECT record, version, id, name, created FROM account WHERE {sql} ORDER BY created, id LIMIT ?"
    ))?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut page, mut last, mut bytes) = (UserPage::default(), None, 0);
    while let Some(row) = rows.next()? {
        bytes += row.get_ref(0)?.as_bytes().map_or(0, <[u8]>::len);
        if page.users.len() >= query.limit || (bytes > MAX_PAGE_BYTES && last.is_some()) {
            page.next = last;
            break;
        }
        // From the columns that order them, which a damaged record has as well.
        last = Some((read_time(row.get(4)?), row.get(2)?));
        page.users.push(stored(row)?);
    }
    Ok(page)
}

/// How many users there are; `None` when they are too many to count.
fn count(db: &Connection, query: &UserQuery) -> rusqlite::Result<Option<u64>> {
    let Condition { sql, mut values } = filters(query);
    values.push(Value::Integer(sql_limit(MAX_COUNTED + 1)));
    let mut statement =
        db.prepare_cached(&format!("SELECT count(*) FROM (SELECT 1 FROM account WHERE {sql} LIMIT ?)"))?;
    let counted: i64 = statement.query_row(params_from_iter(values), |row| row.get(0))?;
    Ok(u64::try_from(counted).ok().filter(|_| counted <= sql_limit(MAX_COUNTED)))
}
