"""A site with the HTTP API, and the requests of its clients."""

import base64
import json
import socket
import subprocess
import time

from .codes import code
from .contender import LONGEST, Run
from .control import Control
from .scratch import run

USERS = 2560


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ApiSite:
    """A daemon that answers on a port of the loopback, with users whose factors are confirmed."""

    def __init__(self, bench, name, build):
        self.name, self.scratch, self.port = name, bench.scratch, free_port()
        self.tool = bench.needed_tool("bench_http")
        http = f'[http]\nlisten = "127.0.0.1:{self.port}"\nrequests_per_minute = 100000000\n'
        self.site = bench.site(f"api-{name}", build, http).start()
        self.control = self.site.control
        self.idle_kib = self.site.memory_kib()[0]
        self.credentials = self.site.client("bench", "--scope", "enroll")
        lines = run(self.tool, "enroll", self.port, self.credentials, USERS).splitlines()
        self.users = [line.split() for line in lines]
        self._next_user = 0
        self.authenticate(64, USERS)

    def bodies(self, count, more):
        """Bodies of totps.authenticate for so many users, each with a code of the next time step."""
        step = self.control.take_steps(1)
        self.control.move_clock(step)
        bodies = []
        for _ in range(count):
            user, secret = self.users[self._next_user % USERS]
            self._next_user += 1
            fields = {"user_id": user, "totp_code": code_of(secret, step), **more}
            bodies.append(json.dumps(fields, separators=(",", ":")))
        return bodies

    def load(self, connections, requests):
        """Sends the requests. Any that fails ends the benchmark."""
        before = self.control.syncs()
        made = send(self.tool, self.port, self.credentials, connections, requests)
        syncs = (self.control.syncs() - before) / len(requests)
        return Run(*made, syncs)

    def authenticate(self, connections, count, **more):
        """totps.authenticate for so many users. `more` are further fields of the body."""
        return self.load(connections, [f"POST /v1/totps/authenticate {body}" for body in self.bodies(count, more)])

    def get_users(self, connections, count):
        """users.get, so often."""
        return self.load(connections, [f"GET /v1/users/{self.users[n % USERS][0]}" for n in range(count)])


class BareHandler:
    """A handler of the same framework that does nothing, and answers with as many bytes."""

    name = "constant"

    def __init__(self, bench):
        self.tool, self.port = bench.needed_tool("bench_http"), free_port()
        self.control = Control(bench.scratch, self.name)
        self.process = subprocess.Popen([str(self.tool), "bare", str(self.port)])
        time.sleep(0.5)

    def authenticate(self, connections, count, **_):
        body = '{"user_id":"user-test-0123456789abcdef","totp_code":"000000"}'
        requests = [f"POST /v1/totps/authenticate {body}"] * count
        return Run(*send(self.tool, self.port, "id:secret", connections, requests), 0.0)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def code_of(secret, step):
    return code(base64.b32decode(secret + "=" * (-len(secret) % 8)), step)


def send(tool, port, credentials, connections, requests):
    output = run(tool, "load", port, credentials, connections, input="\n".join(requests) + "\n", timeout=LONGEST)
    *figures, failed = output.split()
    if failed != "0":
        raise SystemExit(f"bench: {failed} of {len(requests)} requests failed")
    return map(float, figures)
