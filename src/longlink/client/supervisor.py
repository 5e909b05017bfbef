"""Staying connected: one connection after the other, the wait in between, and which error is the last one.

It holds the connection that is live now and tells every change. What goes on over a connection is exchange.py's
business. Read next: connection.py, exchange.py, backoff.py.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Final, NoReturn

from longlink import errors
from longlink.client.backoff import Backoff
from longlink.client.connection import NORMAL, Connection, handshake
from longlink.client.events import Connected, Disconnected, Reconnected, State
from longlink.client.exchange import Exchange
from longlink.client.inbox import Inbox
from longlink.client.options import Options
from longlink.client.outbox import Outbox
from longlink.client.transport import open_transport
from longlink.errors import LonglinkError
from longlink.protocol.frames import Frame

ATTEMPT_S: Final = 10.0
"""One attempt to connect: token, TCP, TLS, upgrade and Connected together."""
STEADY_S: Final = 5.0
"""A link that held so long was good: the next wait starts small again."""
LAST_WORDS_S: Final = 0.5
RENEWABLE: Final = (errors.TOKEN_EXPIRED, errors.TOKEN_INVALID)


class Supervisor:
    """live: the connection that is up now, if any. up: set while there is one. last_error: why there was none.

    take: gets every frame that is no answer to a request. notice: called when somebody may have something to do.
    """

    def __init__(
        self, options: Options, outbox: Outbox, inbox: Inbox, take: Callable[[Frame], None], notice: Callable[[], None]
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._inbox = inbox
        self._take = take
        self._notice = notice
        self._backoff = Backoff(options.random)
        self._greeted = False
        self._renewed = False
        self._held_s = 0.0
        self.live: Connection | None = None
        self.up = asyncio.Event()
        self.wake = asyncio.Event()
        self.last_error: LonglinkError | None = None

    async def run(self) -> NoReturn:
        """Connect again and again; raises the final error."""
        while True:
            error = await self._one_link()
            if self._is_final(error):
                raise error
            if self._held_s >= STEADY_S:
                self._backoff.reset()
            wait_s = self._backoff.next(error.retry_after_ms / 1000)
            self.last_error = error
            self._tell(Disconnected(error, wait_s))
            await self._options.sleep(wait_s)

    async def _one_link(self) -> LonglinkError:
        """Connect, serve until the link ends, and say why it ended or did not begin."""
        self._held_s = 0.0
        try:
            async with asyncio.timeout(ATTEMPT_S):
                connection = await self._open()
        except TimeoutError:
            return LonglinkError(errors.DISCONNECTED, f"no connection within {ATTEMPT_S:.0f} s")
        except LonglinkError as error:
            return error
        begun = asyncio.get_running_loop().time()
        try:
            self._begin(connection)
            await self._serve(connection)
        except LonglinkError as error:
            return error
        finally:
            self._held_s = asyncio.get_running_loop().time() - begun
            self.live = None
            self.up.clear()
            self._outbox.link_lost()
            self._inbox.link_lost()
            await connection.close()

    async def _open(self) -> Connection:
        token = await self._token()
        transport = await open_transport(self._options.url, self._options.encoding, self._options.tls)
        try:
            return await handshake(transport, self._options, token, self._take)
        except BaseException:
            await transport.close(NORMAL)
            raise

    async def _token(self) -> str:
        token = self._options.token
        if isinstance(token, str):
            return token
        try:
            given = token()
            return await given if inspect.isawaitable(given) else given
        except LonglinkError:
            raise
        except Exception as error:
            raise LonglinkError(errors.DISCONNECTED, f"the token function failed: {error!r}") from error

    def _begin(self, connection: Connection) -> None:
        here = connection.connected
        if self._inbox.user not in ("", here.user):
            raise LonglinkError(
                errors.TOKEN_FOREIGN, f"the token function gave a token of {here.user!r}, this is {self._inbox.user!r}"
            )
        self._inbox.user = here.user
        self._renewed = False
        self.live = connection
        self.up.set()
        kind = Reconnected if self._greeted else Connected
        self._greeted = True
        self._tell(kind(here.user, here.device, here.session, here.server))

    async def _serve(self, connection: Connection) -> NoReturn:
        exchange = Exchange(connection, self._options, self._outbox, self._inbox, self.wake, self._notice)
        tasks = [asyncio.create_task(connection.run()), asyncio.create_task(exchange.run())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # When a write failed first, what the server said before it closed may still wait to be read.
            await asyncio.wait(tasks[:1], timeout=LAST_WORDS_S)
            for task in tasks:
                if task.done():
                    task.result()
            raise AssertionError("a link ended without an error")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _is_final(self, error: LonglinkError) -> bool:
        if error.retry:
            return False
        if error.row in RENEWABLE and not isinstance(self._options.token, str) and not self._renewed:
            self._renewed = True
            return False
        return True

    def _tell(self, state: State) -> None:
        self._inbox.state(state)
        self._notice()
        if self._options.on_state is not None:
            self._options.on_state(state)
