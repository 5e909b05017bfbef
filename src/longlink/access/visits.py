"""What the log says of sessions that come and go: who, with which program, for how long, and why it ended.

Each of them is a line of the level debug. An end that somebody will ask about, such as that of a client that read too
slowly, is a line of the level info; the limit of the log keeps a storm of them short. Keeps nothing for a connection:
its age is in the number of its link. Closes of connections that never had a session are known as numbers only.
Read next: gateway.py; ../ops/logs.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from longlink import errors
from longlink.ops import logs
from longlink.routing.sessions import Session

log = logs.get("gateway")

TOLD: Final = {
    row.code: row.name
    for row in (errors.SLOW_CONSUMER, errors.REPLACED, errors.SESSION_ENDED, errors.KEY_REUSED, errors.IDLE)
}
"""Ends that are lines of the level info."""
SUM_UP_S: Final = 10.0
"""How often this is done."""
SUMMED: Final = (
    "hello_timeouts",
    "header_timeouts",
    "slow_closed",
    "refused_rate",
    "refused_half_open",
    "refused_full",
)
"""Counters of the core whose growth is a line, because nobody knows whose connections they were."""


class Visits:
    """age_s: how long ago a link was made, in seconds."""

    def __init__(self, age_s: Callable[[int], float]) -> None:
        self._age_s = age_s
        self._before: dict[str, int] = {}

    def came(self, here: Session, peer: Callable[[int], str | None], agent: str, *, resumed: bool) -> None:
        """A session is attached to its link. peer: tells where a connection is from."""
        if log.shows_debug:
            log.debug("connected", **_about(here), peer=peer(here.connection), agent=agent, resumed=resumed)

    def gone(self, here: Session, code: int) -> None:
        """The connection of a session has ended. code: of the close, as in core/BOUNDARY.md."""
        why = TOLD.get(code)
        if why is not None:
            log.info("closed", **_about(here), code=code, reason=why, ms=self._age_ms(here))
        elif log.shows_debug:
            row = errors.TABLE.get(code)
            log.debug("closed", **_about(here), code=code, reason=row.name if row else "", ms=self._age_ms(here))

    def sum_up(self, counters: Mapping[str, int]) -> None:
        """Log what the core has closed or refused by itself since the last call, if there was any."""
        grown = {name: counters[name] - self._before.get(name, 0) for name in SUMMED}
        self._before = {name: counters[name] for name in SUMMED}
        if any(grown.values()):
            log.info("closed_by_core", **{name: count for name, count in grown.items() if count})

    def _age_ms(self, here: Session) -> int:
        return round(1000 * self._age_s(here.link))


def _about(here: Session) -> dict[str, object]:
    return {
        "user": here.user,
        "device": here.device,
        "session": str(here.id),
        "link": str(here.link),
        "encoding": here.encoding.name.lower(),
    }
