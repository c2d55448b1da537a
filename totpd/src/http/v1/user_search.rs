//! `/v1/users/search`: finds users by filters, in pages.

use crate::clock::from_rfc3339;
use crate::engine::api::{FoundUsers, Match, Scope, UserFilter, UserSearch, is_id};
use crate::http::v1::auth::Context;
use crate::http::v1::body::{Answer, Body, Nested, parse};
use crate::http::v1::client_limits::LargeResponsePermit;
use crate::http::v1::error::ApiError;
use crate::http::v1::user_view::User;
use axum::Extension;
use data_encoding::BASE64URL_NOPAD;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use totp_core::{Time, UserName, external_id};
use utoipa::ToSchema;
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type,
};

/// Users on one page: the default, and the most.
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1000;
/// The most filters in one search, and the most values of one filter.
const MAX_OPERANDS: usize = 100;

/// A search.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct SearchUsers {
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
    /// Users on one page: 1 to 1000, 100 by default.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    #[schema(value_type = Option<Query>)]
    query: Option<Nested<Query>>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
struct Query {
    #[schema(value_type = Option<Operator>)]
    operator: Option<String>,
    #[schema(value_type = Option<Vec<Operand>>)]
    operands: Option<Vec<Nested<Operand>>>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
struct Operand {
    #[schema(value_type = FilterName)]
    filter_name: Option<String>,
    /// A list of strings, a string, a boolean, a time, or two times, depending on `filter_name`.
    #[schema(required, schema_with = filter_value)]
    filter_value: Option<Value>,
}

/// How the filters of a search combine.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Operator {
    /// A user matches all filters.
    And,
    /// A user matches at least one filter.
    Or,
}

/// What a filter compares.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum FilterName {
    UserId,
    ExternalId,
    EmailAddress,
    EmailAddressFuzzy,
    PhoneNumber,
    PhoneNumberFuzzy,
    Status,
    TotpId,
    TotpVerified,
    CreatedAtGreaterThan,
    CreatedAtLessThan,
    CreatedAtBetween,
}

/// The forms of a `filter_value`.
fn filter_value() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let time = || text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let range = ObjectBuilder::new()
        .property("greater_than", time())
        .property("less_than", time())
        .required("greater_than")
        .required("less_than");
    AnyOfBuilder::new()
        .item(ArrayBuilder::new().items(text()).min_items(Some(1)).max_items(Some(MAX_OPERANDS)))
        .item(text().min_length(Some(1)))
        .item(ObjectBuilder::new().schema_type(Type::Boolean))
        .item(range)
        .into()
}

