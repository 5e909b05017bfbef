"""How many requests one address may send without a valid token: each costs an answer, so there is a rate for them.

Who brings a valid token or key is never a stranger, whatever others at the same address do. Read next: calls.py.
"""

from __future__ import annotations

import math
from typing import Final

from starlette.types import Scope

from longlink import errors
from longlink.access.http.connection import CONNECTION
from longlink.access.http.exchange import Headers
from longlink.access.http.places import bounded_address
from longlink.access.http.proxies import Proxies
from longlink.errors import LonglinkError
from longlink.ops.metrics import Counts
from longlink.routing.rates import Rate

CLOSE: Final[Headers] = ((b"connection", b"close"),)
"""Behind a refusal: the next request then needs a connection, of which an address gets so many a second and no more."""


class StrangerError(LonglinkError):
    """RATE_LIMITED for an address that sends too many requests without a valid token; CLOSE is due."""


class Strangers:
    """proxies: tell whose address counts; without one that is known, nothing is refused."""

    def __init__(self, rate: Rate, counts: Counts, proxies: Proxies) -> None:
        self._rate = rate
        self._proxies = proxies
        self._counts = counts

    def check(self, scope: Scope) -> None:
        """Count a request without a valid token. Raises StrangerError when its address has sent too many."""
        host = self._proxies.client(scope)
        wait_s = self._rate.take(bounded_address(host)) if host else 0.0
        if not wait_s:
            return
        self._counts.http_strangers += 1
        message = "this address sends more requests without a valid token than http.stranger_rate allows"
        raise StrangerError(errors.RATE_LIMITED, message, retry_after_ms=math.ceil(wait_s * 1000))

    @staticmethod
    def admit(scope: Scope) -> None:
        """The request has a valid token or key: its connection is the last to give way to others."""
        if (connection := scope.get(CONNECTION)) is not None:
            connection.known = True
