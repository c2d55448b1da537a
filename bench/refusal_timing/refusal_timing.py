"""Whether the time of a refusal reveals its cause: makes the attempts, interleaved, and searches the best threshold.

Called by run.sh with the scratch folder, the totpd command, and the helper's command line."""

import base64, collections, hashlib, hmac, itertools, json, random, statistics, struct, subprocess, sys, time

SCRATCH, TOTPD, ATTEMPT = sys.argv[1], sys.argv[2].split("|"), sys.argv[3].split("|")
ROUNDS = 10
EACH = 50  # users of a cause
TRIES = 2  # of each user in a round, of each kind: a round has to end while its used codes are in the window
CAUSES = ["unknown", "unenrolled", "locked", "wrong", "replayed"]
KINDS = ["pam", "socket"]
TARGET = 55

random.seed(1)


def totpd(*words, text=""):
    return subprocess.run([*TOTPD, *words], input=text, capture_output=True, text=True, check=True).stdout


def at(step):
    """Moves the daemon's clock to the middle of a time step."""
    with open(f"{SCRATCH}/control", "r+b") as control:
        control.write(struct.pack("<q", step * 30 + 10 - int(time.time())))


def code(secret, step):
    digest = hmac.new(base64.b32decode(secret + "=" * (-len(secret) % 8)), struct.pack(">Q", step), hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start:start + 4])[0] & 0x7FFFFFFF) % 1000000:06}"


def wrong(secret, step):
    near = {code(secret, step + n) for n in range(-3, 4)} if secret else set()
    return next(c for c in iter(lambda: f"{random.randrange(1000000):06}", None) if c not in near)


def attempts(lines):
    """Runs the attempts in order. Returns the nanoseconds of each, with its kind and cause."""
    text = "".join(" ".join(line) + "\n" for line in lines)
    output = subprocess.run(ATTEMPT, input=text, capture_output=True, text=True, check=True).stdout
    return [line.split() for line in output.splitlines()]


def best_threshold(one, other):
    """Returns the threshold and side that tell most of these apart."""
    marked = sorted([(t, 1) for t in one] + [(t, 0) for t in other])
    right, best = len(other), (0, 0, True)  # everything above the threshold is `other`
    for t, is_one in [(0, None), *marked]:
        right += 0 if is_one is None else (1 if is_one else -1)
        best = max(best, (right, t, True), (len(marked) - right, t, False))
    return best


def accuracy(threshold, below_is_one, one, other):
    right = sum((t <= threshold) == below_is_one for t in one) + sum((t <= threshold) != below_is_one for t in other)
    return 100 * right / (len(one) + len(other))


secrets = {}
step = int(time.time()) // 30 + 10
at(step)
for cause in ["locked", "wrong", "replayed"]:
    for n in range(EACH):
        secrets[f"{cause}{n}"] = json.loads(totpd("enroll", f"{cause}{n}", "--json", "--expires", "30d"))["secret"]
        totpd("confirm", f"{cause}{n}", text=code(secrets[f"{cause}{n}"], step))
attempts(("socket", "-", f"locked{n}", wrong(secrets[f"locked{n}"], step)) for n in range(EACH) for _ in range(10))

times = {kind: {cause: [] for cause in CAUSES} for kind in KINDS}
for _ in range(ROUNDS):
    step += 4
    at(step)
    for n in range(EACH):
        totpd("unlock", f"wrong{n}")
    used = {f"replayed{n}": code(secrets[f"replayed{n}"], step) for n in range(EACH)}
    granted = attempts(("socket", "replayed", user, typed) for user, typed in used.items())
    assert all(line[2] == "granted" for line in granted), granted
    lines = [
        (kind, cause, f"{cause}{n}", used.get(f"{cause}{n}") or wrong(secrets.get(f"{cause}{n}"), step))
        for kind in KINDS for cause in CAUSES for n in range(EACH) for _ in range(TRIES)
    ]
    random.shuffle(lines)
    for kind, cause, took in attempts(lines):
        times[kind][cause].append(int(took))

reasons = {"unknown": "not-enrolled", "unenrolled": "not-enrolled", "locked": "locked", "wrong": "wrong", "replayed": "replayed"}


def refusals():
    """Counts refusals by cause and reason. The log names no user that the host does not know."""
    with open(f"{SCRATCH}/daemon.log") as log:
        events = [json.loads(line) for line in log if line.startswith("{") and line.endswith("}\n")]
    causes = ("unknown" if e.get("unknown") else e.get("user", "").rstrip("0123456789") for e in events)
    return collections.Counter(zip(causes, (e.get("reason") for e in events)))


expected = {(cause, reason): sum(len(times[kind][cause]) for kind in KINDS) for cause, reason in reasons.items()}
# Lines of the log go through a queue, and may arrive after the verdicts.
for _ in range(50):
    counts = refusals()
    wrong_counts = {key: counts[key] for key in expected if counts[key] != expected[key]}
    if not wrong_counts:
        break
    time.sleep(0.1)
assert not wrong_counts, f"{wrong_counts} instead of {expected}: the states were distorted"

print("| cause | p10 µs, login | median | p90 | p10 µs, answer to verdict | median | p90 |")
print("| --- | --- | --- | --- | --- | --- | --- |")
for cause in CAUSES:
    cells = []
    for kind in KINDS:
        tenths = statistics.quantiles(times[kind][cause], n=10)
        cells += [f"{tenths[i] / 1000:.0f}" for i in (0, 4, 8)]
    print(f"| {cause} | {' | '.join(cells)} |")
print()
print("| pair | login: classified right | (same half) | answer to verdict: classified right | (same half) | target |")
print("| --- | --- | --- | --- | --- | --- |")
for one, other in itertools.combinations(CAUSES, 2):
    cells, worst = [], 0
    for kind in KINDS:
        a, b = times[kind][one], times[kind][other]
        # Alternate attempts belong to the other half, so that a drift of the hardware is in both.
        right, threshold, below = best_threshold(a[::2], b[::2])
        accurate = accuracy(threshold, below, a[1::2], b[1::2])
        worst = max(worst, accurate)
        cells += [f"{accurate:.1f} %", f"{100 * right / len(a[::2] + b[::2]):.1f} %"]
    print(f"| {one}, {other} | {' | '.join(cells)} | {'kept' if worst <= TARGET else 'missed'} |")
