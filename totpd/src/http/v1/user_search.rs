//! `/v1/users/search`: filters and a cursor.

use crate::clock::from_rfc3339;
use crate::engine::api::{Scope, is_id};
use crate::http::v1::auth::Context;
use crate::http::v1::body::{Answer, Body, Nested, fields};
use crate::http::v1::client_limits::LargeResponsePermit;
use crate::http::v1::error::ApiError;
use crate::http::v1::user_view::User;
use crate::store::{UserFilter, UserQuery};
use axum::Extension;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use totp_core::{Time, UserName, external_id};
use utoipa::ToSchema;

const PAGE: i64 = 100;
const LARGEST_PAGE: i64 = 1000;
/// Filters in one search, and values of one filter.
const MAX_PAGE: usize = 100;

/// What is searched for.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct SearchUsers {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// 1 to 1000, else 100.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    #[schema(value_type = Option<Query>)]
    query: Option<Nested<Query>>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
struct Query {
    /// `AND` or `OR`.
    operator: Option<String>,
    #[schema(value_type = Option<Vec<Operand>>)]
    operands: Option<Vec<Nested<Operand>>>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
struct Operand {
    /// `user_id`, `external_id`, `email_address`, `email_address_fuzzy`, `phone_number`, `phone_number_fuzzy`,
    /// `status`, `totp_id`, `totp_verified`, `created_at_greater_than`, `created_at_less_than` or
    /// `created_at_between`.
    #[schema(value_type = String)]
    filter_name: Option<String>,
    /// A list of texts, a text, true or false, a time or two: as `filter_name` takes it.
    #[schema(value_type = Value)]
    filter_value: Option<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Found {
    results: Vec<User>,
    results_metadata: Metadata,
}

#[derive(Debug, Serialize, ToSchema)]
struct Metadata {
    /// How many there are in all; -1 when they are too many to count.
    total: i64,
    /// Where the next page starts; null after the last.
    next_cursor: Option<String>,
}

/// Finds users.
#[utoipa::path(post, path = "/v1/users/search", operation_id = "users_search", responses((status = 200, body = Answer<Found>)), request_body = SearchUsers)]
pub(crate) async fn search(
    context: Context,
    Body(fields): Body<SearchUsers>,
) -> Result<(Extension<LargeResponsePermit>, Answer<Found>), ApiError> {
    context.may(Scope::Enroll)?;
    let limit = fields.limit.unwrap_or(PAGE);
    let limit =
        usize::try_from(limit).ok().filter(|_| (1..=LARGEST_PAGE).contains(&limit)).ok_or_else(|| {
            ApiError::invalid("user_search_invalid_limit", format!("limit is 1 to {LARGEST_PAGE}."))
        })?;
    let after = fields.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(read_cursor).transpose()?;
    let Nested(query) = fields.query.unwrap_or_default();
    let any = match query.operator.as_deref() {
        None | Some("AND" | "") => false,
        Some("OR") => true,
        Some(_) => {
            return Err(ApiError::invalid("user_search_invalid_operator", "operator is AND or OR."));
        }
    };
    let operands = query.operands.unwrap_or_default();
    if operands.len() > MAX_PAGE {
        return Err(ApiError::bad_request(format!("operands are {MAX_PAGE} at most.")));
    }
    let filters: Vec<Vec<UserFilter>> =
        operands.into_iter().map(|Nested(operand)| filters(operand)).collect::<Result<_, _>>()?;
    if any && filters.iter().any(|filters| filters.len() > 1) {
        let message = "created_at_between does not go with OR; use created_at_greater_than and _less_than.";
        return Err(ApiError::invalid("user_search_invalid_operator", message));
    }
    let filters = filters.into_iter().flatten().collect();
    let large = context.large().await?;
    let Context { engine, caller, .. } = &context;
    let query = UserQuery { any, filters, after, limit, now: Time::default() };
    let page = engine.search_users(query).await?;
    let total = page.total.and_then(|total| i64::try_from(total).ok()).unwrap_or(-1);
    let next_cursor = page.next.map(|(created, id)| cursor(created, &id));
    let results = page.users.into_iter().map(|stored| User::of(engine, caller, stored)).collect();
    let body = Found { results, results_metadata: Metadata { total, next_cursor } };
    Ok((large, Answer::new(&caller.request_id, body)))
}

/// Reads a body as that of this route, for fuzzing.
pub(crate) fn read_bodies(bytes: &[u8]) -> [Result<(), ApiError>; 1] {
    [fields::<SearchUsers>(bytes).and_then(|body| {
        body.cursor.as_deref().map(read_cursor).transpose()?;
        let Nested(query) = body.query.unwrap_or_default();
        for Nested(operand) in query.operands.unwrap_or_default() {
            filters(operand)?;
        }
        Ok(())
    })]
}

fn cursor(created: Time, id: &str) -> String {
    BASE64URL_NOPAD.encode(format!("{} {id}", created.unix()).as_bytes())
}

fn read_cursor(cursor: &str) -> Result<(Time, String), ApiError> {
    let read = || {
        let text = String::from_utf8(BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?).ok()?;
        let (created, id) = text.split_once(' ')?;
        Some((Time::from_unix(created.parse().ok()?), id.to_owned())).filter(|(_, id)| is_id("user", id))
    };
    read().ok_or_else(|| {
        ApiError::invalid("user_search_invalid_cursor", "cursor is next_cursor of an earlier answer.")
    })
}

/// One operand; a range is two filters.
fn filters(operand: Operand) -> Result<Vec<UserFilter>, ApiError> {
    let name = operand.filter_name.unwrap_or_default();
    let value = operand.filter_value.unwrap_or_default();
    let wrong = |what: &str| {
        ApiError::invalid("user_search_invalid_filter_value", format!("filter_value of {name} is {what}."))
    };
    let texts = || -> Result<Vec<String>, ApiError> {
        let values = value.as_array().filter(|values| (1..=MAX_PAGE).contains(&values.len()));
        let texts = values.and_then(|values| values.iter().map(|v| v.as_str().map(str::to_owned)).collect());
        texts.ok_or_else(|| wrong("a list of 1 to 100 texts"))
    };
    let text = || value.as_str().filter(|t| !t.is_empty()).map(str::to_owned).ok_or_else(|| wrong("a text"));
    let time = |value: &Value| {
        value.as_str().and_then(from_rfc3339).ok_or_else(|| wrong("an RFC 3339 time with its zone"))
    };
    let one = |filter: UserFilter| Ok(vec![filter]);
    match name.as_str() {
        "user_id" => one(UserFilter::Id(texts()?)),
        "external_id" => {
            // One that is nobody's finds nobody.
            let names = texts()?;
            let names = names.iter().filter_map(|id| external_id::to_name(id)).map(UserName::into).collect();
            one(UserFilter::Name(names))
        }
        "email_address" => one(UserFilter::Email(texts()?)),
        "email_address_fuzzy" => one(UserFilter::EmailLike(text()?)),
        "phone_number" => one(UserFilter::Phone(texts()?)),
        "phone_number_fuzzy" => one(UserFilter::PhoneLike(text()?)),
        "status" => match value.as_str() {
            Some("active") => one(UserFilter::Pending(false)),
            Some("pending") => one(UserFilter::Pending(true)),
            _ => Err(wrong("active or pending")),
        },
        "totp_id" => one(UserFilter::Totp(texts()?)),
        "totp_verified" => {
            one(UserFilter::TotpVerified(value.as_bool().ok_or_else(|| wrong("true or false"))?))
        }
        "created_at_greater_than" => one(UserFilter::After(time(&value)?)),
        "created_at_less_than" => one(UserFilter::Before(time(&value)?)),
        "created_at_between" => Ok(vec![
            UserFilter::After(time(&value["greater_than"])?),
            UserFilter::Before(time(&value["less_than"])?),
        ]),
        _ => Err(ApiError::invalid(
            "user_search_filter_name_not_recognized",
            "filter_name is none of those that this server knows (/openapi.json lists them).",
        )),
    }
}
