"""The cases by name, in the order in which they run. Each is a function of a Bench that returns its result."""

from . import api, counts, logins, memory, neighbour, refusals, servers, users

CASES = {
    "alone": logins.alone,
    "together": logins.together,
    "slow-disk": logins.slow_disk,
    "users": users.users,
    "servers": servers.servers,
    "counts": counts.counts,
    "memory": memory.memory,
    "api": api.api,
    "neighbour": neighbour.neighbour,
    "refusals": refusals.refusals,
}
# Those that compare two builds.
AGAINST = ["alone", "together", "slow-disk", "counts"]
