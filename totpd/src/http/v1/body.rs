//! The body of a request, a JSON object that is limited in size, depth and time; and the form of
//! every successful response.

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
const MAX_BYTES: usize = 64 * 1024;
/// The deepest nesting. Metadata is nested deeper in a stored record than in the request, and
/// serde_json reads 127 levels back.
const MAX_LEVELS: usize = 32;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// The fields of a request. Null counts as absent, and unknown fields are ignored: the SDKs send
/// both.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let context = request.extensions().get::<Context>().cloned().ok_or_else(ApiError::unavailable)?;
        let bytes = context.wait(read(request)).await?;
        parse(&bytes).map(Self)
    }
}

/// Reads the whole body.
async fn read(request: Request) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("The body is larger than {} kB.", MAX_BYTES / 1024);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", message)
    };
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > MAX_BYTES) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(request.into_body(), MAX_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Too many bytes, or a client that hung up and reads no response.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "bad_request",
            format!("The body did not arrive within {} seconds.", BODY_TIMEOUT.as_secs()),
        )),
    }
}

/// Parses the text of a body. No error quotes it.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace());
    let text = match start.and_then(|at| bytes.get(at..)) {
        // No body, as in a request that needs no field.
        None => b"{}".as_slice(),
        Some(text) if text.starts_with(b"{") => text,
        Some(_) => return Err(ApiError::bad_request("The body is not a JSON object.")),
    };
    if depth(text) > MAX_LEVELS {
        return Err(ApiError::bad_request(format!("The body is nested deeper than {MAX_LEVELS} levels.")));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let fields = serde_path_to_error::deserialize(&mut json);
    let fields = fields.map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        ApiError::bad_request(if inner.is_data() { wrong_field(&path, &inner) } else { not_json(&inner) })
    })?;
    json.end().map_err(|error| ApiError::bad_request(not_json(&error)))?;
    Ok(fields)
}

/// How deeply objects and lists are nested.
fn depth(json: &[u8]) -> usize {
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

/// What a field expects: serde's words, and ours.
const EXPECTED: [(&str, &str); 7] = [
    ("a string", "a string"),
    ("i64", "an integer"),
    ("a boolean", "true or false"),
    ("a map", "an object"),
    ("an object", "an object"),
    ("a sequence", "a list"),
    ("unit", "null"),
];

/// Says what is wrong with a field. The text of serde's error quotes the body, which may hold a
/// code, so only the type that it names at its end is used, and only if it is a known one.
fn wrong_field(path: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("duplicate field ") {
        return "The body has a field twice.".to_owned();
    }
    let expected = text.rsplit_once(", expected ").map_or("", |(_, rest)| rest);
    let expected = expected.split(" at line ").next().unwrap_or_default();
    match EXPECTED.iter().find(|(serde, _)| *serde == expected) {
        Some((_, ours)) => format!("{path} has the wrong type (expected {ours})."),
        None => format!("{path} has the wrong type. /openapi.json describes it."),
    }
}

fn not_json(error: &serde_json::Error) -> String {
    format!("The body is not JSON (line {}, column {}).", error.line(), error.column())
}

/// A required field, which is a string.
pub(crate) fn required<T>(field: Option<T>, name: &str) -> Result<T, ApiError> {
    field.ok_or_else(|| ApiError::bad_request(format!("{name} is missing (expected a string).")))
}

/// An argument of Stytch's API that this server refuses, since a caller that sends it relies on its
/// effect.
pub(crate) type Unsupported = Option<IgnoredAny>;

/// Refuses a request with an unsupported argument. Null counts as absent.
pub(crate) fn refuse(field: Unsupported, name: &str, instead: &str) -> Result<(), ApiError> {
    match field {
        None => Ok(()),
        Some(IgnoredAny) => Err(ApiError::unsupported(name, instead)),
    }
}

/// An object inside another one. serde alone would also accept a list of the values of its fields.
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

/// A successful response.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer<T> {
    /// The HTTP status.
    status_code: u16,
    /// Identifies the request, here and in its audit event.
    request_id: String,
    #[serde(flatten)]
    body: T,
}

