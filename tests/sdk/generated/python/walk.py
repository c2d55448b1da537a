"""Walks through the API with the client that openapi-python-client generated from /openapi.json."""

import os
import subprocess
import sys

sys.path.insert(0, os.environ["GENERATED"])

from totpd_client import AuthenticatedClient, Client
from totpd_client.api.health import healthz, readyz
from totpd_client.api.sessions import sessions_authenticate, sessions_jwks, sessions_revoke
from totpd_client.api.totps import totps_authenticate, totps_create, totps_recover
from totpd_client.api.users import users_create, users_delete, users_get, users_search, users_update
from totpd_client.models import (
    AuthenticateSession,
    AuthenticateTotp,
    CreateTotp,
    CreateUser,
    ErrorAnswer,
    FilterName,
    NameFields,
    Operand,
    Operator,
    Query,
    RecoverTotp,
    RevokeSession,
    SearchUsers,
    UpdateUser,
    UserStatus,
)
from totpd_client.types import Unset

URL, PROJECT, SECRET = (os.environ[name] for name in ("SDK_URL", "SDK_PROJECT_ID", "SDK_SECRET"))
CA = os.environ.get("SSL_CERT_FILE")


def code(secret, when):
    """Returns the code that a phone shows at this time."""
    return subprocess.check_output(["oathtool", "--totp", "-b", "-N", when, secret], text=True).strip()


import base64

basic = base64.b64encode(f"{PROJECT}:{SECRET}".encode()).decode()
client = AuthenticatedClient(base_url=URL, token=basic, prefix="Basic")
stranger = Client(base_url=URL)

assert healthz.sync(client=stranger).status == "ok"
assert readyz.sync(client=stranger).status == "ok"
assert sessions_jwks.sync(PROJECT, client=stranger).keys

new = CreateUser(email="alice@example.com", external_id="alice", name=NameFields(first_name="Alice"))
user = users_create.sync(client=client, body=new)
assert user.status is UserStatus.ACTIVE and user.user.created_at.year > 2020, user
totp = totps_create.sync(client=client, body=CreateTotp(user_id="alice", expiration_minutes=60))
assert totp.qr_code.startswith("data:image/png;base64,") and len(totp.recovery_codes) == 10

first = code(totp.secret, "now -30 seconds")
typed = AuthenticateTotp(user_id=user.user_id, totp_code=first, session_duration_minutes=60)
done = totps_authenticate.sync_detailed(client=client, body=typed)
assert done.status_code == 200 and '"minute";r=' in done.headers["RateLimit"], done
session = done.parsed.session
assert session.authentication_factors[0].type_ == "totp", session
again = totps_authenticate.sync(client=client, body=typed)
assert isinstance(again, ErrorAnswer) and again.error_type == "totp_code_already_authenticated", again
recovery = RecoverTotp(user_id="alice", recovery_code=totp.recovery_codes[0], session_token=done.parsed.session_token)
assert len(totps_recover.sync(client=client, body=recovery).session.authentication_factors) == 2

checked = sessions_authenticate.sync(client=client, body=AuthenticateSession(session_jwt=done.parsed.session_jwt))
assert checked.user.external_id == "alice", checked
assert sessions_revoke.sync(client=client, body=RevokeSession(session_id=session.session_id)).status_code == 200

changed = users_update.sync("alice", client=client, body=UpdateUser(roles=["x"]))
assert changed.user.roles == ["x"] and changed.user.totps[0].verified, changed
operand = Operand(filter_name=FilterName.EMAIL_ADDRESS, filter_value=["alice@example.com"])
found = users_search.sync(client=client, body=SearchUsers(query=Query(operator=Operator.AND, operands=[operand])))
assert [one.user_id for one in found.results] == [user.user_id] and found.results_metadata.next_cursor is None, found
missing = users_get.sync("nobody", client=client)
assert isinstance(missing, ErrorAnswer) and missing.error_type == "user_not_found", missing
assert not isinstance(users_get.sync("alice", client=client).name, Unset)
assert users_delete.sync("alice", client=client).user_id == user.user_id
print("the generated client works")
