//! Users: create, search, update, delete.

use crate::kit::{NAME, NOBODY, Walk, client, has, ok, phone, refused};
use serde_json::{Value, json};
use stytch::consumer::attribute::Attributes;
use stytch::consumer::sessions;
use stytch::consumer::totps;
use stytch::consumer::users::{
    ConnectedAppsRequest, CreateRequest, DeleteEmailRequest, DeleteExternalIdRequest,
    DeletePhoneNumberRequest, DeleteRequest, DeleteTOTPRequest, ExchangePrimaryFactorRequest, GetRequest,
    Name, SearchRequest, SearchUsersQuery, SearchUsersQueryOperator, UpdateRequest,
};

fn get(user_id: &str) -> GetRequest {
    GetRequest { user_id: user_id.to_owned() }
}

fn email(email: &str) -> CreateRequest {
    CreateRequest { email: Some(email.to_owned()), ..CreateRequest::default() }
}

/// Invalid users, and other endpoints of Stytch.
pub(crate) async fn credentials(walk: &Walk) {
    let stranger = client(&walk.project_id, "secret-live-wrong");
    refused(stranger.users.search(SearchRequest::default()).await, 401, "unauthorized_credentials");
    let apps = ConnectedAppsRequest { user_id: NOBODY.to_owned() };
    refused(walk.stytch.users.connected_apps(apps).await, 404, "route_not_found");
}

/// Users are created, read and updated.
pub(crate) async fn making(walk: &Walk) -> String {
    let users = &walk.stytch.users;
    let alice = CreateRequest {
        phone_number: Some("+12025550123".to_owned()),
        external_id: Some(NAME.to_owned()),
        name: Some(Name { first_name: Some("Alice".to_owned()), ..Name::default() }),
        attributes: Some(Attributes { ip_address: Some("203.0.113.1".to_owned()), user_agent: None }),
        trusted_metadata: Some(json!({ "plan": "free", "old": 1 })),
        untrusted_metadata: Some(json!({ "theme": "dark" })),
        ..email("alice@example.com")
    };
    let made = ok(users.create(alice.clone()).await);
    assert!(!made.email_id.is_empty() && !made.phone_id.is_empty(), "{made:?}");
    has(
        &made,
        &json!({ "/status": "active", "/user/emails/0/email": "alice@example.com", "/user/totps": [] }),
    );
    let pending = CreateRequest { create_user_as_pending: Some(true), ..email("pending@example.com") };
    has(&ok(users.create(pending).await), &json!({ "/status": "pending", "/phone_id": "" }));
    refused(users.create(email("alice@example.com")).await, 400, "duplicate_email");
    refused(users.create(email("no address")).await, 400, "invalid_email");
    let again = CreateRequest { external_id: Some(NAME.to_owned()), ..CreateRequest::default() };
    refused(users.create(again).await, 400, "duplicate_user_external_id");

    let seen = |mut user: Value| {
        user["request_id"].take();
        user
    };
    let by_id = serde_json::to_value(ok(users.get(get(&made.user_id)).await)).unwrap();
    let by_name = serde_json::to_value(ok(users.get(get(NAME)).await)).unwrap();
    assert_eq!(seen(by_id), seen(by_name));
    refused(users.get(get(NOBODY)).await, 404, "user_not_found");
    refused(users.get(get("no user!")).await, 400, "invalid_user_id");

    let change = UpdateRequest {
        user_id: NAME.to_owned(),
        name: Some(Name { first_name: Some("Alicia".to_owned()), ..Name::default() }),
        trusted_metadata: Some(json!({ "plan": "paid", "old": null, "new": [1, { "a": "b" }] })),
        ..UpdateRequest::default()
    };
    let changed = ok(users.update(change).await);
    has(
        &changed,
        &json!({
            "/user/trusted_metadata": { "plan": "paid", "new": [1, { "a": "b" }] },
            "/user/untrusted_metadata": { "theme": "dark" },
            "/user/name/first_name": "Alicia",
            "/user/external_id": NAME,
            "/crypto_wallets": [],
        }),
    );
    assert_eq!((changed.emails.len(), changed.phone_numbers.len()), (1, 1));
    let nobody = UpdateRequest { user_id: NOBODY.to_owned(), ..UpdateRequest::default() };
    refused(users.update(nobody).await, 404, "user_not_found");
    made.user_id
}

/// Searches by one filter.
pub(crate) fn query(name: &str, value: &Value) -> SearchRequest {
    let operands = vec![json!({ "filter_name": name, "filter_value": value })];
    let query = SearchUsersQuery { operator: SearchUsersQueryOperator::AND, operands };
    SearchRequest { query: Some(query), ..SearchRequest::default() }
}

async fn found(walk: &Walk, name: &str, value: Value) -> Vec<String> {
    let found = ok(walk.stytch.users.search(query(name, &value)).await);
    found.results.into_iter().map(|user| user.user_id).collect()
}

