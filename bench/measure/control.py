"""The page by which tests/native/faults.c is controlled: the clock, slow syncs, and the number of syncs."""

import os
import struct
import time

from .codes import PERIOD, present_step

CLOCK, SYNC_DELAY, _FAIL, SYNCS = range(4)


class Control:
    """A page for one program under test, and the time step that its clock has reached."""

    def __init__(self, scratch, name):
        self.file = scratch.folder / f"control-{name}"
        self.file.write_bytes(bytes(64))
        # All programs that read it preload the library that obeys it.
        self.environment = {
            **os.environ,
            "LD_PRELOAD": str(scratch.folder / "faults.so"),
            "TOTPD_FAULTS": str(self.file),
        }
        # Codes of a secret that came from elsewhere count from the next step but one.
        self.step = present_step() + 10

    def set(self, word, value):
        with self.file.open("r+b") as page:
            page.seek(8 * word)
            page.write(struct.pack("<q", value))

    def syncs(self):
        return struct.unpack_from("<q", self.file.read_bytes(), 8 * SYNCS)[0]

    def take_steps(self, count):
        """Takes the next time steps for codes, so that no run uses those of another. Returns the first."""
        first = self.step
        self.step += count + 5
        return first

    def move_clock(self, step):
        """Moves the clock to the middle of a time step."""
        self.set(CLOCK, step * PERIOD + 10 - int(time.time()))

    def slow_syncs(self, microseconds):
        self.set(SYNC_DELAY, microseconds)
