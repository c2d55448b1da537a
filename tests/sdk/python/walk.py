"""Calls every method of the API by the unmodified Python SDK: `walk.py sync` blocks, `walk.py async` awaits. The
site's clock is early in a time step."""

import asyncio
import datetime
import sys

from kit import PROJECT_ID, Api, camera, code, equal, keep, now, ok, refused, wrong_code

NOBODY = "user-" + "a" * 26
NAME = "python.alice_1-x"


async def credentials(api, awaited):
    """Invalid users, and other endpoints of Stytch."""
    async with Api(awaited, "secret-live-wrong") as stranger:
        with refused(401, "unauthorized_credentials"):
            await stranger.users.search()
    with refused(404, "route_not_found"):
        await api.users.connected_apps(user_id=NOBODY)


async def making_users(users):
    """Users are created, read and updated."""
    made = await ok(
        users.create(
            email="alice@example.com",
            phone_number="+12025550123",
            external_id=NAME,
            name={"first_name": "Alice", "last_name": "Liddell"},
            trusted_metadata={"plan": "free", "old": 1},
            untrusted_metadata={"theme": "dark"},
            attributes={"ip_address": "203.0.113.1"},
        )
    )
    assert made.email_id and made.phone_id, made
    equal(made.status, "active")
    equal(made.user.emails[0].email, "alice@example.com")
    equal(made.user.totps, [])
    pending = await ok(users.create(email="pending@example.com", create_user_as_pending=True))
    equal((pending.status, pending.phone_id), ("pending", ""))
    with refused(400, "duplicate_email"):
        await users.create(email="alice@example.com")
    with refused(400, "invalid_email"):
        await users.create(email="no address")
    with refused(400, "duplicate_user_external_id"):
        await users.create(external_id=NAME)

    by_id = (await ok(users.get(user_id=made.user_id))).model_dump(exclude={"request_id"})
    by_name = (await ok(users.get(user_id=NAME))).model_dump(exclude={"request_id"})
    equal(by_id, by_name)
    assert abs(by_id["created_at"].timestamp() - now()) < 60, by_id
    with refused(404, "user_not_found"):
        await users.get(user_id=NOBODY)
    with refused(400, "invalid_user_id"):
        await users.get(user_id="no user!")

    change = {"plan": "paid", "old": None, "new": [1, {"a": "b"}]}
    changed = await ok(users.update(user_id=NAME, name={"first_name": "Alicia"}, trusted_metadata=change))
    equal(changed.user.trusted_metadata, {"plan": "paid", "new": [1, {"a": "b"}]})
    equal(changed.user.untrusted_metadata, {"theme": "dark"})
    equal(changed.user.name.first_name, "Alicia")
    equal((len(changed.emails), len(changed.phone_numbers), changed.crypto_wallets), (1, 1, []))
    with refused(404, "user_not_found"):
        await users.update(user_id=NOBODY, name={})
    return made.user_id


def query(name, value):
    """Searches by one filter."""
    return {"operator": "AND", "operands": [{"filter_name": name, "filter_value": value}]}


async def searching(users, alice):
    """Filters, pages, and all pages."""
    for n in range(1, 6):
        await ok(users.create(email=f"page{n}@example.com"))

    async def found(name, value):
        return [user.user_id for user in (await ok(users.search(query=query(name, value)))).results]

    def hour(hours):
        return datetime.datetime.fromtimestamp(now() + 3600 * hours, datetime.timezone.utc).isoformat()

    equal(await found("user_id", [alice, NOBODY]), [alice])
    equal(await found("email_address", ["alice@example.com"]), [alice])
    equal(await found("email_address_fuzzy", "alice@"), [alice])
    equal(await found("phone_number", ["+12025550123"]), [alice])
    equal(len(await found("status", "pending")), 1)
    equal(await found("totp_verified", True), [])
    equal(len(await found("created_at_greater_than", hour(-1))), 7)
    equal(len(await found("created_at_less_than", hour(-1))), 0)
    equal(len(await found("created_at_between", {"greater_than": hour(-1), "less_than": hour(1)})), 7)

    pages = await users.pages(limit=2, query=query("email_address_fuzzy", "page"))
    equal([len(page.results) for page in pages], [2, 2, 1])
    equal(len({user.user_id for page in pages for user in page.results}), 5)
    equal([page.results_metadata.total for page in pages], [5, 5, 5])
    assert pages[0].results_metadata.next_cursor and pages[2].results_metadata.next_cursor is None
    second = await ok(
        users.search(
            limit=2, query=query("email_address_fuzzy", "page"), cursor=pages[0].results_metadata.next_cursor
        )
    )
    equal(second.results, pages[1].results)
    with refused(400, "user_search_filter_name_not_recognized"):
        await users.search(query=query("shoe_size", 5))
    with refused(400, "user_search_invalid_limit"):
        await users.search(limit=1001)
    with refused(400, "user_search_invalid_cursor"):
        await users.search(cursor="nowhere")