/// The variant that a text names.
fn variant<'de, T: Deserialize<'de>>(text: &'de str) -> Option<T> {
    T::deserialize(StrDeserializer::<serde::de::value::Error>::new(text)).ok()
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsersFound {
    results: Vec<User>,
    results_metadata: Metadata,
}

#[derive(Debug, Serialize, ToSchema)]
struct Metadata {
    /// The number of users on all pages; -1 if they are too many to count.
    total: i64,
    /// The `cursor` of the next page; null on the last one.
    next_cursor: Option<String>,
}

/// Finds users.
#[utoipa::path(post, path = "/v1/users/search", operation_id = "users_search", tag = "users", responses((status = 200, body = Answer<UsersFound>)), request_body = SearchUsers)]
pub(crate) async fn search(
    context: Context,
    Body(fields): Body<SearchUsers>,
) -> Result<(Extension<LargeResponsePermit>, Answer<UsersFound>), ApiError> {
    context.require(Scope::Enroll)?;
    let limit = fields.limit.unwrap_or(DEFAULT_LIMIT);
    let limit =
        usize::try_from(limit).ok().filter(|_| (1..=MAX_LIMIT).contains(&limit)).ok_or_else(|| {
            ApiError::invalid("user_search_invalid_limit", format!("limit is 1 to {MAX_LIMIT}."))
        })?;
    let after = fields.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(read_cursor).transpose()?;
    let Nested(query) = fields.query.unwrap_or_default();
    let operator = match query.operator.as_deref().filter(|operator| !operator.is_empty()).map(variant) {
        None | Some(Some(Operator::And)) => Match::All,
        Some(Some(Operator::Or)) => Match::Any,
        Some(None) => {
            return Err(ApiError::invalid("user_search_invalid_operator", "operator is AND or OR."));
        }
    };
    let operands = query.operands.unwrap_or_default();
    if operands.len() > MAX_OPERANDS {
        return Err(ApiError::bad_request(format!("A search has at most {MAX_OPERANDS} operands.")));
    }
    let filters: Vec<Vec<UserFilter>> =
        operands.into_iter().map(|Nested(operand)| filters(operand)).collect::<Result<_, _>>()?;
    if operator == Match::Any && filters.iter().any(|filters| filters.len() > 1) {
        let message = "created_at_between cannot be used with OR. Use created_at_greater_than and created_at_less_than.";
        return Err(ApiError::invalid("user_search_invalid_operator", message));
    }
    let filters = filters.into_iter().flatten().collect();
    let permit = context.permit_large_response().await?;
    let Context { engine, caller, .. } = &context;
    let search = UserSearch { operator, filters, after, limit };
    let FoundUsers { users, total, next } = engine.search_users(caller, search).await?;
    let total = total.and_then(|total| i64::try_from(total).ok()).unwrap_or(-1);
    let next_cursor = next.map(|(created, id)| cursor(created, &id));
    let results = users.into_iter().map(User::from).collect();
    let body = UsersFound { results, results_metadata: Metadata { total, next_cursor } };
    Ok((permit, Answer::new(&caller.request_id, body)))
}

/// Parses a body as this route would, for fuzzing.
pub(crate) fn read_bodies(bytes: &[u8]) -> [Result<(), ApiError>; 1] {
    [parse::<SearchUsers>(bytes).and_then(|body| {
        body.cursor.as_deref().map(read_cursor).transpose()?;
        let Nested(query) = body.query.unwrap_or_default();
        for Nested(operand) in query.operands.unwrap_or_default() {
            filters(operand)?;
        }
        Ok(())
    })]
}

/// The cursor of the page behind this user.
fn cursor(created: Time, id: &str) -> String {
    BASE64URL_NOPAD.encode(format!("{} {id}", created.unix()).as_bytes())
}

/// The user that a cursor points behind: its creation time and id.
fn read_cursor(cursor: &str) -> Result<(Time, String), ApiError> {
    let read = || {
        let text = String::from_utf8(BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?).ok()?;
        let (created, id) = text.split_once(' ')?;
        Some((Time::from_unix(created.parse().ok()?), id.to_owned())).filter(|(_, id)| is_id("user", id))
    };
    read().ok_or_else(|| {
        ApiError::invalid("user_search_invalid_cursor", "cursor must be next_cursor of an earlier response.")
    })
}

/// The filters of one operand; a range has two.
fn filters(operand: Operand) -> Result<Vec<UserFilter>, ApiError> {
    let name = operand.filter_name.unwrap_or_default();
    let value = operand.filter_value.unwrap_or_default();
    let wrong = |what: &str| {
        ApiError::invalid("user_search_invalid_filter_value", format!("filter_value of {name} is {what}."))
    };
    let texts = || -> Result<Vec<String>, ApiError> {
        let values = value.as_array().filter(|values| (1..=MAX_OPERANDS).contains(&values.len()));
        let texts = values.and_then(|values| values.iter().map(|v| v.as_str().map(str::to_owned)).collect());
        texts.ok_or_else(|| wrong("a list of 1 to 100 strings"))
    };
    let text =
        || value.as_str().filter(|t| !t.is_empty()).map(str::to_owned).ok_or_else(|| wrong("a string"));
    let time = |value: &Value| {
        value.as_str().and_then(from_rfc3339).ok_or_else(|| wrong("an RFC 3339 time with its zone"))
    };
    let one = |filter: UserFilter| Ok(vec![filter]);
    let unknown = || {
        ApiError::invalid(
            "user_search_filter_name_not_recognized",
            "This server does not know the filter_name. /openapi.json lists those that it knows.",
        )
    };
    match variant::<FilterName>(&name).ok_or_else(unknown)? {
        FilterName::UserId => one(UserFilter::Id(texts()?)),
        FilterName::ExternalId => {
            // A text that is not an external id matches no user.
            let names = texts()?;
            let names = names.iter().filter_map(|id| external_id::to_name(id)).map(UserName::into).collect();
            one(UserFilter::Name(names))
        }
        FilterName::EmailAddress => one(UserFilter::Email(texts()?)),
        FilterName::EmailAddressFuzzy => one(UserFilter::EmailContains(text()?)),
        FilterName::PhoneNumber => one(UserFilter::Phone(texts()?)),
        FilterName::PhoneNumberFuzzy => one(UserFilter::PhoneContains(text()?)),
        FilterName::Status => match value.as_str() {
            Some("active") => one(UserFilter::Pending(false)),
            Some("pending") => one(UserFilter::Pending(true)),
            _ => Err(wrong("active or pending")),
        },
        FilterName::TotpId => one(UserFilter::Totp(texts()?)),
        FilterName::TotpVerified => {
            one(UserFilter::TotpVerified(value.as_bool().ok_or_else(|| wrong("true or false"))?))
        }
        FilterName::CreatedAtGreaterThan => one(UserFilter::CreatedAfter(time(&value)?)),
        FilterName::CreatedAtLessThan => one(UserFilter::CreatedBefore(time(&value)?)),
        FilterName::CreatedAtBetween => Ok(vec![
            UserFilter::CreatedAfter(time(&value["greater_than"])?),
            UserFilter::CreatedBefore(time(&value["less_than"])?),
        ]),
    }
}
