//! Mail addresses and phone numbers: removed, and exchanged for others.

use super::fixture::Fixture;
use serde_json::{Value, json};
use totpd_e2e::api::Reply;
use totpd_e2e::{Api, api};

#[track_caller]
fn create(app: &Api, body: &Value) -> Value {
    app.post("/v1/users", body).assert_success().json
}

#[track_caller]
fn exchange(app: &Api, user: &Value, body: &Value) -> Reply {
    app.put(&format!("/v1/users/{}/exchange_primary_factor", user.as_str().unwrap()), body)
}

fn email_path(user: &Value) -> String {
    format!("/v1/users/emails/{}", user["email_id"].as_str().unwrap())
}

fn phone_path(user: &Value) -> String {
    format!("/v1/users/phone_numbers/{}", user["phone_id"].as_str().unwrap())
}

#[test]
fn an_address_and_a_number_are_removed_by_their_ids() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let alice = create(
        &app,
        &json!({ "email": "alice@example.org", "phone_number": "+12025550123", "external_id": "alice" }),
    );
    let bob = create(&app, &json!({ "email": "bob@example.org", "external_id": "bob" }));
    let without = app.delete(&email_path(&alice)).assert_success().json;
    assert_eq!((&without["user_id"], &without["user"]["emails"]), (&alice["user_id"], &json!([])));
    assert_eq!(without["user"]["phone_numbers"][0]["phone_id"], alice["phone_id"]);
    app.delete(&email_path(&alice)).assert_error(404, "email_not_found");
    let without = app.delete(&phone_path(&alice)).assert_success().json;
    assert_eq!((&without["user"]["emails"], &without["user"]["phone_numbers"]), (&json!([]), &json!([])));
    app.delete(&phone_path(&alice)).assert_error(404, "phone_number_not_found");
    // Nobody else lost theirs, and the address is free again.
    assert_eq!(app.get("/v1/users/bob").json["emails"][0]["email_id"], bob["email_id"]);
    create(&app, &json!({ "email": "alice@example.org", "phone_number": "+12025550123" }));
    // Each is one row of the history.
    let shown = site.totpd(&["history", "alice", "--json"]).assert_success().json();
    let changes = shown["events"].as_array().unwrap().iter().filter(|event| event["event"] == "user-update");
    assert_eq!(changes.count(), 2, "{shown}");
}

#[test]
fn the_last_address_of_a_user_without_a_name_stays() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let user = create(&app, &json!({ "email": "a@example.org", "phone_number": "+12025550123" }));
    app.delete(&email_path(&user)).assert_success();
    app.delete(&phone_path(&user)).assert_error(400, "cannot_delete_last_primary_factor");
    let path = format!("/v1/users/{}", user["user_id"].as_str().unwrap());
    assert_eq!(app.get(&path).json["phone_numbers"][0]["phone_number"], "+12025550123");
}

#[test]
fn the_only_address_is_exchanged_for_one_of_either_kind() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let user = create(&app, &json!({ "email": "a@example.org" }));
    let id = &user["user_id"];
    let other = exchange(&app, id, &json!({ "email_address": "B@Example.org" })).assert_success().json;
    assert_eq!((&other["user_id"], &other["user"]["emails"][0]["email"]), (id, &json!("b@example.org")));
    assert_ne!(other["user"]["emails"][0]["email_id"], user["email_id"], "a new id");
    // The id of the old one removes nothing.
    app.delete(&email_path(&user)).assert_error(404, "email_not_found");
    let other = exchange(&app, id, &json!({ "phone_number": "+12025550123" })).assert_success().json;
    assert_eq!(
        (&other["user"]["emails"], &other["user"]["phone_numbers"][0]["phone_number"]),
        (&json!([]), &json!("+12025550123"))
    );
    // The old address is free, and a taken one is refused.
    create(&app, &json!({ "email": "b@example.org" }));
    exchange(&app, id, &json!({ "email_address": "b@example.org" })).assert_error(400, "duplicate_email");
    assert_eq!(app.get(&format!("/v1/users/{}", id.as_str().unwrap())).json["emails"], json!([]));
}

