// Calls every method of the API by the unmodified Node SDK. The site's clock is early in a time step.

import assert from "node:assert/strict";
import { camera, client, code, keep, nobody, ok, projectId, refused, wrongCode } from "./kit.mjs";
import { credentials, makingUsers, searching, addresses, takingAway } from "./users.mjs";

const { users, totps, sessions } = client();

await credentials();
const alice = await makingUsers();
await searching(alice);
const secret = await enrolling();
const { session_token: token, session_jwt: jwt, codes } = await proving();
await recovering();
await lookingAtSessions();
await checkingTokensHere();
await endingSessions();
await locking();
await keepForLater();
await takingAway();
await addresses();
console.log("every method went through");

async function enrolling() {
  await refused(totps.create({ user_id: nobody }), 404, "user_not_found");
  await refused(totps.create({ user_id: alice, expiration_minutes: 4 }), 400, "invalid_expiration");
  await refused(totps.authenticate({ user_id: alice, totp_code: "123456" }), 404, "totps_not_found_for_user");
  await ok(totps.create({ user_id: alice }));
  const made = await ok(totps.create({ user_id: "node.alice_1-x", expiration_minutes: 30 }));
  assert.equal(made.user_id, alice);
  assert.deepEqual(made.user.totps, [{ totp_id: made.totp_id, verified: false }]);
  const seen = camera(made.qr_code);
  assert.deepEqual([seen.protocol, seen.host], ["otpauth:", "totp"]);
  assert.equal(seen.searchParams.get("secret"), made.secret);
  assert.equal(made.recovery_codes.length, 10);

  // The code of the previous time step, without a session.
  const proof = { user_id: "node.alice_1-x", totp_code: code(made.secret, -1) };
  const proven = await ok(totps.authenticate(proof));
  assert.deepEqual([proven.session, proven.session_token, proven.session_jwt], [null, "", ""]);
  assert.deepEqual([proven.user_id, proven.totp_id], [alice, made.totp_id]);
  assert.deepEqual(proven.user.totps, [{ totp_id: made.totp_id, verified: true }]);
  await refused(totps.authenticate(proof), 401, "totp_code_already_authenticated");
  await refused(totps.create({ user_id: alice }), 400, "active_totp_exists");
  const found = await ok(
    users.search({ query: { operator: "AND", operands: [{ filter_name: "totp_id", filter_value: [made.totp_id] }] } }),
  );
  assert.equal(found.results[0].user_id, alice);
  return made.secret;
}

async function proving() {
  const user_id = alice;
  await refused(totps.authenticate({ user_id, totp_code: wrongCode(secret) }), 401, "unable_to_authenticate_totp");
  await refused(totps.authenticate({ user_id, totp_code: "12345" }), 400, "invalid_totp_code");
  const codes = (await ok(totps.recoveryCodes({ user_id }))).totps[0].recovery_codes;
  await refused(totps.authenticate({ user_id, totp_code: codes[0] }), 400, "recovery_code_used_as_totp_code");
  const totp_code = code(secret);
  const session_duration_minutes = 60;
  const short = { user_id, totp_code, session_duration_minutes: 4 };
  await refused(totps.authenticate(short), 400, "invalid_session_duration_minutes");
  const both = { user_id, totp_code, session_token: "a", session_jwt: "b" };
  await refused(totps.authenticate(both), 400, "too_many_session_arguments");

  const claims = { team: "blue", gone: 1, iss: "evil" };
  const opened = await ok(
    totps.authenticate({ user_id, totp_code, session_duration_minutes, session_custom_claims: claims }),
  );
  const session = opened.session;
  assert.equal(session.user_id, alice);
  assert.deepEqual(session.custom_claims, { team: "blue", gone: 1 });
  assert.deepEqual(session.roles, []);
  assert.equal(session.authentication_factors.length, 1);
  const [factor] = session.authentication_factors;
  assert.deepEqual([factor.type, factor.delivery_method], ["totp", "authenticator_app"]);
  assert.deepEqual(factor.authenticator_app_factor, { totp_id: opened.totp_id });
  assert.equal((Date.parse(session.expires_at) - Date.parse(session.started_at)) / 60000, 60);

  // The code of the next time step, added to that session by its token.
  const added = await ok(
    totps.authenticate({
      user_id,
      totp_code: code(secret, 1),
      session_token: opened.session_token,
      session_duration_minutes: 90,
      session_custom_claims: { gone: null, more: true },
    }),
  );
  assert.equal(added.session.session_id, session.session_id);
  assert.equal(added.session_token, opened.session_token);
  assert.deepEqual(added.session.custom_claims, { team: "blue", more: true });
  assert.ok(added.session.expires_at > session.expires_at);
  return { ...added, codes };
}

async function recovering() {
  const user_id = alice;
  await refused(totps.recover({ user_id, recovery_code: "123456" }), 400, "totp_code_used_as_recovery_code");
  await refused(totps.recover({ user_id, recovery_code: "what is this" }), 400, "invalid_recovery_code");
  const plain = await ok(totps.recover({ user_id, recovery_code: codes[0] }));
  assert.deepEqual([plain.session, plain.session_token, plain.session_jwt], [null, "", ""]);
  const again = totps.recover({ user_id, recovery_code: codes[0] });
  await refused(again, 401, "unable_to_authenticate_recovery_code");
  // Added to the session by its JWT.
  const added = await ok(totps.recover({ user_id: "node.alice_1-x", recovery_code: codes[1], session_jwt: jwt }));
  const factors = added.session.authentication_factors;
  const recovery = factors.find((factor) => factor.type === "recovery_codes");
  assert.equal(recovery.delivery_method, "recovery_code");
  assert.ok(recovery.recovery_code_factor.totp_recovery_code_id);
  assert.ok(factors.some((factor) => factor.type === "totp"));
  assert.equal(added.session_token, token);
  const left = await ok(totps.recoveryCodes({ user_id: "node.alice_1-x" }));
  assert.equal(left.user_id, alice);
  assert.deepEqual(left.totps[0].recovery_codes, codes.slice(2));
  assert.equal(left.totps[0].verified, true);
}

