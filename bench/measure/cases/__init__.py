"""The cases by name, in the order in which they run. Each is a function of a Bench that returns its result."""

from . import counts, logins

CASES = {
    "alone": logins.alone,
    "together": logins.together,
    "slow-disk": logins.slow_disk,
    "counts": counts.counts,
}
# Those that compare two builds.
AGAINST = ["alone", "together", "slow-disk", "counts"]
