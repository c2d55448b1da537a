"""How one client of the API slows another: users.get of one over one connection, alone and while another floods."""

import json
import urllib.request

from ..api_site import ApiSite
from ..scratch import run
from ..site import basic

CONNECTIONS = 250


def _session(api):
    """The token of a new session."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{api.port}/v1/totps/authenticate", api.bodies(1, {"session_duration_minutes": 600})[0].encode(),
        {"Authorization": f"Basic {basic(api.credentials)}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["session_token"]


def neighbour(bench):
    api = ApiSite(bench, "neighbour", bench.build)
    asker = api.site.client("neighbour", "--scope", "verify")
    user = api.users[0][0]
    floods = {
        "sessions.authenticate (a signature each)": ("/v1/sessions/authenticate", {"session_token": _session(api)}),
        "totps.authenticate with wrong codes": ("/v1/totps/authenticate", {"user_id": api.users[1][0], "totp_code": "000000"}),
        "users.search of one user": ("/v1/users/search", {"limit": 1}),
    }
    rows = []
    for name, (path, body) in floods.items():
        words = ["neighbour", api.port, api.credentials, asker, CONNECTIONS, path, json.dumps(body), user]
        alone_p50, alone_p99, p50, p99 = run(api.tool, *words).split()
        rows.append([name, alone_p50, alone_p99, p50, p99])
    head = [f"{CONNECTIONS} connections of another client ask for", "alone: p50 µs", "p99 µs", "beside it: p50 µs", "p99 µs"]
    return {"title": "How one client slows another", "tables": [[head, *rows]]}
