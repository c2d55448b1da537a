"""The second half of walk.py: sessions, tokens, locks and deletions."""

from kit import code, equal, ok, refused, wrong_code


async def looking(sessions, name, alice, opened):
    """Sessions are listed, authenticated and extended."""
    seen = await ok(sessions.get(user_id=name))
    equal([session.session_id for session in seen.sessions], [opened.session.session_id])
    token = opened.session_token
    by_token = await ok(sessions.authenticate(session_token=token))
    equal((by_token.session_token, by_token.user.user_id), (token, alice))
    longer = await ok(
        sessions.authenticate(
            session_jwt=by_token.session_jwt,
            session_duration_minutes=527040,
            session_custom_claims={"team": None, "note": "long"},
        )
    )
    equal(longer.session_token, token)
    assert longer.session.expires_at > by_token.session.expires_at
    equal(longer.session.custom_claims, {"more": True, "note": "long"})
    with refused(400, "no_session_arguments"):
        await sessions.authenticate()
    with refused(400, "too_many_session_arguments"):
        await sessions.authenticate(session_token=token, session_jwt=opened.session_jwt)
    with refused(404, "session_not_found"):
        await sessions.authenticate(session_token="a" * 44)


async def checking(sessions, alice, token, project_id):
    """Tokens are verified locally, with the server's keys."""
    key = (await ok(sessions.get_jwks(project_id=project_id))).keys[0]
    equal((key.kty, key.use, key.alg, key.key_ops), ("RSA", "sig", "RS256", ["verify"]))
    fresh = (await ok(sessions.authenticate(session_token=token))).session_jwt
    here = await sessions.authenticate_jwt_local(session_jwt=fresh)
    assert here is not None
    equal((here.user_id, here.roles), (alice, []))
    equal(here.custom_claims, {"more": True, "note": "long"})
    equal(here.authentication_factors[0].type.value, "totp")
    checked = await sessions.authenticate_jwt(session_jwt=fresh)
    # No request was sent.
    equal((checked.session, checked.session_jwt, checked.request_id), (here, fresh, ""))
    # The JWT is too old for this caller: the server is asked.
    there = await ok(sessions.authenticate_jwt(session_jwt=fresh, max_token_age_seconds=0))
    equal(there.session.session_id, here.session_id)
    head, body, signature = fresh.split(".")
    forged = f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    equal(await sessions.authenticate_jwt_local(session_jwt=forged), None)
    with refused(400, "unable_to_parse_session_jwt"):
        await sessions.authenticate_jwt(session_jwt=forged)


async def ending(api, codes, alice, opened):
    """Sessions end by id, by token and by JWT."""
    sessions = api.sessions
    for way, recovery_code in zip(("session_id", "session_token", "session_jwt"), codes):
        proof = {"user_id": alice, "recovery_code": recovery_code, "session_duration_minutes": 5}
        begun = await ok(api.totps.recover(**proof))
        shown = {
            "session_id": begun.session.session_id,
            "session_token": begun.session_token,
            "session_jwt": begun.session_jwt,
        }
        await ok(sessions.revoke(**{way: shown[way]}))
        with refused(404, "session_not_found"):
            await sessions.authenticate(session_token=begun.session_token)
        with refused(404, "session_not_found"):
            await sessions.authenticate(session_jwt=begun.session_jwt)
        with refused(404, "session_not_found"):
            await sessions.revoke(**{way: shown[way]})
    with refused(400, "no_session_revoke_arguments"):
        await sessions.revoke()
    with refused(400, "invalid_session_id"):
        await sessions.revoke(session_id="?")
    with refused(400, "too_many_session_revoke_arguments"):
        await sessions.revoke(session_token=opened.session_token, session_jwt=opened.session_jwt)
    equal(len((await ok(sessions.get(user_id=alice))).sessions), 1)