/// Filters, and pages.
pub(crate) async fn searching(walk: &Walk, alice: &str) {
    let users = &walk.stytch.users;
    for n in 1..=5 {
        ok(users.create(email(&format!("page{n}@example.com"))).await);
    }
    for (name, value) in [
        ("user_id", json!([alice, NOBODY])),
        ("email_address", json!(["alice@example.com"])),
        ("email_address_fuzzy", json!("alice@")),
        ("phone_number", json!(["+12025550123"])),
    ] {
        assert_eq!(found(walk, name, value).await, [alice], "{name}");
    }
    assert_eq!(found(walk, "status", json!("pending")).await.len(), 1);
    assert_eq!(found(walk, "totp_verified", json!(true)).await.len(), 0);
    // The SDK's default, which filters nothing without operands.
    let all = SearchRequest { query: Some(SearchUsersQuery::default()), ..SearchRequest::default() };
    assert_eq!(ok(users.search(all).await).results.len(), 7);
    let early = "2020-01-01T00:00:00Z";
    let late = "2120-01-01T00:00:00Z";
    assert_eq!(found(walk, "created_at_greater_than", json!(early)).await.len(), 7);
    assert_eq!(found(walk, "created_at_less_than", json!(early)).await.len(), 0);
    let between = json!({ "greater_than": early, "less_than": late });
    assert_eq!(found(walk, "created_at_between", between).await.len(), 7);

    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = SearchRequest { cursor, limit: Some(2), ..query("email_address_fuzzy", &json!("page")) };
        let page = ok(users.search(page).await);
        assert_eq!(page.results_metadata.total, 5);
        seen.extend(page.results.into_iter().map(|user| user.user_id));
        cursor = page.results_metadata.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    let unknown = users.search(query("shoe_size", &json!(5))).await;
    refused(unknown, 400, "user_search_filter_name_not_recognized");
    let many = SearchRequest { limit: Some(1001), ..SearchRequest::default() };
    refused(users.search(many).await, 400, "user_search_invalid_limit");
    let nowhere = SearchRequest { cursor: Some("nowhere".to_owned()), ..SearchRequest::default() };
    refused(users.search(nowhere).await, 400, "user_search_invalid_cursor");
}

/// Deletes external id, enrollment and user.
pub(crate) async fn addresses(walk: &Walk) {
    let users = &walk.stytch.users;
    let name = "rust.mail".to_owned();
    let made = CreateRequest { external_id: Some(name.clone()), ..email("old.rs@example.com") };
    let made = ok(users.create(made).await);
    let exchange = |user_id: &str, address: &str| ExchangePrimaryFactorRequest {
        user_id: user_id.to_owned(),
        email_address: Some(address.to_owned()),
        phone_number: None,
    };
    let exchanged = ok(users.exchange_primary_factor(exchange(&name, "new.rs@example.com")).await);
    has(&exchanged, &json!({ "/user/emails/0/email": "new.rs@example.com" }));
    let delete = |email_id: &str| DeleteEmailRequest { email_id: email_id.to_owned() };
    refused(users.delete_email(delete(&made.email_id)).await, 404, "email_not_found");
    let without = ok(users.delete_email(delete(&exchanged.user.emails[0].email_id)).await);
    has(&without, &json!({ "/user_id": made.user_id, "/user/emails": [] }));
    let two = CreateRequest { phone_number: Some("+12025550179".to_owned()), ..email("two.rs@example.com") };
    let two = ok(users.create(two).await);
    let both = users.exchange_primary_factor(exchange(&two.user_id, "x.rs@example.com")).await;
    refused(both, 400, "invalid_exchange_primary_factor_user");
    let number = DeletePhoneNumberRequest { phone_id: two.phone_id.clone() };
    has(&ok(users.delete_phone_number(number).await), &json!({ "/user/phone_numbers": [] }));
    refused(users.delete_email(delete(&two.email_id)).await, 400, "cannot_delete_last_primary_factor");
}

pub(crate) async fn taking_away(walk: &Walk) {
    let users = &walk.stytch.users;
    let name = "rust.gone".to_owned();
    let gone = CreateRequest { external_id: Some(name.clone()), ..email("gone@example.com") };
    let user_id = ok(users.create(gone).await).user_id;
    let new = totps::CreateRequest { user_id: user_id.clone(), expiration_minutes: None };
    let made = ok(walk.stytch.totps.create(new).await);
    let proof = totps::AuthenticateRequest {
        user_id: user_id.clone(),
        totp_code: walk.code(&phone(&made), 0),
        session_duration_minutes: Some(60),
        ..totps::AuthenticateRequest::default()
    };
    let opened = ok(walk.stytch.totps.authenticate(proof).await);
    let unnamed = ok(users.delete_external_id(DeleteExternalIdRequest { user_id: name.clone() }).await);
    has(&unnamed, &json!({ "/user_id": user_id, "/user/external_id": null }));
    refused(users.get(get(&name)).await, 404, "user_not_found");
    let totp = || DeleteTOTPRequest { totp_id: made.totp_id.clone() };
    has(&ok(users.delete_totp(totp()).await), &json!({ "/user_id": user_id, "/user/totps": [] }));
    refused(users.delete_totp(totp()).await, 404, "totp_not_found");
    let none = DeleteTOTPRequest { totp_id: "?".to_owned() };
    refused(users.delete_totp(none).await, 400, "invalid_totp_id");
    let shown = || sessions::AuthenticateRequest {
        session_token: Some(opened.session_token.clone()),
        ..sessions::AuthenticateRequest::default()
    };
    ok(walk.stytch.sessions.authenticate(shown()).await);
    let delete = || DeleteRequest { user_id: user_id.clone() };
    assert_eq!(ok(users.delete(delete()).await).user_id, user_id);
    refused(users.get(get(&user_id)).await, 404, "user_not_found");
    refused(users.delete(delete()).await, 404, "user_not_found");
    refused(walk.stytch.sessions.authenticate(shown()).await, 404, "session_not_found");
}