#[test]
fn invalid_changes_of_addresses_change_nothing() {
    let fixture = Fixture::new("");
    let admin = &fixture.admin;
    let both = create(admin, &json!({ "email": "c@example.org", "phone_number": "+12025550125" }));
    let one = create(admin, &json!({ "email": "d@example.org" }));
    fixture.assert_unchanged("addresses", |_, _| {
        let fields = "invalid_exchange_primary_factor_fields";
        for (body, error) in [
            (json!({}), fields),
            (json!({ "email_address": null }), fields),
            (json!({ "email_address": "", "phone_number": "" }), fields),
            (json!({ "email_address": "e@example.org", "phone_number": "+12025550126" }), fields),
            (json!({ "email_address": "no address" }), "invalid_email"),
            (json!({ "phone_number": "12025550126" }), "invalid_phone_number"),
            (json!({ "email_address": 5 }), "bad_request"),
            (json!([]), "bad_request"),
        ] {
            exchange(admin, &one["user_id"], &body).assert_error(400, error);
        }
        let new = json!({ "email_address": "e@example.org" });
        exchange(admin, &both["user_id"], &new).assert_error(400, "invalid_exchange_primary_factor_user");
        // Alice has neither.
        exchange(admin, &json!(fixture.alice.id), &new)
            .assert_error(400, "invalid_exchange_primary_factor_user");
        exchange(admin, &json!("nobody"), &new).assert_error(404, "user_not_found");
        exchange(admin, &json!("a%20b"), &new).assert_error(400, "invalid_user_id");
        // Ids of another kind, unknown ones, and SQL.
        let email = both["email_id"].as_str().unwrap();
        let other = format!("{}{}", &email[..email.len() - 1], if email.ends_with('a') { "b" } else { "a" });
        admin.delete(&format!("/v1/users/emails/{other}")).assert_error(404, "email_not_found");
        let phone = both["phone_id"].as_str().unwrap();
        for id in
            ["x", "%00", "%25", "null", phone, &fixture.alice.id, &email.to_uppercase(), "'%20OR%201=1%20--"]
        {
            admin.delete(&format!("/v1/users/emails/{id}")).assert_error(400, "invalid_email_id");
        }
        for id in ["x", "null", email, &fixture.alice.id, "'%20OR%201=1%20--"] {
            admin.delete(&format!("/v1/users/phone_numbers/{id}")).assert_error(400, "invalid_id");
        }
        for app in [&fixture.enroll, &fixture.verify] {
            app.delete(&email_path(&both)).assert_error(403, "unauthorized_action");
            app.delete(&phone_path(&both)).assert_error(403, "unauthorized_action");
            exchange(app, &one["user_id"], &new).assert_error(403, "unauthorized_action");
        }
    });
    fixture.assert_no_secret_logged(&[]);
}

#[test]
fn users_named_like_the_new_segments_can_be_reached() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    for (n, name) in ["emails", "phone_numbers", "totps", "search"].into_iter().enumerate() {
        let id =
            create(&app, &json!({ "external_id": name, "email": format!("{n}@example.org") }))["user_id"]
                .clone();
        let new = json!({ "email_address": format!("new-{n}@example.org") });
        assert_eq!(exchange(&app, &json!(name), &new).assert_success().json["user_id"], id);
        let unnamed = app.delete(&format!("/v1/users/{name}/external_id")).assert_success().json;
        assert_eq!((&unnamed["user_id"], &unnamed["user"]["external_id"]), (&id, &Value::Null));
    }
}

#[test]
fn addresses_survive_a_restart_and_are_still_removed() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let user = create(&app, &json!({ "email": "a@example.org", "external_id": "alice" }));
    site.end(nix::sys::signal::Signal::SIGKILL);
    site.start();
    totpd_e2e::run::wait_until("the API is back", || app.connect().is_some());
    app.delete(&email_path(&user)).assert_success();
}
