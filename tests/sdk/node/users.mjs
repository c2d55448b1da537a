// Users: create, search, update, delete.

import assert from "node:assert/strict";
import { client, code, nobody, now, ok, refused } from "./kit.mjs";

const { users, totps, sessions } = client();

export async function credentials() {
  await refused(client("secret-live-wrong").users.search({}), 401, "unauthorized_credentials");
  // Other endpoints of Stytch are refused in the form of every error.
  await refused(users.connectedApps({ user_id: nobody }), 404, "route_not_found");
}

export async function makingUsers() {
  const made = await ok(
    users.create({
      email: "alice@example.com",
      phone_number: "+12025550123",
      external_id: "node.alice_1-x",
      name: { first_name: "Alice", last_name: "Liddell" },
      trusted_metadata: { plan: "free", old: 1 },
      untrusted_metadata: { theme: "dark" },
      attributes: { ip_address: "203.0.113.1" },
    }),
  );
  assert.ok(made.email_id && made.phone_id);
  assert.equal(made.status, "active");
  assert.equal(made.user.emails[0].email, "alice@example.com");
  assert.equal(made.user.phone_numbers[0].phone_number, "+12025550123");
  for (const field of ["totps", "webauthn_registrations", "providers", "crypto_wallets", "biometric_registrations"]) {
    assert.deepEqual(made.user[field], [], field);
  }
  const pending = await ok(users.create({ email: "pending@example.com", create_user_as_pending: true }));
  assert.deepEqual([pending.status, pending.phone_id], ["pending", ""]);
  await refused(users.create({ email: "alice@example.com" }), 400, "duplicate_email");
  await refused(users.create({ email: "no address" }), 400, "invalid_email");
  await refused(users.create({ external_id: "node.alice_1-x" }), 400, "duplicate_user_external_id");

  const { request_id: _1, ...byId } = await ok(users.get({ user_id: made.user_id }));
  const { request_id: _2, ...byName } = await ok(users.get({ user_id: "node.alice_1-x" }));
  assert.deepEqual(byId, byName);
  assert.ok(Math.abs(Date.parse(byId.created_at) / 1000 - now()) < 60);
  const unknown = await refused(users.get({ user_id: nobody }), 404, "user_not_found");
  assert.equal(unknown.error_message, "User could not be found.");
  await refused(users.get({ user_id: "no user!" }), 400, "invalid_user_id");

  const change = { name: { first_name: "Alicia" }, trusted_metadata: { plan: "paid", old: null, new: [1, { a: "b" }] } };
  const changed = await ok(users.update({ user_id: "node.alice_1-x", ...change, untrusted_metadata: {} }));
  assert.deepEqual(changed.user.trusted_metadata, { plan: "paid", new: [1, { a: "b" }] });
  assert.deepEqual(changed.user.untrusted_metadata, { theme: "dark" });
  assert.equal(changed.user.name.first_name, "Alicia");
  assert.deepEqual([changed.emails.length, changed.phone_numbers.length, changed.crypto_wallets], [1, 1, []]);
  await refused(users.update({ user_id: nobody, name: {} }), 404, "user_not_found");
  return made.user_id;
}

