#!/usr/bin/env python3
"""cockpit.py USER PASSWORD ANSWER...: logs in through the real cockpit-session, as cockpit-ws does.

Messages are JSON objects, each behind its length and the empty name of a channel. Prints each challenge's prompt,
and what the session says at its end. What the session writes to stderr goes where ours goes: in an installation
that is the journal.
"""
import base64
import json
import os
import subprocess
import sys

user, password, answers = sys.argv[1], sys.argv[2], sys.argv[3:]
session = subprocess.Popen(
    ["/usr/lib/cockpit/cockpit-session", "localhost"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ, COCKPIT_REMOTE_PEER="192.0.2.7"),
)


def send(message):
    payload = b"\n" + json.dumps(message, separators=(",", ":")).encode()
    session.stdin.write(b"%d\n" % len(payload) + payload)
    session.stdin.flush()


def receive():
    length = session.stdout.readline()
    if not length.strip():
        return None
    return json.loads(session.stdout.read(int(length)))


while True:
    message = receive()
    if message is None or message.get("command") != "authorize":
        print("end", json.dumps(message), flush=True)
        break
    challenge = message["challenge"]
    if challenge.startswith("X-Conversation "):
        nonce, prompt = challenge.split(" ")[1:3]
        print("prompt", base64.b64decode(prompt).decode().strip(), flush=True)
        answer = answers.pop(0) if answers else ""
        response = "X-Conversation " + nonce + " " + base64.b64encode(answer.encode()).decode()
    else:
        response = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    send({"command": "authorize", "cookie": message["cookie"], "response": response})
session.stdin.close()
session.wait()
