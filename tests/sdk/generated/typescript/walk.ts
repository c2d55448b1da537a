// Walks through the API with openapi-fetch and the types that openapi-typescript generated from /openapi.json.

import assert from "node:assert";
import { execFileSync } from "node:child_process";
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/totpd.js";

const env = (name: string): string => process.env[name] ?? assert.fail(name);
const project_id = env("SDK_PROJECT_ID");
const credentials = Buffer.from(`${project_id}:${env("SDK_SECRET")}`).toString("base64");
const api = createClient<paths>({ baseUrl: env("SDK_URL"), headers: { Authorization: `Basic ${credentials}` } });
const stranger = createClient<paths>({ baseUrl: env("SDK_URL") });
const code = (secret: string, when: string): string =>
  execFileSync("oathtool", ["--totp", "-b", "-N", when, secret]).toString().trim();

/** Returns the data of a good answer. */
function good<T>(answer: { data?: T; error?: components["schemas"]["ErrorAnswer"] }): T {
  return answer.data ?? assert.fail(JSON.stringify(answer.error));
}

assert.equal(good(await stranger.GET("/healthz")).status, "ok");
assert.equal(good(await stranger.GET("/readyz")).status, "ok");
const jwks = good(await stranger.GET("/v1/sessions/jwks/{project_id}", { params: { path: { project_id } } }));
assert.ok(jwks.keys.length > 0);

const body = { email: "alice@example.com", external_id: "alice", name: { first_name: "Alice" } };
const { user_id, status } = good(await api.POST("/v1/users", { body }));
const expected: components["schemas"]["UserStatus"] = "active";
assert.equal(status, expected);
const totp = good(await api.POST("/v1/totps", { body: { user_id: "alice", expiration_minutes: 60 } }));
assert.equal(totp.recovery_codes.length, 10);

const typed = { user_id, totp_code: code(totp.secret, "now -30 seconds"), session_duration_minutes: 60 };
const answer = await api.POST("/v1/totps/authenticate", { body: typed });
assert.match(answer.response.headers.get("RateLimit") ?? "", /"minute";r=\d+;t=\d+/);
const done = good(answer);
assert.equal(done.session?.authentication_factors[0]?.type, "totp");
const again = await api.POST("/v1/totps/authenticate", { body: typed });
assert.equal(again.error?.error_type, "totp_code_already_authenticated");
const recovery_code = totp.recovery_codes[0] ?? "";
const recovered = await api.POST("/v1/totps/recover", {
  body: { user_id: "alice", recovery_code, session_token: done.session_token },
});
assert.equal(good(recovered).session?.authentication_factors.length, 2);

const checked = good(await api.POST("/v1/sessions/authenticate", { body: { session_jwt: done.session_jwt } }));
assert.equal(checked.user.external_id, "alice");
const session_id = checked.session.session_id;
assert.equal(good(await api.POST("/v1/sessions/revoke", { body: { session_id } })).status_code, 200);

const alice = { params: { path: { user_id: "alice" } } };
assert.deepEqual(good(await api.PUT("/v1/users/{user_id}", { ...alice, body: { roles: ["x"] } })).user.roles, ["x"]);
const query = {
  operator: "AND" as const,
  operands: [{ filter_name: "email_address" as const, filter_value: ["alice@example.com"] }],
};
const found = good(await api.POST("/v1/users/search", { body: { query } }));
assert.deepEqual(found.results.map((user) => user.user_id), [user_id]);
const missing = await api.GET("/v1/users/{user_id}", { params: { path: { user_id: "nobody" } } });
assert.equal(missing.error?.error_type, "user_not_found");
assert.equal(good(await api.DELETE("/v1/users/{user_id}", alice)).user_id, user_id);
console.log("the generated client works");
