"""Time-based one-time passwords (RFC 6238: SHA-1, 6 digits, 30 s), and the time steps of a run."""

import base64
import hashlib
import hmac
import struct
import time

PERIOD = 30


def code(secret, step):
    """The code of a secret (bytes) at a time step."""
    digest = hmac.digest(secret, struct.pack(">Q", step), "sha1")
    start = digest[-1] & 15
    return f"{(struct.unpack_from('>I', digest, start)[0] & 0x7FFFFFFF) % 1000000:06}"


def secret_of(name):
    """The secret of a user of the benchmark, 20 bytes. Every store of a run has the same."""
    return hashlib.sha256(b"totpd-bench " + name.encode()).digest()[:20]


def base32(secret):
    return base64.b32encode(secret).decode()


def present_step():
    return int(time.time()) // PERIOD
