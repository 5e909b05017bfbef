"""Staying connected: one connection after the other, the wait in between, and which error is the last one.

It holds the connection that is live now and tells every change. Which way a link takes is decided in paths.py; what
goes on over it is exchange.py's business. Read next: handshake.py, connection.py, exchange.py, backoff.py.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Final, NoReturn

from longlink import errors
from longlink.client import options as given
from longlink.client.backoff import Backoff
from longlink.client.connection import NORMAL, Connection
from longlink.client.events import Connected, Disconnected, Reconnected, State
from longlink.client.exchange import Exchange
from longlink.client.handshake import Session, handshake
from longlink.client.incoming import Incoming
from longlink.client.options import Options
from longlink.client.outbox import Outbox
from longlink.client.paths import Paths
from longlink.client.prober import Prober
from longlink.client.renewal import renew
from longlink.client.transport import Transport, open_fallback, open_transport
from longlink.errors import LonglinkError
from longlink.protocol.frames import Frame
from longlink.protocol.session import KEY_REFUSALS

ATTEMPT_S: Final = 10.0
"""One attempt to connect: token, TCP, TLS, upgrade and Connected together."""
STEADY_S: Final = 5.0
"""A link that held so long was good: the next wait starts small again."""
LAST_WORDS_S: Final = 0.5
RENEWABLE: Final = (errors.TOKEN_EXPIRED, errors.TOKEN_INVALID)


class Supervisor:
    """live: the connection that is up now, if any. up: set while there is one. last_error: why there was none.

    take: gets every frame that is no answer to a request. notice: called when somebody may have something to do.
    session: what the next link needs to resume. again: set to exchange a stream for another one.
    """

    def __init__(
        self,
        options: Options,
        outbox: Outbox,
        incoming: Incoming,
        take: Callable[[Frame], None],
        notice: Callable[[], None],
        *,
        session: Session,
        prober: Prober,
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._incoming = incoming
        self._inbox = incoming.inbox
        self._take = take
        self._notice = notice
        self.session = session
        self._prober = prober
        self._paths = Paths(allowed=options.fallback, look_after_s=options.look_after_s)
        self._backoff = Backoff(options.random)
        self._found: Transport | None = None
        self._verified = not self._inbox.user
        self._greeted = False
        self._renewed = False
        self._held_s = 0.0
        self.live: Connection | None = None
        self.up = asyncio.Event()
        self.wake = asyncio.Event()
        self.again = asyncio.Event()
        self.last_error: LonglinkError | None = None
        self._failed: list[LonglinkError | None] = [None, None]

    async def run(self) -> NoReturn:
        """Connect again and again; raises the final error."""
        try:
            while True:
                error = await self._one_link()
                if error is None:
                    continue
                if self._is_final(error):
                    raise error
                await self._pause(error)
        finally:
            if self._found is not None:
                await self._found.close(NORMAL)

    async def _pause(self, error: LonglinkError) -> None:
        if self._held_s >= STEADY_S:
            self._backoff.reset()
        elif error.row is errors.DISCONNECTED:
            error = self._first(error)
            self._paths.failed()
        wait_s = self._backoff.next(error.retry_after_ms / 1000)
        self.last_error = error
        self._tell(Disconnected(error, wait_s))
        await self._options.sleep(wait_s)

    def _first(self, error: LonglinkError) -> LonglinkError:
        """What is reported when neither way leads to the server: why the first one failed, the other in a note."""
        if self._held_s:
            return error
        self._failed[self._paths.streaming] = error
        direct, fallback = self._failed
        if direct is None or fallback is None:
            return error
        first = LonglinkError(errors.DISCONNECTED, direct.message)
        first.add_note(f"The fallback, a stream with POST, failed too: {fallback.message}")
        return first

    async def _one_link(self) -> LonglinkError | None:
        """Connect, serve until the link ends, and say why it ended or did not begin; None to go on at once."""
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
            self.session.received = connection.received
            await connection.close()
        return None

    async def _open(self) -> Connection:
        options, here = self._options, self._incoming
        if not self._verified:
            # A resume token speaks for the user of the store; the application's token must be of the same user.
            self._same_user(given.subject(await self._token()) or self._inbox.user)
        transport, self._found = self._found, None
        if transport is None and self._paths.streaming:
            transport = await open_fallback(options.url, options.http, options.tls)
        transport = transport or await open_transport(options.url, options.encoding, options.tls)
        try:
            connection = await handshake(transport, options, self._prober, self.session, self._token, self._take)
            self._same_user(connection.connected.user)
        except BaseException:
            await transport.close(NORMAL)
            raise
        here.begun(connection.connected.user, self.session.key)
        return connection

    async def _token(self) -> str:
        token = self._options.token
        if isinstance(token, str):
            return token
        try:
            made = token()
            made = await made if inspect.isawaitable(made) else made
        except LonglinkError:
            raise
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise LonglinkError(errors.DISCONNECTED, "the token function cancelled itself") from None
        except Exception as error:
            raise LonglinkError(errors.DISCONNECTED, f"the token function failed: {error!r:.200}") from error
        return given.checked_token(made)

    def _same_user(self, user: str) -> None:
        if self._inbox.user not in ("", user):
            raise LonglinkError(errors.TOKEN_FOREIGN, f"the token is of {user!r}, this client is {self._inbox.user!r}")
        self._verified = True

    def _begin(self, connection: Connection) -> None:
        here = connection.connected
        self._renewed = False
        self._failed = [None, None]
        self._paths.held()
        self._inbox.sync_wanted |= here.missed or not here.resumed
        self._inbox.lineage.connected(here.epoch)
        self.live = connection
        self.up.set()
        kind = Reconnected if self._greeted else Connected
        self._greeted = True
        self._tell(kind(here.user, here.device, here.session, here.server, connection.link, here.resumed))

    async def _serve(self, connection: Connection) -> None:
        """Until the link ends, and then raises why; returns when another one is better."""
        exchange = Exchange(connection, self._options, self._outbox, self._incoming, self.wake, self._notice)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(connection.run()), asyncio.create_task(exchange.run())]
        others = [asyncio.create_task(self._other())] if self._paths.streaming else []
        beside = [] if self._keeps_token(connection) else [asyncio.create_task(self._renew(connection))]
        try:
            await asyncio.wait([*tasks, *others], return_when=asyncio.FIRST_COMPLETED)
            for other in others:
                if other.done():
                    return other.result()
            # When a write failed first, what the server said before it closed may still wait to be read.
            await asyncio.wait(tasks[:1], timeout=LAST_WORDS_S)
            for task in tasks:
                if task.done():
                    task.result()
            raise AssertionError("a link ended without an error")
        finally:
            for task in (*tasks, *others, *beside):
                task.cancel()
            await asyncio.gather(*tasks, *others, *beside, return_exceptions=True)

    def _keeps_token(self, connection: Connection) -> bool:
        """Whether the link ends with its token: there is no function for a new one, or no way to send it."""
        return isinstance(self._options.token, str) or connection.link == "stream"

    async def _renew(self, connection: Connection) -> None:
        def renewed(key: str) -> None:
            self.session.key = key
            self._incoming.begun(connection.connected.user, key)

        await renew(connection, self._options, self._token, renewed)

    async def _other(self) -> None:
        """On a stream: wait until the long link is to be had again, or until somebody wants another stream."""
        while True:
            try:
                async with asyncio.timeout(self._paths.look()):
                    await self.again.wait()
                self.again.clear()
                return
            except TimeoutError:
                pass
            try:
                async with asyncio.timeout(ATTEMPT_S):
                    self._found = await open_transport(self._options.url, self._options.encoding, self._options.tls)
            except (LonglinkError, TimeoutError):
                continue
            self._paths.open()
            return

    def _is_final(self, error: LonglinkError) -> bool:
        if error.retry or error.name in KEY_REFUSALS:
            return False
        self.session.key = ""
        if error.row in RENEWABLE and not isinstance(self._options.token, str) and not self._renewed:
            self._renewed = True
            return False
        return True

    def _tell(self, state: State) -> None:
        self._inbox.state(state)
        self._notice()
        if self._options.on_state is None:
            return
        try:
            self._options.on_state(state)
        except Exception as error:
            said = "the function given as on_state has raised"
            asyncio.get_running_loop().call_exception_handler({"message": said, "exception": error})
