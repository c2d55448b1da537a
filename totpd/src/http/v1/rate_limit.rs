//! The header fields that tell a client its limits and what is left of them
//! (draft-ietf-httpapi-ratelimit-headers-10).
//!
//! There are two policies: `minute`, the requests of a client in a minute, and `concurrent`, its
//! requests in flight. Only authenticated requests have them: a stranger has no quota.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

/// The policies: their quotas and windows.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of each.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The limits of a client, and what is left of them. It is an extension of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Requests that the client may make a minute.
    pub(crate) per_minute: u32,
    /// Those that are left in this minute.
    pub(crate) remaining: u32,
    /// Seconds until the next minute of the client begins.
    pub(crate) reset_seconds: u64,
    /// Requests that may be in flight.
    pub(crate) max_concurrent: usize,
    /// How many more may be in flight now.
    pub(crate) concurrent_remaining: usize,
}

impl Quota {
    /// Adds the fields to a response.
    pub(crate) fn add_to(self, response: &mut Response) {
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|seconds| seconds.to_str().ok()?.parse::<u64>().ok());
        let fields = [(POLICY, self.policy()), (LIMIT, self.limit(retry_after))];
        for (name, text) in fields {
            if let Ok(value) = HeaderValue::try_from(text) {
                response.headers_mut().insert(name, value);
            }
        }
    }

    fn policy(self) -> String {
        let Self { per_minute, max_concurrent, .. } = self;
        format!(
            "\"minute\";q={per_minute};w=60, \"concurrent\";q={max_concurrent};qu=\"concurrent-requests\""
        )
    }

    /// `t` is left out if the client may retry earlier: a Retry-After should not name a time before
    /// it (section 5 of the draft).
    fn limit(self, retry_after: Option<u64>) -> String {
        let Self { remaining, reset_seconds, concurrent_remaining, .. } = self;
        let is_earlier = retry_after.is_some_and(|seconds| seconds < reset_seconds);
        let reset = if is_earlier { String::new() } else { format!(";t={reset_seconds}") };
        format!("\"minute\";r={remaining}{reset}, \"concurrent\";r={concurrent_remaining}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_reset_is_later_than_retry_after() {
        let quota = Quota {
            per_minute: 100,
            remaining: 7,
            reset_seconds: 40,
            max_concurrent: 256,
            concurrent_remaining: 255,
        };
        assert_eq!(quota.limit(None), r#""minute";r=7;t=40, "concurrent";r=255"#);
        assert_eq!(quota.limit(Some(40)), quota.limit(None));
        assert_eq!(quota.limit(Some(39)), r#""minute";r=7, "concurrent";r=255"#);
        assert_eq!(quota.policy(), r#""minute";q=100;w=60, "concurrent";q=256;qu="concurrent-requests""#);
    }
}
