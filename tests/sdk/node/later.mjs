// Five minutes after walk.mjs, and recovery codes are kept as hashes now.

import assert from "node:assert/strict";
import { client, code, kept, now, ok, refused } from "./kit.mjs";

const { users, totps, sessions } = client();
const { long, short, user_id, secret } = kept();

// A session that is over is over however it is shown.
await refused(sessions.authenticate({ session_token: short.token }), 404, "session_not_found");
await refused(sessions.authenticate({ session_jwt: short.jwt }), 404, "session_not_found");
// A JWT that is over is good for the server as long as its session is, and for nobody else.
const late = { session_jwt: long.jwt, current_date: new Date(now() * 1000) };
await assert.rejects(sessions.authenticateJwtLocal(late), { code: "jwt_invalid" });
const renewed = await ok(sessions.authenticateJwt(late));
assert.equal(renewed.session_token, long.token);
assert.notEqual(renewed.session_jwt, long.jwt);
// By the clock as it is now: a second may have passed, and the new one is not good before it was made.
const fresh = { session_jwt: renewed.session_jwt, current_date: new Date(now() * 1000) };
await sessions.authenticateJwtLocal(fresh);
// An enrollment that was not confirmed in time.
await refused(totps.authenticate({ user_id, totp_code: code(secret) }), 401, "expired_totp");
assert.deepEqual((await ok(users.get({ user_id }))).totps, []);
// A new one has codes that can be used, and not be shown again.
const made = await ok(totps.create({ user_id }));
await ok(totps.authenticate({ user_id, totp_code: code(made.secret) }));
await refused(totps.recoveryCodes({ user_id }), 404, "recovery_codes_not_found");
await ok(totps.recover({ user_id, recovery_code: made.recovery_codes[0] }));
console.log("and later, too");
