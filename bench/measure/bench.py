"""What the cases of one run share: the builds, and the programs that are measured."""

from functools import cached_property

from .contender import BASELINE, Floor, GoogleAuthenticator, Totpd
from .scratch import MEASURED_USERS
from .site import Site

# The case waits until a daemon has written what its start and its enrollments left to do.
SETTLE_SECONDS = 1


class Bench:
    """The builds of a run. `against` is another build to compare with, or None."""

    def __init__(self, scratch, build, against=None, turns=None, long=False):
        self.scratch, self.build, self.against, self.turns, self.long = scratch, build, against, turns, long
        self._sites = []

    def turns_or(self, default):
        return self.turns or default

    def site(self, name, build=None, more_config=""):
        """A new site, which ends with the run."""
        site = Site(self.scratch, name, build or self.build, more_config)
        self._sites.append(site)
        return site

    def _with_users(self, name, build):
        site = self.site(name, build).start()
        site.import_users(MEASURED_USERS)
        return Totpd(site)

    @cached_property
    def totpd(self):
        return self._with_users("totpd", self.build)

    @cached_property
    def other(self):
        return self._with_users(BASELINE, self.against)

    @cached_property
    def floor(self):
        return Floor(self.scratch)

    @cached_property
    def google(self):
        return GoogleAuthenticator(self.scratch)

    @property
    def login_contenders(self):
        """Who is compared: totpd with the other build, or with the peers."""
        return [self.totpd, self.other] if self.against else [self.totpd, self.google, self.floor]

    def end(self):
        for site in self._sites:
            site.stop()
