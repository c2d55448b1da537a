//! What the programs need beside the SDK: the endpoint, a phone that is not ours, and assertions.

use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use stytch::client::{Client as Http, Vertical};
use stytch::consumer::client::Client;
use stytch::consumer::totps::CreateResponse;
use stytch::{Error, ErrorResponse, Result};
use totpd_e2e::phone::Phone;

/// The id of no user.
pub(crate) const NOBODY: &str = "user-aaaaaaaaaaaaaaaaaaaaaaaaaa";
/// The external id of the user of most calls.
pub(crate) const NAME: &str = "rust.alice_1-x";

/// An application that calls every method.
pub(crate) struct Walk {
    /// The SDK's client. Only the base URL differs from Stytch's.
    pub(crate) stytch: Client,
    pub(crate) project_id: String,
    pub(crate) folder: PathBuf,
    clock: i64,
}

fn told(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// Makes a client with these credentials.
pub(crate) fn client(project_id: &str, secret: &str) -> Client {
    let http = || {
        let url = told("SDK_URL").parse().unwrap();
        Http::new_with_base_url(project_id, secret, url, Vertical::Consumer).unwrap()
    };
    Client::new_with_http_client(http(), http())
}

impl Walk {
    pub(crate) fn new() -> Self {
        let project_id = told("SDK_PROJECT_ID");
        Self {
            stytch: client(&project_id, &told("SDK_SECRET")),
            project_id,
            folder: told("SDK_FOLDER").into(),
            clock: told("SDK_CLOCK").parse().unwrap(),
        }
    }

    /// Returns the daemon's time.
    pub(crate) fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        i64::try_from(now).unwrap() + self.clock
    }

    /// Returns the code that the phone shows this many time steps from now.
    pub(crate) fn code(&self, phone: &Phone, steps: i64) -> String {
        phone.code_at(self.now() + 30 * steps)
    }

    /// Returns a code that is wrong for every time step near now.
    pub(crate) fn wrong_code(&self, phone: &Phone) -> String {
        let near: Vec<String> = (-2..=2).map(|steps| self.code(phone, steps)).collect();
        (0..10).map(|n| format!("{n:06}")).find(|code| !near.contains(code)).unwrap()
    }
}

/// Returns the phone with this enrollment.
pub(crate) fn phone(made: &CreateResponse) -> Phone {
    Phone { recovery_codes: made.recovery_codes.clone(), ..Phone::with_key(&made.secret) }
}

/// Asserts that a call is refused with this error, as the SDK's error object with all its fields.
pub(crate) fn refused<T: Debug>(answer: Result<T>, status: u16, name: &str) -> ErrorResponse {
    match answer {
        Err(Error::Response(error)) => {
            assert_eq!((error.status_code.as_u16(), error.error_type.as_str()), (status, name), "{error:?}");
            for text in [&error.request_id, &error.error_message, &error.error_url] {
                assert!(!text.is_empty(), "{error:?}");
            }
            error
        }
        other => panic!("expected {name}: {other:?}"),
    }
}

/// Asserts that a response has these fields (JSON pointers) with these values.
#[track_caller]
pub(crate) fn has(answer: &impl serde::Serialize, fields: &Value) {
    let answer = serde_json::to_value(answer).unwrap();
    for (field, value) in fields.as_object().unwrap() {
        let found = answer.pointer(field).unwrap_or(&Value::Null);
        assert_eq!(found, value, "{field} of {answer:#}");
    }
}

/// Asserts that a call succeeds, and that the response has the common fields.
#[track_caller]
pub(crate) fn ok<T: serde::Serialize + Debug>(answer: Result<T>) -> T {
    let answer = answer.unwrap();
    has(&answer, &json!({ "/status_code": 200 }));
    answer
}