async def enrolling(api, alice):
    """An enrollment, its QR code, and a first code of the previous time step, without a session."""
    totps = api.totps
    with refused(404, "user_not_found"):
        await totps.create(user_id=NOBODY)
    with refused(400, "invalid_expiration"):
        await totps.create(user_id=alice, expiration_minutes=4)
    with refused(404, "totps_not_found_for_user"):
        await totps.authenticate(user_id=alice, totp_code="123456")
    await ok(totps.create(user_id=alice))
    made = await ok(totps.create(user_id=NAME, expiration_minutes=30))
    equal((made.user_id, made.user.totps[0].totp_id), (alice, made.totp_id))
    equal((len(made.user.totps), made.user.totps[0].verified), (1, False))
    seen = camera(made.qr_code)
    equal((seen.scheme, seen.netloc), ("otpauth", "totp"))
    assert f"secret={made.secret}&" in f"{seen.query}&", seen
    equal(len(made.recovery_codes), 10)

    proof = {"user_id": NAME, "totp_code": code(made.secret, -1)}
    proven = await ok(totps.authenticate(**proof))
    equal((proven.session, proven.session_token, proven.session_jwt), (None, "", ""))
    equal((proven.user_id, proven.totp_id, proven.user.totps[0].verified), (alice, made.totp_id, True))
    with refused(401, "totp_code_already_authenticated"):
        await totps.authenticate(**proof)
    with refused(400, "active_totp_exists"):
        await totps.create(user_id=alice)
    found = await ok(api.users.search(query=query("totp_id", [made.totp_id])))
    equal(found.results[0].user_id, alice)
    return made


async def proving(totps, made, alice):
    """Refused codes, a code that opens a session, and a second code that is added to it."""
    secret = made.secret
    with refused(401, "unable_to_authenticate_totp"):
        await totps.authenticate(user_id=alice, totp_code=wrong_code(secret))
    with refused(400, "invalid_totp_code"):
        await totps.authenticate(user_id=alice, totp_code="12345")
    with refused(400, "recovery_code_used_as_totp_code"):
        await totps.authenticate(user_id=alice, totp_code=made.recovery_codes[0])
    right = {"user_id": alice, "totp_code": code(secret)}
    with refused(400, "invalid_session_duration_minutes"):
        await totps.authenticate(**right, session_duration_minutes=4)
    with refused(400, "too_many_session_arguments"):
        await totps.authenticate(**right, session_token="a", session_jwt="b")
    claims = {"team": "blue", "gone": 1, "iss": "evil"}
    opened = await ok(totps.authenticate(**right, session_duration_minutes=60, session_custom_claims=claims))
    session = opened.session
    equal((session.user_id, session.roles), (alice, []))
    equal(session.custom_claims, {"team": "blue", "gone": 1})
    equal(len(session.authentication_factors), 1)
    factor = session.authentication_factors[0]
    equal((factor.type.value, factor.delivery_method.value), ("totp", "authenticator_app"))
    equal(factor.authenticator_app_factor.totp_id, opened.totp_id)
    equal(session.expires_at - session.started_at, datetime.timedelta(minutes=60))
    added = await ok(
        totps.authenticate(
            user_id=alice,
            totp_code=code(secret, 1),
            session_token=opened.session_token,
            session_duration_minutes=90,
            session_custom_claims={"gone": None, "more": True},
        )
    )
    equal((added.session.session_id, added.session_token), (session.session_id, opened.session_token))
    equal(added.session.custom_claims, {"team": "blue", "more": True})
    assert added.session.expires_at > session.expires_at
    return added


async def recovering(totps, codes, alice, opened):
    """Recovery codes are shown, used once, and added to a session."""
    with refused(400, "totp_code_used_as_recovery_code"):
        await totps.recover(user_id=alice, recovery_code="123456")
    with refused(400, "invalid_recovery_code"):
        await totps.recover(user_id=alice, recovery_code="what is this")
    plain = await ok(totps.recover(user_id=alice, recovery_code=codes[0]))
    equal((plain.session, plain.session_token, plain.session_jwt), (None, "", ""))
    with refused(401, "unable_to_authenticate_recovery_code"):
        await totps.recover(user_id=alice, recovery_code=codes[0])
    added = await ok(totps.recover(user_id=NAME, recovery_code=codes[1], session_jwt=opened.session_jwt))
    factors = {factor.type.value: factor for factor in added.session.authentication_factors}
    equal(sorted(factors), ["recovery_codes", "totp"])
    equal(factors["recovery_codes"].delivery_method.value, "recovery_code")
    assert factors["recovery_codes"].recovery_code_factor.totp_recovery_code_id
    equal(added.session_token, opened.session_token)
    left = await ok(totps.recovery_codes(user_id=NAME))
    equal((left.user_id, left.totps[0].verified), (alice, True))
    equal(left.totps[0].recovery_codes, codes[2:])


async def main(awaited):
    """Calls every method; those after the enrollment are in sessions.py."""
    import sessions as rest

    async with Api(awaited) as api:
        await credentials(api, awaited)
        alice = await making_users(api.users)
        await searching(api.users, alice)
        made = await enrolling(api, alice)
        opened = await proving(api.totps, made, alice)
        await recovering(api.totps, made.recovery_codes, alice, opened)
        await rest.looking(api.sessions, NAME, alice, opened)
        await rest.checking(api.sessions, alice, opened.session_token, PROJECT_ID)
        await rest.ending(api, made.recovery_codes[2:], alice, opened)
        await rest.locking(api, opened.session_token)
        keep(**await rest.for_later(api, made.recovery_codes[5], alice, opened.session_token))
        await rest.addresses(api.users)
        await rest.taking_away(api)
    print("every method went through")


asyncio.run(main(sys.argv[1] == "async"))
