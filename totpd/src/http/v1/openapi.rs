//! The OpenAPI document: what the routes say of themselves, the credentials, and the errors and
//! header fields that any operation may have.

use crate::http::v1::error::ErrorAnswer;
use crate::http::v1::error_types::ERROR_TYPES;
use serde_json::{Map, Value, json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::{OpenApi, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

/// The version of the API, which is not that of the program: strangers may read the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "totpd",
        version = "1.0.0",
        description = "Users, TOTPs and sessions, in the shape of Stytch's Consumer API. \
        docs/reference/api.md explains it."
    ),
    servers((url = "/", description = "The host and port that this document comes from")),
    tags(
        (name = "users", description = "Users of applications, and of the host by their external_id"),
        (name = "totps", description = "TOTPs: create them, verify codes and recovery codes"),
        (name = "sessions", description = "Sessions that a verified code began, and the keys of their JWTs"),
        (name = "health", description = "For monitors and load balancers"),
    )
)]
struct ApiDocument;

/// The error statuses that an operation may respond with.
const ERRORS: [(&str, &str); 9] = [
    ("400", "An argument is wrong; nothing was changed"),
    ("401", "The credentials or the code were refused"),
    ("403", "The credentials lack the scope"),
    ("404", "No such route or resource"),
    ("408", "The body did not arrive in time"),
    ("413", "The body is too large"),
    ("429", "The user is locked, or the client makes too many requests"),
    ("500", "The server failed; a code in the request may be used up"),
    ("503", "The server cannot process the request now; nothing was changed"),
];

/// The error statuses of an operation that needs no credentials and has no body.
const PUBLIC_ERRORS: [&str; 4] = ["400", "404", "500", "503"];

/// The header fields of responses: name, type and description.
const HEADERS: [(&str, &str, &str); 4] = [
    ("X-Request-Id", "string", "The request_id"),
    ("Retry-After", "integer", "Seconds until another attempt may succeed"),
    ("RateLimit-Policy", "string", "The limits of the client (draft-ietf-httpapi-ratelimit-headers)"),
    ("RateLimit", "string", "What is left of the limits"),
];

/// Operations without a required field, whose body may be left out.
const BODILESS: [&str; 2] = ["users_search", "users_update"];

/// What the schemas of successful responses are called by utoipa, and here.
const ANSWER_PREFIX: &str = "Answer_";
const ANSWER_SUFFIX: &str = "Response";

/// The text of the document about these routes.
///
/// # Errors
/// serde's error when it cannot be written.
pub(super) fn text<S>(routes: OpenApiRouter<S>) -> Result<String, serde_json::Error>
where
    S: Clone + Send + Sync + 'static,
{
    let (_, mut document) =
        OpenApiRouter::with_openapi(ApiDocument::openapi()).merge(routes).split_for_parts();
    let components = document.components.get_or_insert_default();
    let basic = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("project_id and secret of `totpd client add`"))
        .build();
    components.add_security_scheme("credentials", SecurityScheme::Http(basic));
    components.schemas.insert(ErrorAnswer::name().into_owned(), ErrorAnswer::schema());
    document.security = Some(vec![SecurityRequirement::new("credentials", Vec::<String>::new())]);
    let mut document = serde_json::to_value(document)?;
    for operation in operations(&mut document) {
        complete(operation);
    }
    let headers = HEADERS.into_iter().map(|(name, kind, description)| {
        (name.to_owned(), json!({ "description": description, "schema": { "type": kind } }))
    });
    document["components"]["headers"] = Value::Object(headers.collect());
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        if name.starts_with(ANSWER_PREFIX) {
            merge_parts(schema);
        }
    }
    // For people: a closed enumeration would keep older clients from reading a new name.
    document["components"]["schemas"]["ErrorAnswer"]["properties"]["error_type"]["x-extensible-enum"] =
        ERROR_TYPES.iter().map(|error| error.name).collect();
    drop_unused_schemas(&mut document);
    serde_json::to_string(&rename_answers(document))
}

/// Every operation of every path.
pub(super) fn operations(document: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut).filter_map(Value::as_object_mut)
}

/// Adds the errors to an operation, and the header fields to its responses.
fn complete(operation: &mut Map<String, Value>) {
    let is_public = operation.contains_key("security");
    let is_bodiless =
        operation.get("operationId").and_then(Value::as_str).is_some_and(|id| BODILESS.contains(&id));
    if is_bodiless && let Some(body) = operation.get_mut("requestBody") {
        body["required"] = json!(false);
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for response in responses.values_mut() {
        response["description"] = json!("Done");
    }
    let schema = json!({ "$ref": "#/components/schemas/ErrorAnswer" });
    for (status, description) in ERRORS {
        if is_public && !PUBLIC_ERRORS.contains(&status) {
            continue;
        }
        let content = json!({ "application/json": { "schema": schema } });
        let error = json!({ "description": description, "content": content });
        responses.entry(status).or_insert(error);
    }
    for (status, response) in responses {
        let is_retried = matches!(status.as_str(), "429" | "503");
        // Without valid credentials a client has no quota.
        let has_header = |name: &str| match name {
            "Retry-After" => is_retried,
            "X-Request-Id" => true,
            _ => !is_public,
        };
        let headers = HEADERS.iter().filter(|(name, ..)| has_header(name));
        let headers = headers.map(|(name, ..)| {
            ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
        });
        response["headers"] = Value::Object(headers.collect());
    }
}

/// Makes one object of an answer's own fields and the common ones.
fn merge_parts(schema: &mut Value) {
    let Some(Value::Array(parts)) = schema.as_object_mut().and_then(|schema| schema.remove("allOf")) else {
        return;
    };
    let (mut required, mut properties) = (Vec::new(), Map::new());
    // The common fields are last, and they come first.
    for mut part in parts.into_iter().rev() {
        if let Value::Array(names) = part["required"].take() {
            required.extend(names);
        }
        if let Value::Object(fields) = part["properties"].take() {
            properties.extend(fields);
        }
    }
    schema["type"] = json!("object");
    schema["required"] = Value::Array(required);
    schema["properties"] = Value::Object(properties);
}

/// utoipa lists the fields of an answer as a schema of their own, though nothing refers to it.
fn drop_unused_schemas(document: &mut Value) {
    loop {
        let text = document.to_string();
        let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
        let Some(schemas) = schemas else { return };
        let before = schemas.len();
        schemas.retain(|name, _| text.contains(&format!("\"#/components/schemas/{name}\"")));
        // What only an unused schema refers to is unused as well.
        if schemas.len() == before {
            return;
        }
    }
}

/// Names the schemas of answers as a programmer would: `Answer_User` becomes `UserResponse`.
fn rename_answers(value: Value) -> Value {
    let renamed = |text: &str| match text.split_once(ANSWER_PREFIX) {
        Some((before, name)) => format!("{before}{name}{ANSWER_SUFFIX}"),
        None => text.to_owned(),
    };
    match value {
        Value::String(text) => Value::String(renamed(&text)),
        Value::Array(items) => items.into_iter().map(rename_answers).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (renamed(&name), rename_answers(value))).collect()
        }
        other => other,
    }
}