async function lookingAtSessions() {
  const seen = await ok(sessions.get({ user_id: "node.alice_1-x" }));
  assert.equal(seen.sessions.length, 1);
  const byToken = await ok(sessions.authenticate({ session_token: token }));
  assert.equal(byToken.session_token, token);
  assert.equal(byToken.user.user_id, alice);
  assert.equal(byToken.session.session_id, seen.sessions[0].session_id);
  const longer = await ok(
    sessions.authenticate({
      session_jwt: byToken.session_jwt,
      session_duration_minutes: 527040,
      session_custom_claims: { team: null, note: "long" },
    }),
  );
  assert.equal(longer.session_token, token);
  assert.ok(longer.session.expires_at > byToken.session.expires_at);
  assert.deepEqual(longer.session.custom_claims, { more: true, note: "long" });
  await refused(sessions.authenticate({}), 400, "no_session_arguments");
  await refused(sessions.authenticate({ session_token: token, session_jwt: jwt }), 400, "too_many_session_arguments");
  const unknown = await refused(sessions.authenticate({ session_token: "a".repeat(44) }), 404, "session_not_found");
  assert.equal(unknown.error_message, "Session could not be found.");
}

async function checkingTokensHere() {
  const keys = await ok(sessions.getJWKS({ project_id: projectId }));
  const [key] = keys.keys;
  assert.deepEqual([key.kty, key.use, key.alg, key.key_ops], ["RSA", "sig", "RS256", ["verify"]]);
  const fresh = (await ok(sessions.authenticate({ session_token: token }))).session_jwt;
  const here = await sessions.authenticateJwtLocal({ session_jwt: fresh });
  assert.equal(here.user_id, alice);
  assert.deepEqual(here.custom_claims, { more: true, note: "long" });
  assert.deepEqual(here.roles, []);
  assert.equal(here.authentication_factors[0].type, "totp");
  const { session, session_jwt } = await sessions.authenticateJwt({ session_jwt: fresh });
  assert.deepEqual([session, session_jwt], [here, fresh]);
  // The JWT is too old for this caller: the server is asked, and issues another one.
  const there = await ok(sessions.authenticateJwt({ session_jwt: fresh, max_token_age_seconds: 0 }));
  assert.equal(there.session.session_id, here.session_id);
  const [head, body, signature] = fresh.split(".");
  const forged = [head, body, (signature[0] === "A" ? "B" : "A") + signature.slice(1)].join(".");
  await assert.rejects(sessions.authenticateJwtLocal({ session_jwt: forged }), { code: "jwt_invalid" });
  await refused(sessions.authenticateJwt({ session_jwt: forged }), 400, "unable_to_parse_session_jwt");
}

async function endingSessions() {
  const ways = ["session_id", "session_token", "session_jwt"];
  for (const [n, way] of ways.entries()) {
    const opened = await ok(
      totps.recover({ user_id: alice, recovery_code: codes[2 + n], session_duration_minutes: 5 }),
    );
    const shown = { ...opened, session_id: opened.session.session_id };
    await ok(sessions.revoke({ [way]: shown[way] }));
    await refused(sessions.authenticate({ session_token: shown.session_token }), 404, "session_not_found");
    await refused(sessions.authenticate({ session_jwt: shown.session_jwt }), 404, "session_not_found");
    await refused(sessions.revoke({ [way]: shown[way] }), 404, "session_not_found");
  }
  await refused(sessions.revoke({}), 400, "no_session_revoke_arguments");
  await refused(sessions.revoke({ session_id: "?" }), 400, "invalid_session_id");
  const both = { session_token: token, session_jwt: jwt };
  await refused(sessions.revoke(both), 400, "too_many_session_revoke_arguments");
  assert.equal((await ok(sessions.get({ user_id: alice }))).sessions.length, 1);
}

async function locking() {
  const { user_id } = await ok(users.create({ email: "locked@example.com" }));
  const made = await ok(totps.create({ user_id }));
  await ok(totps.authenticate({ user_id, totp_code: code(made.secret) }));
  const stolen = { user_id, totp_code: code(made.secret, 1), session_token: token };
  await refused(totps.authenticate(stolen), 400, "user_id_mismatch");
  const wrong = { user_id, totp_code: wrongCode(made.secret) };
  for (let n = 0; n < 10; n++) await refused(totps.authenticate(wrong), 401, "unable_to_authenticate_totp");
  const right = { user_id, totp_code: code(made.secret, 1) };
  await refused(totps.authenticate(right), 429, "user_lock_limit_reached");
  const seen = await ok(users.get({ user_id }));
  assert.equal(seen.is_locked, true);
  assert.ok(seen.lock_created_at < seen.lock_expires_at);
}

async function keepForLater() {
  const user_id = (await ok(users.create({ email: "later@example.com" }))).user_id;
  const made = await ok(totps.create({ user_id, expiration_minutes: 5 }));
  const proof = { user_id: alice, recovery_code: codes[5], session_duration_minutes: 5 };
  const short = await ok(totps.recover(proof));
  keep({ long: await long(), short: { token: short.session_token, jwt: short.session_jwt }, user_id, ...made });
}

async function long() {
  const opened = await ok(sessions.authenticate({ session_token: token }));
  return { token, jwt: opened.session_jwt };
}
