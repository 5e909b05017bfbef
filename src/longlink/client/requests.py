"""Asking the server: wait for a link, ask, and ask again when the answer is "try again", until the time is over.

Only for what may be repeated. What is sent goes another way: outgoing.py. Read next: connection.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from longlink import errors
from longlink.client.backoff import Backoff
from longlink.client.connection import Connection
from longlink.client.options import Options
from longlink.client.supervisor import Supervisor
from longlink.errors import LonglinkError
from longlink.protocol import limits
from longlink.protocol.frames import Frame, body_name


class Requests:
    """One per client. ended: why there will be no link any more, None while there may be."""

    def __init__(self, options: Options, links: Supervisor, ended: Callable[[], LonglinkError | None]) -> None:
        self._options = options
        self._links = links
        self._ended = ended

    async def ask(self, frame: Frame) -> Frame:
        """Raises the error that the server answered, UNANSWERED, or DISCONNECTED when no link was up at the end."""
        limits.check(frame)
        backoff = Backoff(self._options.random)
        last = LonglinkError(errors.UNANSWERED, f"no answer to {body_name(frame)} in time")
        try:
            async with asyncio.timeout(self._options.request_timeout_s):
                while True:
                    connection = await self.connection()
                    try:
                        return await connection.request(frame)
                    except LonglinkError as error:
                        if not error.retry:
                            raise
                        last = error
                    await self._options.sleep(backoff.next(last.retry_after_ms / 1000))
        except TimeoutError:
            raise (last if self._links.live else self.down()) from None

    async def connection(self) -> Connection:
        """The one that is up, or the next one."""
        while self._links.live is None:
            if (error := self._ended()) is not None:
                raise error
            await self._links.up.wait()
        return self._links.live

    def down(self) -> LonglinkError:
        """Why no link is up."""
        last = self._links.last_error
        reason = last.message if last else "no answer yet"
        error = LonglinkError(errors.DISCONNECTED, f"no connection to {self._options.url}: {reason}")
        for note in getattr(last, "__notes__", ()):
            error.add_note(note)
        return error
