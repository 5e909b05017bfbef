"""Which log the numbers of a client are of: a server that was restored from a copy goes on with other messages.

Pure: no I/O, no clock. The client keeps the epoch of the log that it knows and the highest stamp that it has seen. When
a connection names another epoch, nothing that arrives counts until the server has checked both (SPEC.md section 6.5):
places, acknowledgements and gaps might be of another log. Read next: inbox.py, which asks before it believes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Lineage:
    """epoch, newest: what the server is to check.

    checked: whether the server has said that all of it is in its log.
    replacing: whether it is not, and every place is being found again.
    skipped: whether something arrived meanwhile and did not count, so that another sync is due.
    """

    epoch: str = ""
    newest: int = 0
    checked: bool = True
    replacing: bool = False
    skipped: bool = False

    def connected(self, epoch: str) -> None:
        """A link is up. epoch: as the server named it; empty when it goes on as before, or is too old to know."""
        if epoch and epoch == self.epoch:
            self.checked = not self.replacing
        elif epoch and self.epoch:
            self.checked = False
        else:
            self.epoch = epoch or self.epoch

    def saw(self, stamp: int) -> None:
        """Something with this stamp counts from now on."""
        if (self.checked or self.replacing) and stamp > self.newest:
            self.newest = stamp

    def counts(self) -> bool:
        """Whether something that arrived now counts; if not, that is remembered."""
        self.skipped |= not self.checked
        return self.checked

    def agreed(self, epoch: str) -> None:
        """The log of the server holds all that the client has seen."""
        self.checked, self.replacing = True, False
        self.epoch = epoch or self.epoch

    def replace(self) -> None:
        """The log of the server is another one."""
        self.checked, self.replacing = False, True
        self.newest = 0
