"""A new token for a link that lives, shortly before the old one expires, so that the link does not end with it.

For clients whose token is a function. What fails is tried again while the link lives; when the token expires the server
closes the link, and the client connects again as after any other end. Read next: supervisor.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from longlink.client.connection import Connection
from longlink.client.options import Options
from longlink.errors import LonglinkError

log = logging.getLogger("longlink.client")

EARLY: Final = 0.1
"""The part of a token's lifetime that is left when it is renewed, at least; at most twice as much, at random, so that
clients that connected together do not renew together."""
MOST_EARLY_S: Final = 60.0
TRIES: Final = 4
"""So many times it is tried within the time that is left."""
LEAST_S: Final = 1.0
"""Between two tokens, and between two tries."""


async def renew(
    connection: Connection, options: Options, token: Callable[[], Awaitable[str]], renewed: Callable[[str], None]
) -> None:
    """Until the link ends; returns at once if the server does not say how long the token is good.

    renewed: called with the key of the session that takes the place of the one before.
    """
    lifetime_s = connection.connected.lifetime_ms / 1000
    while lifetime_s:
        early_s = min(MOST_EARLY_S, lifetime_s * EARLY)
        await asyncio.sleep(max(LEAST_S, lifetime_s - early_s * (1 + options.random())))
        while True:
            try:
                made = await token()
                async with asyncio.timeout(options.request_timeout_s):
                    adjusted = await connection.renew(made)
                break
            except (LonglinkError, TimeoutError) as error:
                log.warning("the token was not renewed: %s", error or "no answer in time")
                await asyncio.sleep(max(LEAST_S, early_s / TRIES))
        if adjusted.key:
            renewed(adjusted.key)
        lifetime_s = adjusted.lifetime_ms / 1000
