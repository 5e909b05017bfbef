"""The operator's door, opened as operators do it."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from longlink import errors
from longlink.access import control
from longlink.access.control import Control, ask
from longlink.errors import LonglinkError
from longlink.ops.sockets import connect_in


async def greet(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"said": f"hello {arguments['name']}"}


async def refuse(_: dict[str, Any]) -> dict[str, Any]:
    raise LonglinkError(errors.FIELD_INVALID, "not like that")


def play(folder: Path, story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        door = Control(folder, {"greet": greet, "refuse": refuse})
        await door.start()
        try:
            await story()
        finally:
            await door.stop()
            await door.stop()

    asyncio.run(asyncio.wait_for(whole(), 20))


def raw(folder: Path, line: bytes) -> dict[str, Any]:
    with connect_in(folder, control.NAME) as door:
        door.sendall(line)
        with door.makefile("rb") as answers:
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer


def test_what_is_asked_is_done_and_answered(tmp_path: Path) -> None:
    async def story() -> None:
        assert stat.S_IMODE((tmp_path / control.NAME).stat().st_mode) == 0o600
        assert await asyncio.to_thread(ask, tmp_path, "greet", {"name": "älice"}) == {"said": "hello älice"}

    play(tmp_path, story)
    assert not (tmp_path / control.NAME).exists()


def test_a_refusal_is_the_error_of_the_server(tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(LonglinkError, match="not like that") as caught:
            await asyncio.to_thread(ask, tmp_path, "refuse", {})
        assert caught.value.row is errors.FIELD_INVALID
        with pytest.raises(LonglinkError, match="expected one of greet, refuse, got 'dance'"):
            await asyncio.to_thread(ask, tmp_path, "dance", {})

    play(tmp_path, story)


@pytest.mark.parametrize("line", [b"\n", b"nonsense\n", b"[]\n", b'{"do": "greet"}\n', b'{"do": [], "with": {}}\n'])
def test_what_is_no_request_is_told_what_one_looks_like(tmp_path: Path, line: bytes) -> None:
    async def story() -> None:
        answer = await asyncio.to_thread(raw, tmp_path, line)
        assert answer["error"]["code"] == errors.FRAME_MALFORMED.code
        assert answer["error"]["message"].startswith('expected {"do": NAME, "with": {...}}')

    play(tmp_path, story)


def test_a_line_without_end_is_refused_at_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LONGEST_LINE", 1_000)

    async def story() -> None:
        answer = await asyncio.to_thread(raw, tmp_path, b"x" * 2_500)
        assert answer["error"]["code"] == errors.FRAME_MALFORMED.code

    play(tmp_path, story)


def test_a_request_beyond_the_bound_is_refused_before_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "LONGEST_LINE", 1_000)
    with pytest.raises(LonglinkError, match="at most 1000 bytes as JSON, got 20") as caught:
        ask(tmp_path, "greet", {"name": "x" * 2_000})
    assert caught.value.row is errors.FRAME_TOO_LARGE


def test_whoever_says_nothing_is_let_go_and_a_crowd_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ASK_S", 0.2)
    monkeypatch.setattr(control, "MOST", 1)

    async def story() -> None:
        with connect_in(tmp_path, control.NAME) as silent, connect_in(tmp_path, control.NAME) as another:
            for one in (another, silent):
                assert await asyncio.to_thread(one.recv, 1) == b""

    play(tmp_path, story)


def test_without_a_server_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LonglinkError, match=f"no server answers at {tmp_path}/control.sock") as caught:
        ask(tmp_path, "greet", {})
    assert caught.value.row is errors.DATA_UNUSABLE
