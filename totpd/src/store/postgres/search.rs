//! A search of users as SQL: filters become conditions, values become parameters.

use crate::store::postgres::accounts::{is_foreign, stored};
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::query::{MAX_COUNTED, MAX_PAGE_BYTES, UserFilter, UserPage, UserQuery};
use crate::store::values::{read_time, sql_limit, sql_time};
use tokio_postgres::types::ToSql;

type Value = Box<dyn ToSql + Sync + Send>;

/// The conditions of a search, and the values of their parameters.
#[derive(Default)]
struct Conditions {
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a value, and returns its parameter.
    fn value(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    fn one_of(&mut self, column: &str, texts: &[String]) -> String {
        let texts: Vec<String> = texts.iter().filter(|text| !is_foreign(text)).cloned().collect();
        let parameter = self.value(texts);
        format!("{column} = ANY (CAST({parameter} AS TEXT[]))")
    }

    fn contains(&mut self, column: &str, text: &str) -> String {
        if is_foreign(text) {
            return "FALSE".to_owned();
        }
        let parameter = self.value(text.to_owned());
        format!("strpos({column}, CAST({parameter} AS TEXT)) > 0")
    }

    fn moment(&mut self, column: &str, sign: &str, seconds: i64) -> String {
        let parameter = self.value(seconds);
        format!("{column} {sign} CAST({parameter} AS BIGINT)")
    }

    fn of(&mut self, filter: &UserFilter, now: i64) -> String {
        match filter {
            UserFilter::Id(ids) => self.one_of("id", ids),
            UserFilter::Name(names) => self.one_of("name", names),
            UserFilter::Email(emails) => {
                self.one_of("email", &emails.iter().map(|e| e.to_lowercase()).collect::<Vec<_>>())
            }
            UserFilter::EmailContains(text) => self.contains("email", &text.to_lowercase()),
            UserFilter::Phone(phones) => self.one_of("phone", phones),
            UserFilter::PhoneContains(text) => self.contains("phone", text),
            UserFilter::Pending(true) => "awaits".to_owned(),
            UserFilter::Pending(false) => "NOT awaits".to_owned(),
            UserFilter::Totp(ids) => {
                let confirmed: Vec<String> = ["active_totp", "second_totp", "third_totp"]
                    .into_iter()
                    .map(|column| self.one_of(column, ids))
                    .collect();
                let (pending, lasts) =
                    (self.one_of("pending_totp", ids), self.moment("pending_until", ">", now));
                format!("({} OR ({pending} AND {lasts}))", confirmed.join(" OR "))
            }
            UserFilter::TotpVerified(true) => "active_totp IS NOT NULL".to_owned(),
            UserFilter::TotpVerified(false) => {
                let lasts = self.moment("pending_until", ">", now);
                format!("(pending_totp IS NOT NULL AND {lasts})")
            }
            UserFilter::CreatedAfter(time) => self.moment("created", ">", sql_time(*time)),
            UserFilter::CreatedBefore(time) => self.moment("created", "<", sql_time(*time)),
        }
    }

    /// The filters together, without the cursor.
    fn filters(&mut self, query: &UserQuery) -> String {
        let now = sql_time(query.now);
        let conditions: Vec<String> = query.filters.iter().map(|filter| self.of(filter, now)).collect();
        if conditions.is_empty() {
            return "TRUE".to_owned();
        }
        format!("({})", conditions.join(if query.any { " OR " } else { " AND " }))
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

/// Returns a page, in the order in which users were made, and how many users there are.
pub(super) async fn search(db: &Connection, query: &UserQuery) -> Result<UserPage, Fault> {
    let page = page(db, query).await?;
    Ok(UserPage { total: count(db, query).await?, ..page })
}

async fn page(db: &Connection, query: &UserQuery) -> Result<UserPage, Fault> {
    let mut conditions = Conditions::default();
    let mut filters = conditions.filters(query);
    if let Some((created, id)) = &query.after {
        let created = conditions.value(sql_time(*created));
        let id = conditions.value(id.replace('\0', ""));
        filters.push_str(&format!(" AND (created, id) > (CAST({created} AS BIGINT), CAST({id} AS TEXT))"));
    }
    // One more than asked for tells whether there is another page. The server adds up the bytes, so
    // that no more than a page and its last record are sent.
    let limit = conditions.value(sql_limit(query.limit).saturating_add(1));
    let bytes = conditions.value(sql_limit(MAX_PAGE_BYTES));
    let sql = format!(
        "SELECT record, version, id, name, created, bytes <= CAST({bytes} AS BIGINT) FROM (
           SELECT *, sum(octet_length(record)) OVER (ORDER BY created, id) AS bytes,
                  row_number() OVER (ORDER BY created, id) AS number FROM (
             SELECT record, version, id, name, created FROM account WHERE {filters}
             ORDER BY created, id LIMIT CAST({limit} AS BIGINT)) AS found) AS summed
         WHERE bytes - octet_length(record) <= CAST({bytes} AS BIGINT) OR number <= 2
         ORDER BY created, id"
    );
    let rows = db.client.query(&sql, &conditions.parameters()).await?;
    let (mut page, mut last) = (UserPage::default(), None);
    for row in &rows {
        let fits: bool = row.get(5);
        if page.users.len() >= query.limit || (!fits && last.is_some()) {
            page.next = last;
            break;
        }
        // From the columns that order them, which a damaged record has as well.
        last = Some((read_time(row.get(4)), row.get(2)));
        page.users.push(stored(row)?);
    }
    Ok(page)
}

/// How many users there are; `None` when they are too many to count.
async fn count(db: &Connection, query: &UserQuery) -> Result<Option<u64>, Fault> {
    let mut conditions = Conditions::default();
    let filters = conditions.filters(query);
    let limit = conditions.value(sql_limit(MAX_COUNTED + 1));
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM account WHERE {filters} LIMIT CAST({limit} AS BIGINT)) AS found"
    );
    let row = db.client.query_one(&sql, &conditions.parameters()).await?;
    let counted: i64 = row.get(0);
    Ok(u64::try_from(counted).ok().filter(|_| counted <= sql_limit(MAX_COUNTED)))
}
