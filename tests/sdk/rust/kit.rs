//! What the walk needs beside the SDK: the place, a phone that is not ours, and a look at refusals.

use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use stytch::client::{Client as Http, Vertical};
use stytch::consumer::client::Client;
use stytch::consumer::totps::CreateResponse;
use stytch::{Error, ErrorResponse, Result};
use totpd_e2e::phone::Phone;

/// Nobody's id.
pub(crate) const NOBODY: &str = "user-aaaaaaaaaaaaaaaaaaaaaaaaaa";
/// The external id of the user who does most of the walk.
pub(crate) const NAME: &str = "rust.alice_1-x";

/// An application on its walk.
pub(crate) struct Walk {
    /// The SDK's client; nothing but the base URL tells it that this is not Stytch.
    pub(crate) stytch: Client,
    pub(crate) project_id: String,
    pub(crate) folder: PathBuf,
    clock: i64,
}

fn told(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// A client with these credentials.
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

    /// Now, by the daemon's clock.
    pub(crate) fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        i64::try_from(now).unwrap() + self.clock
    }

    /// The code that the phone shows so many steps from now.
    pub(crate) fn code(&self, phone: &Phone, steps: i64) -> String {
        phone.code_at(self.now() + 30 * steps)
    }

    /// A code that is wrong for every step near now.
    pub(crate) fn wrong_code(&self, phone: &Phone) -> String {
        let near: Vec<String> = (-2..=2).map(|steps| self.code(phone, steps)).collect();
        (0..10).map(|n| format!("{n:06}")).find(|code| !near.contains(code)).unwrap()
    }
}

/// The phone that has taken an enrollment in.
pub(crate) fn phone(made: &CreateResponse) -> Phone {
    Phone { secret: made.secret.clone(), recovery_codes: made.recovery_codes.clone(), uri: String::new() }
}

/// That a call is refused with this error, in the SDK's own error object with all its fields.
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

/// That an answer has these fields (JSON pointers) with these values.
#[track_caller]
pub(crate) fn has(answer: &impl serde::Serialize, fields: &Value) {
    let answer = serde_json::to_value(answer).unwrap();
    for (field, value) in fields.as_object().unwrap() {
        let found = answer.pointer(field).unwrap_or(&Value::Null);
        assert_eq!(found, value, "{field} of {answer:#}");
    }
}

/// That a call is answered well: the envelope is there.
#[track_caller]
pub(crate) fn ok<T: serde::Serialize + Debug>(answer: Result<T>) -> T {
    let answer = answer.unwrap();
    has(&answer, &json!({ "/status_code": 200 }));
    answer
}
