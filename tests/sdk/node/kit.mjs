// What the programs need beside the SDK: the endpoint, a phone and a camera that are not ours, and assertions.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import stytch from "stytch";

const { SDK_URL, SDK_PROJECT_ID, SDK_SECRET, SDK_CLOCK, SDK_FOLDER } = process.env;

export const projectId = SDK_PROJECT_ID;
/** The id of no user. */
export const nobody = "user-" + "a".repeat(26);

/** A client of the SDK. Only the base URL differs from Stytch's. */
export function client(secret = SDK_SECRET) {
  const place = SDK_URL.startsWith("https://") ? { custom_base_url: SDK_URL } : { env: SDK_URL };
  return new stytch.Client({ project_id: SDK_PROJECT_ID, secret, ...place });
}

/** The daemon's time. */
export const now = () => Math.floor(Date.now() / 1000) + Number(SDK_CLOCK);

/** The code that a phone shows `steps` time steps from now. */
export function code(secret, steps = 0) {
  const at = `@${now() + 30 * steps}`;
  return execFileSync("oathtool", ["--totp", "-b", "-N", at, secret], { encoding: "utf8" }).trim();
}

/** A code that is wrong for every time step near now. */
export function wrongCode(secret) {
  const near = [-2, -1, 0, 1, 2].map((steps) => code(secret, steps));
  return ["000000", "000001", "000002", "000003", "000004", "000005"].find((wrong) => !near.includes(wrong));
}

/** Reads a QR code in a data URI. */
export function camera(dataUri) {
  const [head, data] = dataUri.split(",");
  assert.equal(head, "data:image/png;base64");
  const picture = `${SDK_FOLDER}/qr.png`;
  writeFileSync(picture, Buffer.from(data.trim(), "base64"));
  return new URL(execFileSync("zbarimg", ["--nodbus", "--raw", "-q", picture], { encoding: "utf8" }).trim());
}

/** Stores a value for the second program. */
export const keep = (kept) => writeFileSync(`${SDK_FOLDER}/kept.json`, JSON.stringify(kept));
export const kept = () => JSON.parse(readFileSync(`${SDK_FOLDER}/kept.json`, "utf8"));

/** Asserts that a call is refused with this error, as the SDK's error object with all its fields. */
export async function refused(call, status, type) {
  const error = await call.then(
    (answer) => assert.fail(`expected ${type}, got ${JSON.stringify(answer)}`),
    (error) => error,
  );
  assert.ok(error instanceof stytch.StytchError, `${type}: ${error.stack}`);
  assert.deepEqual([error.status_code, error.error_type], [status, type], error.message);
  for (const field of ["request_id", "error_message", "error_url"]) {
    assert.ok(typeof error[field] === "string" && error[field] !== "", `${field}: ${error.message}`);
  }
  return error;
}

/** Asserts that a call succeeds, and that the response has the common fields. */
export async function ok(call) {
  const answer = await call;
  assert.equal(answer.status_code, 200);
  assert.match(answer.request_id, /^request-id-/);
  return answer;
}
