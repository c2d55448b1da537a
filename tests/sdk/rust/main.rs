//! Calls every method of the API by the unmodified Rust SDK, which sends unset fields as null, a
//! body with GET, and every `-` of a path escaped. `totpd_sdk walk` runs with the site's clock
//! early in a time step; `totpd_sdk later` runs five minutes later, with recovery codes that are
//! stored as hashes.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test program: it is told by its environment where the API is, and fails when it cannot go on"
)]

mod kit;
mod later;
mod sessions;
mod totps;
mod users;

use kit::Walk;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let walk = Walk::new();
    if std::env::args().any(|argument| argument == "later") {
        later::walk(&walk).await;
        println!("and later, too");
        return;
    }
    users::credentials(&walk).await;
    let alice = users::making(&walk).await;
    users::searching(&walk, &alice).await;
    let phone = totps::enrolling(&walk, &alice).await;
    let open = totps::proving(&walk, &phone, &alice).await;
    totps::recovering(&walk, &phone, &alice, &open).await;
    sessions::looking(&walk, &alice, &open).await;
    sessions::checking(&walk, &alice, &open.session_token).await;
    sessions::ending(&walk, &phone.recovery_codes[2..5], &alice, &open).await;
    totps::locking(&walk, &open.session_token).await;
    later::keep(&walk, &phone.recovery_codes[5], &alice, &open.session_token).await;
    users::addresses(&walk).await;
    users::taking_away(&walk).await;
    println!("every method went through");
}
