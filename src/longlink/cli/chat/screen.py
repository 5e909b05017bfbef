"""The chat on a terminal: header, messages, input, status; redrawn when something changes and while a countdown runs.

It shows what the client and the transcript say and decides nothing itself. Read next: transcript.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import Dimension, HSplit, Layout, UIContent, UIControl, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth
from prompt_toolkit.widgets import TextArea

from longlink import errors
from longlink.cli import plain
from longlink.cli.chat.commands import asked
from longlink.cli.chat.transcript import Row, Transcript
from longlink.client.events import Connected, Delivered, Disconnected, Event, Message, Notice, Read, Reconnected, State
from longlink.errors import LonglinkError

if TYPE_CHECKING:
    from longlink.client.chat import Chat
    from longlink.client.client import Client

PAGE: Final = 50
"""Messages shown on entering, and read more at a time when scrolling up."""
UNSENT: Final = 100
"""Messages that may wait for the server before the input is refused."""
LOOK_AGAIN_S: Final = 2.0
TICK_S: Final = 0.2
INPUT_ROWS: Final = 6

STYLE: Final = Style.from_dict(
    {
        "header": "bold",
        "good": "ansigreen",
        "bad": "ansired bold",
        "busy": "ansiyellow",
        "rule": "ansibrightblack",
        "hint": "ansibrightblack",
        "time": "ansibrightblack",
        "day": "ansibrightblack",
        "me": "ansibrightblue",
        "peer": "ansimagenta bold",
        "waiting": "ansibrightblack",
        "stored": "ansibrightblack",
        "delivered": "ansibrightblack",
        "read": "ansigreen",
        "problem": "ansired",
        "prompt": "ansibrightblue bold",
    }
)


class Messages(UIControl):
    """The rows of the transcript, the newest at the bottom; scroll: rows between the bottom and what is shown."""

    def __init__(self, transcript: Transcript, wanted: Callable[[], None]) -> None:
        self._transcript = transcript
        self._wanted = wanted
        self._total = 0
        self._height = 1
        self.scroll = 0

    def create_content(self, width: int, height: int) -> UIContent:
        rows = self._transcript.rows(width)
        if self.scroll:
            # What a user has scrolled back to stays in place while new rows come in at the bottom.
            self.scroll = min(self.scroll + max(0, len(rows) - self._total), max(0, len(rows) - height))
        self._total, self._height = len(rows), height
        end = len(rows) - self.scroll
        shown = rows[max(0, end - height) : end]
        padded: list[Row] = [[] for _ in range(height - len(shown))] + shown
        return UIContent(
            get_line=lambda number: list(padded[number]), line_count=len(padded), cursor_position=Point(0, 0)
        )

    def move(self, rows: int) -> None:
        """Up (positive) or down; at the top older messages are wanted."""
        top = max(0, self._total - self._height)
        self.scroll = min(top, max(0, self.scroll + rows))
        if rows > 0 and self.scroll == top:
            self._wanted()

    def page(self) -> int:
        return max(1, self._height - 2)


class Screen:
    """One chat from beginning to end. state: hand it to the client as on_state."""

    def __init__(self, peer: str, where: str) -> None:
        self._transcript = Transcript("", peer)
        self._where = where
        self._chat: Chat | None = None
        self._opened = asyncio.Event()
        self._problem = ""
        self._retry_at = 0.0
        self._connected = False
        self._absent = False
        self._notice = ""
        self._read_to = 0
        self._whole = False
        self._reading: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._messages = Messages(self._transcript, self._want_older)
        self._input = TextArea(
            multiline=True,
            wrap_lines=True,
            height=Dimension(min=1, max=INPUT_ROWS),
            dont_extend_height=True,
            prompt=[("class:prompt", " › ")],
        )
        self._app: Application[None] = self._application()

    async def run(self, client: Client) -> int:
        """Until the user leaves. Raises a final error of the client."""
        talking = asyncio.create_task(self._talk(client))
        ticking = asyncio.create_task(self._tick())
        talking.add_done_callback(lambda _: self._app.exit() if self._app.is_running else None)
        try:
            await self._app.run_async()
        finally:
            unsent = self._transcript.unsent
            for task in (ticking, talking, *self._tasks):
                task.cancel()
            results = await asyncio.gather(talking, ticking, *self._tasks, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]
        if unsent:
            print(f"{unsent} message{'s' if unsent > 1 else ''} may not have reached the server.")
        return 0

    def state(self, state: State) -> None:
        self._connected = isinstance(state, Connected | Reconnected)
        if isinstance(state, Disconnected):
            self._problem = state.error.message
            self._retry_at = asyncio.get_running_loop().time() + state.retry_in_s
        self._app.invalidate()

    # The conversation -------------------------------------------------------------------------------------------------

    async def _talk(self, client: Client) -> None:
        async with client:
            self._transcript.me = client.user
            chat = await self._open(client)
            self._transcript.delivered(chat.delivered(self._transcript.peer))
            self._transcript.read_by_peer(chat.read_by(self._transcript.peer))
            await self._show_page(chat, None)
            self._chat = chat
            self._mark_read()
            self._opened.set()
            async for event in client:
                self._take(chat, event)

    async def _open(self, client: Client) -> Chat:
        """The chat, as soon as there is a link and the peer is known to the server."""
        while True:
            try:
                chat = await client.direct(self._transcript.peer)
            except LonglinkError as error:
                if not error.retry and error.row is not errors.USER_UNKNOWN:
                    raise
                self._absent = error.row is errors.USER_UNKNOWN
                self._app.invalidate()
                await asyncio.sleep(LOOK_AGAIN_S)
            else:
                self._absent = False
                return chat

    def _take(self, chat: Chat, event: Event) -> None:
        if isinstance(event, Message) and event.conversation == chat.id:
            self._transcript.add(event)
        elif isinstance(event, Message):
            self._notice = f"{plain.line(event.sender)} wrote to you"
        elif isinstance(event, Notice):
            self._notice = f"notice: {plain.line(f'[{event.custom.type}]' if event.custom else event.text)}"
        elif isinstance(event, Delivered) and event.conversation == chat.id:
            self._transcript.delivered(event.seq)
        elif isinstance(event, Read) and event.conversation == chat.id and event.user == self._transcript.peer:
            self._transcript.read_by_peer(event.seq)
        self._mark_read()
        self._app.invalidate()

    def _mark_read(self) -> None:
        """What is shown is read, unless the user has scrolled up and does not see it."""
        newest = self._transcript.newest_of_peer
        if self._chat is None or self._messages.scroll or newest <= self._read_to:
            return
        self._read_to = newest
        with contextlib.suppress(LonglinkError):
            self._chat.read(newest)

    def _say(self, text: str) -> None:
        said = self._transcript.sending(text, datetime.now().astimezone())
        self._messages.scroll = 0

        async def send() -> None:
            await self._opened.wait()
            assert self._chat is not None
            try:
                self._transcript.stored(said, await self._chat.send(text))
            except LonglinkError as error:
                self._transcript.failed(said, error.message)
            self._app.invalidate()

        self._start(send())

    def _want_older(self) -> None:
        if self._chat is None or self._whole or (self._reading is not None and not self._reading.done()):
            return
        self._reading = self._start(self._show_page(self._chat, self._transcript.oldest or None))

    async def _show_page(self, chat: Chat, before: int | None) -> None:
        """Read one page of history. When that fails the screen says why, and scrolling up asks again."""
        try:
            page = await chat.last(PAGE, before=before)
        except LonglinkError as error:
            self._notice = f"older messages could not be read: {plain.line(error.message)}"
        else:
            self._whole = len(page) < PAGE
            for message in page:
                self._transcript.add(message)
        self._app.invalidate()

    async def _tick(self) -> None:
        """Redraw while a countdown is shown."""
        while True:
            await asyncio.sleep(TICK_S)
            if not self._connected:
                self._app.invalidate()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # The screen -------------------------------------------------------------------------------------------------------

    def _application(self) -> Application[None]:
        rule = Window(height=1, char="─", style="class:rule")
        body = HSplit(
            [
                Window(FormattedTextControl(self._header), height=1),
                rule,
                Window(self._messages, wrap_lines=False),
                Window(height=1, char="─", style="class:rule"),
                self._input,
                Window(FormattedTextControl(self._footer), height=1),
            ]
        )
        return Application(
            Layout(body, focused_element=self._input),
            key_bindings=self._keys(),
            style=STYLE,
            full_screen=True,
            mouse_support=False,
        )

    def _header(self) -> StyleAndTextTuples:
        width = self._app.output.get_size().columns
        who = f" {plain.line(self._transcript.me) or '…'} ⇄ {plain.line(self._transcript.peer)}"
        style, state = self._state_text()
        gap = width - get_cwidth(who) - get_cwidth(state) - 1
        if gap < 1:
            return [("class:header", who + "  "), (style, state)]
        return [("class:header", who), ("", " " * gap), (style, state)]

    def _state_text(self) -> tuple[str, str]:
        if not self._connected:
            return ("class:bad", "○ offline") if self._problem else ("class:busy", "○ connecting")
        if self._absent:
            return "class:busy", f"● {self._where}"
        return "class:good", f"● {self._where}"

    def _footer(self) -> StyleAndTextTuples:
        peer = plain.line(self._transcript.peer)
        if not self._connected and self._problem:
            left = self._retry_at - asyncio.get_running_loop().time()
            again = f"in {left:.0f} s" if left >= 0.5 else "now"
            return [("class:bad", f" Reconnecting {again}"), ("class:hint", f" ({plain.line(self._problem)})")]
        if self._absent:
            return [("class:busy", f" No user {peer} yet: check the spelling. What you write waits until they connect")]
        if self._messages.scroll:
            return [("class:busy", " ↓ End"), ("class:hint", " back to the newest message")]
        if self._notice:
            return [("class:busy", f" {self._notice}")]
        return [("class:hint", " Enter sends · Alt-Enter new line · PgUp PgDn scroll · /help · Ctrl-C quits")]

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        keys.add("enter")(self._enter)
        keys.add("escape", "enter")(lambda event: event.current_buffer.insert_text("\n"))
        keys.add("c-c")(lambda event: event.app.exit())
        keys.add("c-d")(self._end_of_input)
        keys.add("pageup")(lambda _: self._messages.move(self._messages.page()))
        keys.add("pagedown")(self._page_down)
        keys.add("end")(self._end)
        return keys

    def _enter(self, event: KeyPressEvent) -> None:
        text = self._input.text.strip("\n")
        if not text.strip():
            return
        if self._transcript.unsent >= UNSENT:
            self._notice = f"{UNSENT} messages wait for the server; the next one has to wait as well"
            return
        self._notice = ""
        self._input.document = Document()
        wish = asked(text)
        self._transcript.notes = wish.shown
        self._messages.scroll = 0
        if wish.quits:
            event.app.exit()
        elif wish.text:
            self._say(wish.text)

    def _end_of_input(self, event: KeyPressEvent) -> None:
        if self._input.text:
            event.current_buffer.delete()
        else:
            event.app.exit()

    def _page_down(self, _: KeyPressEvent) -> None:
        self._messages.move(-self._messages.page())
        self._mark_read()

    def _end(self, event: KeyPressEvent) -> None:
        if self._messages.scroll:
            self._messages.scroll = 0
            self._mark_read()
        else:
            buffer = event.current_buffer
            buffer.cursor_position += buffer.document.get_end_of_line_position()
