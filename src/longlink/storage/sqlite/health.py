"""Whether the store works: failures of the disk are logged, and stay known until the same kind of work succeeds.

A failure is latched by what was being done; a success of the same kind takes it back. Two failures last until the
server is started again: a damaged database, because damage does not go by itself, and one that is not the file at its
path any more, because what is written to it is lost. The log has at most one failure a minute. Never touches the disk.
Read next: committer.py, which tries writes again; identity.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import apsw

from longlink import errors
from longlink.errors import LonglinkError
from longlink.ops import logs

log = logs.get("storage")

Work = Literal["write", "read", "checkpoint"]
_QUIET_SECONDS: Final = 60.0
_DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError)


class Health:
    """Of one store; any thread may use it.

    file: the database, for the log.
    now_s: a clock that nobody sets.
    """

    def __init__(self, file: Path, now_s: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._now_s = now_s
        self._lock = threading.Lock()
        self._failing: dict[Work, str] = {}
        self._damage = ""
        self._begun_s = 0.0
        self._failures = 0
        self._logged_s = float("-inf")
        self._suppressed = 0
        self._logged = False
        # Why nothing may be written or read until the next start; empty while it may.
        self.lost = ""
        # How many writes wait now; set by the store.
        self.waiting: Callable[[], int] = lambda: 0

    @property
    def problem(self) -> str:
        """Why the store is not ready; empty when it is."""
        return self.lost or self._damage or next(iter(self._failing.values()), "")

    def fails(self, work: Work) -> bool:
        """Whether this kind of work has failed and has not succeeded since."""
        return work in self._failing

    def failed(self, work: Work, reason: str, error: BaseException | None = None) -> None:
        """Work has failed for the disk's sake. reason: in words; error: what SQLite raised, if it did."""
        with self._lock:
            if isinstance(error, _DAMAGE):
                self._damage = reason
            self._note(work, reason)

    def lose(self, reason: str) -> None:
        """The database is not the file at its path any more."""
        with self._lock:
            if not self.lost:
                self.lost = reason
                self._logged_s = float("-inf")
                self._note("write", reason)

    def worked(self, work: Work) -> None:
        """Work of this kind has succeeded."""
        if work not in self._failing:
            return
        with self._lock:
            del self._failing[work]
            if self._failing or self.lost or self._damage:
                return
            if self._logged:
                after_s = round(self._now_s() - self._begun_s, 1)
                log.info("storage_works_again", file=str(self._file), after_s=after_s, failures=self._failures)
            self._failures, self._logged = 0, False

    def refuse_if_lost(self) -> None:
        """Raises STORAGE_UNAVAILABLE when the database is lost."""
        if self.lost:
            raise LonglinkError(errors.STORAGE_UNAVAILABLE, self.lost)

    def _note(self, work: Work, reason: str) -> None:
        now_s = self._now_s()
        if not self._failures:
            self._begun_s = now_s
        self._failures += 1
        self._failing[work] = reason
        if now_s - self._logged_s < _QUIET_SECONDS:
            self._suppressed += 1
            return
        self._logged_s, self._logged = now_s, True
        log.error(
            "storage_failed",
            doing=work,
            reason=reason,
            file=str(self._file),
            writes_waiting=self.waiting(),
            not_logged=self._suppressed,
            until="restart" if self.lost or self._damage else "it works again",
        )
        self._suppressed = 0
