"""What the cases of one run share: the builds, and the programs that are measured."""

from functools import cached_property

from .contender import BASELINE, Constant, Floor, GoogleAuthenticator, Totpd
from .scratch import MEASURED_USERS, ROOT, user
from .site import Site


class Bench:
    """The builds of a run. `against` is another build to compare with, or None."""

    def __init__(self, scratch, build, against=None, turns=None, long=False):
        self.scratch, self.build, self.against, self.turns, self.long = scratch, build, against, turns, long
        self.sites = []

    def turns_or(self, default):
        return self.turns or default

    def tool(self, name):
        """A program of the benchmark, which was built beside the build or here; None if it was not."""
        files = [folder.resolve() / name for folder in (self.build, ROOT / "target/release")]
        return next((file for file in files if file.exists()), None)

    def needed_tool(self, name):
        """The same; without it the run ends."""
        file = self.tool(name)
        if not file:
            raise SystemExit(f"bench: {name} is not built. Run: cargo build --release -p {name}")
        return file

    def site(self, name, build=None, http="", database=None, beside=None):
        """A new site, which ends with the run; `beside` a site whose PostgreSQL it shares."""
        site = Site(self.scratch, name, build or self.build, http, database, beside)
        self.sites.append(site)
        return site

    def _with_users(self, name, build):
        site = self.site(name, build).start()
        site.import_users([user(number) for number in range(MEASURED_USERS)])
        return Totpd(site)

    @cached_property
    def totpd(self):
        return self._with_users("totpd", self.build)

    @cached_property
    def baseline(self):
        return self._with_users(BASELINE, self.against)

    @cached_property
    def floor(self):
        return Floor(self.scratch)

    @cached_property
    def google(self):
        return GoogleAuthenticator(self.scratch)

    @cached_property
    def constant(self):
        one = Constant(self.scratch, self.build)
        self.sites.append(one)
        return one

    @property
    def totpds(self):
        """The daemons of the builds."""
        return [self.totpd, self.baseline] if self.against else [self.totpd]

    @property
    def login_contenders(self):
        """Who is compared: totpd with the other build, or with the peers."""
        return self.totpds if self.against else [self.totpd, self.google, self.constant, self.floor]

    def end(self):
        """Stops every daemon."""
        for site in self.sites:
            site.stop()