async def locking(api, token):
    """Another user's session is refused; ten wrong codes lock."""
    user_id = (await ok(api.users.create(email="locked@example.com"))).user_id
    secret = (await ok(api.totps.create(user_id=user_id))).secret
    await ok(api.totps.authenticate(user_id=user_id, totp_code=code(secret)))
    right = {"user_id": user_id, "totp_code": code(secret, 1)}
    with refused(400, "user_id_mismatch"):
        await api.totps.authenticate(**right, session_token=token)
    wrong = wrong_code(secret)
    for _ in range(10):
        with refused(401, "unable_to_authenticate_totp"):
            await api.totps.authenticate(user_id=user_id, totp_code=wrong)
    with refused(429, "user_lock_limit_reached"):
        await api.totps.authenticate(**right)
    seen = await ok(api.users.get(user_id=user_id))
    assert seen.is_locked and seen.lock_created_at < seen.lock_expires_at, seen


async def for_later(api, recovery_code, alice, token):
    """Prepares later.py: a long session, a short one, and an unconfirmed enrollment."""
    user_id = (await ok(api.users.create(email="later@example.com"))).user_id
    made = await ok(api.totps.create(user_id=user_id, expiration_minutes=5))
    proof = {"user_id": alice, "recovery_code": recovery_code, "session_duration_minutes": 5}
    short = await ok(api.totps.recover(**proof))
    long = await ok(api.sessions.authenticate(session_token=token))
    return {
        "user_id": user_id,
        "secret": made.secret,
        "short": [short.session_token, short.session_jwt],
        "long": [token, long.session_jwt],
    }


async def addresses(users):
    """Exchanges and deletes mail addresses and phone numbers."""
    made = await ok(users.create(email="old.py@example.com", external_id="python.mail"))
    exchanged = await ok(users.exchange_primary_factor(user_id="python.mail", email_address="new.py@example.com"))
    [email] = exchanged.user.emails
    equal(email.email, "new.py@example.com")
    with refused(404, "email_not_found"):
        await users.delete_email(email_id=made.email_id)
    without = await ok(users.delete_email(email_id=email.email_id))
    equal((without.user_id, without.user.emails), (made.user_id, []))
    two = await ok(users.create(email="two.py@example.com", phone_number="+12025550178"))
    with refused(400, "invalid_exchange_primary_factor_user"):
        await users.exchange_primary_factor(user_id=two.user_id, email_address="x.py@example.com")
    equal((await ok(users.delete_phone_number(phone_id=two.phone_id))).user.phone_numbers, [])
    with refused(400, "cannot_delete_last_primary_factor"):
        await users.delete_email(email_id=two.email_id)


async def taking_away(api):
    """Deletes external id, enrollment and user."""
    user_id = (await ok(api.users.create(email="gone@example.com", external_id="python.gone"))).user_id
    made = await ok(api.totps.create(user_id=user_id))
    proof = {"user_id": user_id, "totp_code": code(made.secret), "session_duration_minutes": 60}
    opened = await ok(api.totps.authenticate(**proof))
    unnamed = await ok(api.users.delete_external_id(user_id="python.gone"))
    equal((unnamed.user_id, unnamed.user.external_id), (user_id, None))
    with refused(404, "user_not_found"):
        await api.users.get(user_id="python.gone")
    without = await ok(api.users.delete_totp(totp_id=made.totp_id))
    equal((without.user_id, without.user.totps), (user_id, []))
    with refused(404, "totp_not_found"):
        await api.users.delete_totp(totp_id=made.totp_id)
    with refused(400, "invalid_totp_id"):
        await api.users.delete_totp(totp_id="?")
    await ok(api.sessions.authenticate(session_token=opened.session_token))
    equal((await ok(api.users.delete(user_id=user_id))).user_id, user_id)
    with refused(404, "user_not_found"):
        await api.users.get(user_id=user_id)
    with refused(404, "user_not_found"):
        await api.users.delete(user_id=user_id)
    with refused(404, "session_not_found"):
        await api.sessions.authenticate(session_token=opened.session_token)
