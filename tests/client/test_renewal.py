"""A token function is asked for a new token while the link lives; the link goes on, and so does the key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import longlink
from longlink import errors
from longlink.client import renewal
from longlink.errors import LonglinkError
from longlink.protocol.frames import body_name
from longlink.testing import run_server

from .double import running


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "LEAST_S", 0.01)


def test_a_token_function_is_asked_again_before_the_token_expires_and_the_link_goes_on() -> None:
    async def scene() -> None:
        asked: list[int] = []

        async def token() -> str:
            asked.append(len(asked))
            return "alice"

        async with running() as double:
            double.lifetime_ms = 100
            async with longlink.connect(double.url, token=token) as alice:
                await double.until(lambda: len([1 for frame in double.seen if frame.adjust.token]) >= 3)
                renewals = [frame.adjust for frame in double.seen if frame.adjust.token]
                assert [each.token for each in renewals][:3] == ["alice"] * 3
                assert all(each.heartbeat_ms == double.connects[0].connect.heartbeat_ms for each in renewals)
                assert len(double.connects) == 1, "it is the same link"
                assert len(asked) >= 4
                assert alice.user == "alice"
                double.lifetime_ms = 0
                double.cut()
                await double.until(lambda: len(double.connects) == 2)
                assert double.connects[1].connect.key.startswith("renewed-"), "the key of the newest token"

    asyncio.run(scene())


def test_a_refused_token_is_tried_again_and_the_terms_of_the_link_stay() -> None:
    async def scene() -> None:
        async with running() as double:
            double.lifetime_ms = 100
            double.token_refusals.append(LonglinkError(errors.TOKEN_INVALID, "no"))
            double.token_refusals.append(LonglinkError(errors.TOKEN_EARLY, "wait"))
            async with longlink.connect(double.url, token=lambda: "alice") as alice:
                await alice.background(True)
                await double.until(lambda: sum(bool(frame.adjust.token) for frame in double.seen) >= 3)
                assert len(double.connects) == 1
                said = [frame.adjust.background for frame in double.seen if body_name(frame) == "adjust"]
                assert all(said[said.index(True) :])

    asyncio.run(scene())


def test_a_token_that_is_a_text_is_not_renewed() -> None:
    async def scene() -> None:
        async with running() as double:
            double.lifetime_ms = 20
            async with longlink.connect(double.url, token="alice") as alice:
                chat = await alice.direct("bob")
                await chat.send("hello")
                await asyncio.sleep(0)
                assert all(not frame.adjust.token for frame in double.seen)

    asyncio.run(scene())


def test_a_client_of_a_real_server_outlives_its_tokens_on_one_link(tmp_path: Path) -> None:
    async def scene() -> None:
        with run_server(settings={"LONGLINK_AUTH_LEEWAY_MS": "0"}) as server:
            states: list[str] = []
            tokens: list[str] = []
            enough = asyncio.Event()

            def token() -> str:
                tokens.append(server.token("alice", days=3 / 86_400))
                if len(tokens) == 4:
                    enough.set()
                return tokens[-1]

            async with longlink.connect(
                server.url, token=token, on_state=lambda state: states.append(type(state).__name__)
            ) as alice:
                async with asyncio.timeout(30):
                    await enough.wait()
                chat = await alice.direct("bob")
                assert (await chat.send("still here")).seq == 1
            assert states == ["Connected"]
            assert not [line for line in server.log if line.get("event") == "refused"]

    asyncio.run(scene())


def test_a_token_of_a_clock_that_runs_ahead_does_not_end_the_client() -> None:
    async def scene() -> None:
        async with running() as double:
            double.connect_refusals.append(LonglinkError(errors.TOKEN_EARLY, "wait", retry_after_ms=10))
            async with longlink.connect(double.url, token="alice") as alice:
                assert alice.user == "alice"
            assert len(double.connects) == 2

    asyncio.run(scene())
