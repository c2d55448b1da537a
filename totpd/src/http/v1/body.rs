//! The body of a request: bounded in size and time, JSON, an object; and the form of every good answer.

use crate::http::v1::auth::Context;
use crate::http::v1::error::ApiError;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::marker::PhantomData;
use std::time::Duration;
use utoipa::ToSchema;

/// The largest body.
pub(crate) const MOST_BYTES: usize = 64 * 1024;
/// The deepest nesting. What is stored stands deeper in its record than in a request, and has to be read again: serde_json
/// reads 127 levels.
const MOST_LEVELS: usize = 32;
/// How long it may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// The fields of a request. What is null is absent, and what is unknown is not looked at: the SDKs send both.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let context = request.extensions().get::<Context>().cloned();
        let bytes = whole(request).await?;
        // Credentials that were revoked while it came are no good.
        context.ok_or_else(ApiError::unavailable)?.is_current().await?;
        fields(&bytes).map(Self)
    }
}

async fn whole(request: Request) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("The body is larger than {} kB.", MOST_BYTES / 1024);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", message)
    };
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > MOST_BYTES) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(request.into_body(), MOST_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // The bound, or a client that hung up and reads no answer.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "bad_request",
            format!("The body did not arrive within {} seconds.", BODY_TIMEOUT.as_secs()),
        )),
    }
}

pub(crate) fn fields<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace());
    let text = match start.and_then(|at| bytes.get(at..)) {
        // Nothing at all, as for a request that needs no field.
        None => b"{}".as_slice(),
        Some(text) if text.starts_with(b"{") => text,
        Some(_) => return Err(ApiError::bad_request("The body is not a JSON object.")),
    };
    if levels(text) > MOST_LEVELS {
        return Err(ApiError::bad_request(format!("The body is nested deeper than {MOST_LEVELS} levels.")));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let fields = serde_path_to_error::deserialize(&mut json);
    // Never the error's own text: it quotes what was sent, and that may be a code.
    let fields = fields.map_err(|error| {
        let place = error.path().to_string();
        let inner = error.into_inner();
        ApiError::bad_request(if inner.is_data() {
            format!("{place} has not the type that it has to have (/openapi.json describes it).")
        } else {
            not_json(&inner)
        })
    })?;
    json.end().map_err(|error| ApiError::bad_request(not_json(&error)))?;
    Ok(fields)
}

/// How deep objects and lists stand in each other.
fn levels(json: &[u8]) -> usize {
    let (mut level, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' if !in_text => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn not_json(error: &serde_json::Error) -> String {
    format!("The body is not JSON (line {}, column {}).", error.line(), error.column())
}

/// A field that has to be there.
pub(crate) fn required<T>(field: Option<T>, name: &str) -> Result<T, ApiError> {
    field.ok_or_else(|| ApiError::bad_request(format!("{name} is missing.")))
}

/// A field of Stytch's API that this server refuses. Ignoring it would answer a question that nobody decided.
pub(crate) type Unsupported = Option<IgnoredAny>;

/// Refuses a request that has a field which this server does not support; null is absent.
pub(crate) fn unsupported(field: Unsupported, name: &str, instead: &str) -> Result<(), ApiError> {
    match field {
        None => Ok(()),
        Some(IgnoredAny) => Err(ApiError::unsupported(name, instead)),
    }
}

/// An object inside of another one. For serde a list of its fields' values, in their order, would be one as well.
#[derive(Debug, Default)]
pub(crate) struct Nested<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Nested<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Nested<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Nested)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// A good answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer<T> {
    /// The HTTP status.
    pub(crate) status_code: u16,
    /// Names the request, here and in the audit.
    pub(crate) request_id: String,
    #[serde(flatten)]
    pub(crate) body: T,
}

impl<T: Serialize> Answer<T> {
    pub(crate) fn new(request_id: &str, body: T) -> Self {
        Self { status_code: 200, request_id: request_id.to_owned(), body }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status_code).unwrap_or(StatusCode::OK);
        // Secrets and tokens are nobody's to keep on the way.
        (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Fields {
        a: Option<String>,
        b: Option<i64>,
    }

    #[test]
    fn null_is_absent_and_unknown_fields_are_not_looked_at() {
        let read = |text: &str| fields::<Fields>(text.as_bytes()).unwrap();
        assert_eq!(read(r#"{"a": null, "x": {"y": [1]}, "b": 5}"#), Fields { a: None, b: Some(5) });
        assert_eq!(read(""), Fields { a: None, b: None });
        assert_eq!(read(" \n{}\n "), Fields { a: None, b: None });
    }

    #[test]
    fn a_list_of_its_fields_is_no_object() {
        #[derive(Debug, Deserialize)]
        struct Outer {
            c: Option<Nested<Fields>>,
        }
        let read = |text: &str| fields::<Outer>(text.as_bytes()).map(|outer| outer.c.map(|c| c.0));
        assert_eq!(read(r#"{"c": {"b": 5}}"#).unwrap(), Some(Fields { a: None, b: Some(5) }));
        assert_eq!(read(r#"{"c": null}"#).unwrap(), None);
        for bad in [r#"{"c": [null, 5]}"#, r#"{"c": []}"#, r#"{"c": "a"}"#, r#"{"c": {"b": "a"}}"#] {
            assert_eq!(read(bad).unwrap_err().status(), StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn what_is_no_object_of_these_fields_is_refused_and_not_quoted() {
        let deep = format!("{{\"x\":{}1", "[".repeat(1_000));
        for bad in [
            r#"["hunter2", 5]"#,
            r#""hunter2""#,
            "null",
            "5",
            "{",
            r#"{"a":"hunter2""#,
            r#"{"a":"hunter2"} x"#,
            r#"{"a":{"hunter2":1}}"#,
            r#"{"b":"hunter2"}"#,
            r#"{"b":5.0}"#,
            r#"{"b":1e400}"#,
            r#"{"a":"hunter2","a":"x"}"#,
            "{\"a\":\"hunter2\u{0}\"}",
            &deep,
            "\u{feff}{}",
        ] {
            let error = fields::<Fields>(bad.as_bytes()).unwrap_err();
            assert_eq!(error.status(), StatusCode::BAD_REQUEST);
            assert!(!format!("{error:?}").contains("hunter2"), "{bad}: {error:?}");
        }
    }
}