impl<T: Serialize> Answer<T> {
    /// A response with the status 200.
    pub(crate) fn new(request_id: &str, body: T) -> Self {
        Self { status_code: StatusCode::OK.as_u16(), request_id: request_id.to_owned(), body }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        // No proxy may store a secret or a token.
        (StatusCode::OK, [(header::CACHE_CONTROL, "no-store")], axum::Json(self)).into_response()
    }
}

/// What a handler returns.
pub(crate) type ApiResult<T> = Result<Answer<T>, ApiError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Fields {
        a: Option<String>,
        b: Option<i64>,
    }

    #[test]
    fn null_is_absent_and_unknown_fields_are_ignored() {
        let read = |text: &str| parse::<Fields>(text.as_bytes()).unwrap();
        assert_eq!(read(r#"{"a": null, "x": {"y": [1]}, "b": 5}"#), Fields { a: None, b: Some(5) });
        assert_eq!(read(""), Fields { a: None, b: None });
        assert_eq!(read(" \n{}\n "), Fields { a: None, b: None });
    }

    #[test]
    fn a_list_of_values_is_not_an_object() {
        #[derive(Debug, Deserialize)]
        struct Outer {
            c: Option<Nested<Fields>>,
        }
        let read = |text: &str| parse::<Outer>(text.as_bytes()).map(|outer| outer.c.map(|c| c.0));
        assert_eq!(read(r#"{"c": {"b": 5}}"#).unwrap(), Some(Fields { a: None, b: Some(5) }));
        assert_eq!(read(r#"{"c": null}"#).unwrap(), None);
        for bad in [r#"{"c": [null, 5]}"#, r#"{"c": []}"#, r#"{"c": "a"}"#, r#"{"c": {"b": "a"}}"#] {
            assert_eq!(read(bad).unwrap_err().status(), StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn the_error_for_a_wrong_type_names_the_expected_type() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only their types matter")]
        struct All {
            text: Option<String>,
            number: Option<i64>,
            flag: Option<bool>,
            object: Option<serde_json::Map<String, serde_json::Value>>,
            nested: Option<Nested<Fields>>,
            list: Option<Vec<String>>,
            secret: Option<zeroize::Zeroizing<String>>,
        }
        for (bad, message) in [
            (r#"{"text": 5}"#, "text has the wrong type (expected a string)."),
            (r#"{"secret": 123456}"#, "secret has the wrong type (expected a string)."),
            (r#"{"number": "5"}"#, "number has the wrong type (expected an integer)."),
            (r#"{"number": 5.5}"#, "number has the wrong type (expected an integer)."),
            (r#"{"number": 9223372036854775808}"#, "number has the wrong type (expected an integer)."),
            (r#"{"flag": 0}"#, "flag has the wrong type (expected true or false)."),
            (r#"{"object": []}"#, "object has the wrong type (expected an object)."),
            (r#"{"nested": ["x"]}"#, "nested has the wrong type (expected an object)."),
            (r#"{"nested": {"a": 1}}"#, "nested.a has the wrong type (expected a string)."),
            (r#"{"list": "x"}"#, "list has the wrong type (expected a list)."),
            (r#"{"list": ["x", 1]}"#, "list[1] has the wrong type (expected a string)."),
            (r#"{"number": ", expected a map"}"#, "number has the wrong type (expected an integer)."),
            (r#"{"text": "a", "text": "b"}"#, "The body has a field twice."),
        ] {
            assert_eq!(parse::<All>(bad.as_bytes()).unwrap_err(), ApiError::bad_request(message), "{bad}");
        }
    }

    #[test]
    fn a_malformed_body_is_refused_and_not_quoted() {
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
            let error = parse::<Fields>(bad.as_bytes()).unwrap_err();
            assert_eq!(error.status(), StatusCode::BAD_REQUEST);
            assert!(!format!("{error:?}").contains("hunter2"), "{bad}: {error:?}");
        }
    }
}
