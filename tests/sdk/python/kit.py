"""What the programs need beside the SDK: the endpoint, a phone and a camera that are not ours, and assertions."""

import base64
import contextlib
import json
import os
import subprocess
import time
import urllib.parse

import stytch
from stytch.core.response_base import StytchError

URL = os.environ["SDK_URL"]
PROJECT_ID = os.environ["SDK_PROJECT_ID"]
FOLDER = os.environ["SDK_FOLDER"]


class Service:
    """A service of the SDK's client, with blocking or with async methods."""

    def __init__(self, service, awaited):
        self.service, self.awaited = service, awaited

    def __getattr__(self, name):
        async def method(**arguments):
            if self.awaited:
                return await getattr(self.service, f"{name}_async")(**arguments)
            return getattr(self.service, name)(**arguments)

        return method

    async def pages(self, **arguments):
        """Calls search_all."""
        if self.awaited:
            return [page async for page in self.service.search_all_async(**arguments)]
        return list(self.service.search_all(**arguments))


class Api:
    """A client of the SDK. Only the base URL differs from Stytch's."""

    def __init__(self, awaited, secret=os.environ["SDK_SECRET"]):
        place = {"custom_base_url": URL} if URL.startswith("https://") else {"environment": URL}
        self.client = stytch.Client(PROJECT_ID, secret, **place)
        self.users = Service(self.client.users, awaited)
        self.totps = Service(self.client.totps, awaited)
        self.sessions = Service(self.client.sessions, awaited)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.client.close()


def now():
    """Returns the daemon's time."""
    return int(time.time()) + int(os.environ["SDK_CLOCK"])


def code(secret, steps=0):
    """Returns the code that a phone shows this many time steps from now."""
    command = ["oathtool", "--totp", "-b", "-N", f"@{now() + 30 * steps}", secret]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def wrong_code(secret):
    """Returns a code that is wrong for every time step near now."""
    near = [code(secret, steps) for steps in range(-2, 3)]
    return next(wrong for wrong in map("{:06}".format, range(10)) if wrong not in near)


def camera(data_uri):
    """Reads a QR code in a data URI."""
    head, data = data_uri.split(",")
    assert head == "data:image/png;base64", head
    picture = f"{FOLDER}/qr.png"
    with open(picture, "wb") as file:
        file.write(base64.b64decode(data.strip(), validate=True))
    command = ["zbarimg", "--nodbus", "--raw", "-q", picture]
    read = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return urllib.parse.urlsplit(read)


def keep(**things):
    """Stores a value for the second program."""
    with open(f"{FOLDER}/kept.json", "w", encoding="utf-8") as file:
        json.dump(things, file)


def kept():
    """Returns what the first program stored."""
    with open(f"{FOLDER}/kept.json", encoding="utf-8") as file:
        return json.load(file)


@contextlib.contextmanager
def refused(status, kind):
    """Asserts that a call is refused with this error, as the SDK's error object with all its fields."""
    try:
        yield
    except StytchError as error:
        details = error.details
        assert (details.status_code, details.error_type) == (status, kind), error
        for text in (details.request_id, details.error_message, details.error_url):
            assert text, error
    else:
        raise AssertionError(f"{kind} was expected")


def equal(left, right):
    """Asserts that both are equal."""
    assert left == right, f"{left!r} is not {right!r}"


async def ok(call):
    """Asserts that a call succeeds, and that the response has the common fields."""
    answer = await call
    equal(answer.status_code, 200)
    assert answer.request_id.startswith("request-id-"), answer
    return answer
