"""A short link in memory, whose handler answers as a test says. Tokens, keys and rates are the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2 as httpx

from longlink.access.http import Callers, Proxies, ShortLink, Strangers, build_http
from longlink.access.keys import read_data_key
from longlink.access.resume import ResumeKeys
from longlink.access.tokens import Signer, Verifier
from longlink.config import Auth
from longlink.errors import LonglinkError
from longlink.ops.metrics import Counts
from longlink.protocol.codec import Encoding, encode
from longlink.protocol.frames import Frame
from longlink.routing.calls import Call, Reply, refusal
from longlink.routing.rates import Rate
from longlink.routing.sessions import Session
from longlink.routing.work import HTTP_CALL, Accounts

NOW_S = 1_790_000_000.0
MOST_BYTES = 1_000
Answer = Callable[[Call], Frame | LonglinkError]


class Stage:
    """answer: what logic says to a call. now_s: the clock of tokens, keys and rates."""

    def __init__(
        self,
        folder: Path,
        answer: Answer,
        rate: int = 0,
        burst: int = 10,
        strangers_rate: int = 0,
        proxies: Sequence[str] = (),
    ) -> None:
        self.now_s = NOW_S
        self.answer = answer
        self.batches: list[list[Call]] = []
        self.counts = Counts()
        verifier = Verifier.from_config(Auth(), folder)
        self.keys = ResumeKeys.from_folder(folder)
        self._signer = Signer(read_data_key(folder), lambda: self.now_s)
        callers = Callers(verifier, self.keys, lambda: self.now_s)
        self.accounts = Accounts(rate * HTTP_CALL, burst * HTTP_CALL, lambda: self.now_s)
        strangers = Strangers(Rate(strangers_rate, burst, lambda: self.now_s), self.counts, Proxies(proxies))
        link = ShortLink(callers, self.accounts, self._handle, self.counts, MOST_BYTES, strangers)
        self.app = build_http(ready=_ready, short_link=link, strangers=strangers, counts=self.counts, links_port=7700)

    def token(self, user: str = "alice") -> str:
        return self._signer.sign(user, days=1)

    def key(self, user: str = "alice", link: int = 8) -> str:
        session = Session(user, "phone", "ios", 7, link, 0, Encoding.BINARY)
        return self.keys.make(session, self.now_s + 60)

    def post(
        self, path: str, body: object = None, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """With a token of alice, unless headers say otherwise."""
        sent = self.bearer() | (headers or {})
        options = more or {"json": body or {}}
        return self.ask("POST", path, headers=sent, **options)

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token()}"}

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self.ask_within(method, path, **more))

    async def ask_within(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **more)

    async def _handle(self, calls: Sequence[Call]) -> list[Reply]:
        self.batches.append(list(calls))
        return [self._reply(call) for call in calls]

    def _reply(self, call: Call) -> Reply:
        said = self.answer(call)
        if isinstance(said, LonglinkError):
            return refusal(said, call.frame.id)
        said.id = call.frame.id
        return Reply(encode(said), 0)


async def _ready() -> list[str]:
    return []
