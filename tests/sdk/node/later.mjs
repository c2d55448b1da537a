// Runs five minutes after walk.mjs, with recovery codes that are stored as hashes.

import assert from "node:assert/strict";
import { client, code, kept, now, ok, refused } from "./kit.mjs";

const { users, totps, sessions } = client();
const { long, short, user_id, secret } = kept();

// An expired session is refused by its token and by its JWT.
await refused(sessions.authenticate({ session_token: short.token }), 404, "session_not_found");
await refused(sessions.authenticate({ session_jwt: short.jwt }), 404, "session_not_found");
// Only the server accepts an expired JWT, as long as its session is valid.
const late = { session_jwt: long.jwt, current_date: new Date(now() * 1000) };
await assert.rejects(sessions.authenticateJwtLocal(late), { code: "jwt_invalid" });
const renewed = await ok(sessions.authenticateJwt(late));
assert.equal(renewed.session_token, long.token);
assert.notEqual(renewed.session_jwt, long.jwt);
// With the time of now: a second may have passed, and a JWT is not valid before it was issued.
const fresh = { session_jwt: renewed.session_jwt, current_date: new Date(now() * 1000) };
await sessions.authenticateJwtLocal(fresh);
// An enrollment that has expired without a confirmation.
await refused(totps.authenticate({ user_id, totp_code: code(secret) }), 401, "expired_totp");
assert.deepEqual((await ok(users.get({ user_id }))).totps, []);
// A new enrollment has recovery codes that can be used, and not be read again.
const made = await ok(totps.create({ user_id }));
await ok(totps.authenticate({ user_id, totp_code: code(made.secret) }));
await refused(totps.recoveryCodes({ user_id }), 404, "recovery_codes_not_found");
await ok(totps.recover({ user_id, recovery_code: made.recovery_codes[0] }));
console.log("and later, too");
