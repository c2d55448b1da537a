"""Runs five minutes after walk.py, with recovery codes that are stored as hashes."""

import asyncio
import sys

from kit import Api, code, equal, kept, ok, refused


async def main(awaited):
    """What has expired, and what has not."""
    known = kept()
    (long_token, long_jwt), (short_token, short_jwt) = known["long"], known["short"]
    user_id = known["user_id"]
    async with Api(awaited) as api:
        # An expired session is refused by its token and by its JWT.
        with refused(404, "session_not_found"):
            await api.sessions.authenticate(session_token=short_token)
        with refused(404, "session_not_found"):
            await api.sessions.authenticate(session_jwt=short_jwt)
        # The server accepts an expired JWT as long as its session is valid.
        renewed = await ok(api.sessions.authenticate_jwt(session_jwt=long_jwt, max_token_age_seconds=0))
        assert renewed.session_jwt != long_jwt
        by_token = await ok(api.sessions.authenticate(session_token=long_token))
        equal(by_token.session.session_id, renewed.session.session_id)
        # An enrollment that has expired without a confirmation.
        with refused(401, "expired_totp"):
            await api.totps.authenticate(user_id=user_id, totp_code=code(known["secret"]))
        equal((await ok(api.users.get(user_id=user_id))).totps, [])
        # A new enrollment has recovery codes that can be used, and not be read again.
        made = await ok(api.totps.create(user_id=user_id))
        await ok(api.totps.authenticate(user_id=user_id, totp_code=code(made.secret)))
        with refused(404, "recovery_codes_not_found"):
            await api.totps.recovery_codes(user_id=user_id)
        await ok(api.totps.recover(user_id=user_id, recovery_code=made.recovery_codes[0]))
    print("and later, too")


asyncio.run(main(sys.argv[1] == "async"))