export async function searching(alice) {
  for (const n of [1, 2, 3, 4, 5]) await ok(users.create({ email: `page${n}@example.com` }));
  const find = (filter_name, filter_value) => ({ operator: "AND", operands: [{ filter_name, filter_value }] });
  const found = async (name, value) =>
    (await ok(users.search({ query: find(name, value) }))).results.map((user) => user.user_id);
  const hour = (hours) => new Date((now() + 3600 * hours) * 1000).toISOString();
  for (const [name, value] of [
    ["user_id", [alice, nobody]],
    ["email_address", ["alice@example.com"]],
    ["email_address_fuzzy", "alice@"],
    ["phone_number", ["+12025550123"]],
  ]) {
    assert.deepEqual(await found(name, value), [alice], name);
  }
  assert.equal((await found("status", "pending")).length, 1);
  assert.deepEqual(await found("totp_verified", true), []);
  assert.equal((await found("created_at_greater_than", hour(-1))).length, 7);
  assert.equal((await found("created_at_less_than", hour(-1))).length, 0);
  assert.equal((await found("created_at_between", { greater_than: hour(-1), less_than: hour(1) })).length, 7);

  const query = find("email_address_fuzzy", "page");
  const seen = [];
  const first = await ok(users.search({ limit: 2, query }));
  assert.equal(first.results_metadata.total, 5);
  const second = await ok(users.search({ limit: 2, query, cursor: first.results_metadata.next_cursor }));
  const last = await ok(users.search({ limit: 2, query, cursor: second.results_metadata.next_cursor }));
  assert.equal(last.results_metadata.next_cursor, null);
  for (const page of [first, second, last]) seen.push(...page.results.map((user) => user.user_id));
  assert.equal(new Set(seen).size, 5);
  const all = [];
  for await (const page of users.searchAll({ limit: 2, query })) all.push(...page.map((user) => user.user_id));
  assert.deepEqual(all, seen);
  await refused(users.search({ query: find("shoe_size", 5) }), 400, "user_search_filter_name_not_recognized");
  await refused(users.search({ limit: 1001 }), 400, "user_search_invalid_limit");
  await refused(users.search({ cursor: "nowhere" }), 400, "user_search_invalid_cursor");
}

export async function addresses() {
  const made = await ok(users.create({ email: "old@example.com", external_id: "node.mail" }));
  const exchanged = await ok(users.exchangePrimaryFactor({ user_id: "node.mail", email_address: "new@example.com" }));
  assert.equal(exchanged.user.emails[0].email, "new@example.com");
  await refused(users.deleteEmail({ email_id: made.email_id }), 404, "email_not_found");
  const without = await ok(users.deleteEmail({ email_id: exchanged.user.emails[0].email_id }));
  assert.deepEqual([without.user_id, without.user.emails], [made.user_id, []]);
  const two = await ok(users.create({ email: "two@example.com", phone_number: "+12025550177" }));
  await refused(
    users.exchangePrimaryFactor({ user_id: two.user_id, email_address: "x@example.com" }),
    400,
    "invalid_exchange_primary_factor_user",
  );
  const number = await ok(users.deletePhoneNumber({ phone_id: two.phone_id }));
  assert.deepEqual(number.user.phone_numbers, []);
  await refused(users.deleteEmail({ email_id: two.email_id }), 400, "cannot_delete_last_primary_factor");
}

export async function takingAway() {
  const { user_id } = await ok(users.create({ email: "gone@example.com", external_id: "node.gone" }));
  const made = await ok(totps.create({ user_id }));
  const proof = { user_id, totp_code: code(made.secret), session_duration_minutes: 60 };
  const opened = await ok(totps.authenticate(proof));
  const unnamed = await ok(users.deleteExternalId({ user_id: "node.gone" }));
  assert.deepEqual([unnamed.user_id, unnamed.user.external_id], [user_id, null]);
  await refused(users.get({ user_id: "node.gone" }), 404, "user_not_found");
  const without = await ok(users.deleteTOTP({ totp_id: made.totp_id }));
  assert.deepEqual([without.user_id, without.user.totps], [user_id, []]);
  await refused(users.deleteTOTP({ totp_id: made.totp_id }), 404, "totp_not_found");
  await refused(users.deleteTOTP({ totp_id: "?" }), 400, "invalid_totp_id");
  await ok(sessions.authenticate({ session_token: opened.session_token }));
  assert.equal((await ok(users.delete({ user_id }))).user_id, user_id);
  await refused(users.get({ user_id }), 404, "user_not_found");
  await refused(users.delete({ user_id }), 404, "user_not_found");
  await refused(sessions.authenticate({ session_token: opened.session_token }), 404, "session_not_found");
}
