"""Every code block of the README and the guides runs against a real server, as a reader would type it."""

from __future__ import annotations

import asyncio
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

import longlink
from longlink.testing import RunningServer, run_server
from longlink.testing.hosts import UnavailableError

from .blocks import RUN, SHOWN, Block, blocks_of, check_json, check_settings, run_python, run_shell

ROOT: Final = Path(__file__).parents[2]
GUIDES: Final = sorted((ROOT / "docs/guides").glob("*.md"))
PAGES: Final = [ROOT / "README.md", *GUIDES]
ALL: Final = [block for page in PAGES for block in blocks_of(page)]


def _of(language: str) -> list[Block]:
    return [block for block in ALL if block.language == language]


def _pages(language: str) -> list[Path]:
    return sorted({block.page for block in _of(language)} - {ROOT / "README.md"})


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server() as running:
        yield running


@pytest.mark.parametrize("block", ALL, ids=str)
def test_a_block_says_in_which_language_it_is(block: Block) -> None:
    assert block.language in RUN | SHOWN


@pytest.mark.parametrize("block", _of("toml"), ids=str)
def test_settings_of_a_page_are_settings_of_the_server(block: Block, tmp_path: Path) -> None:
    check_settings(block, tmp_path)


@pytest.mark.parametrize("block", _of("json"), ids=str)
def test_json_of_a_page_is_json(block: Block) -> None:
    check_json(block)


@pytest.mark.parametrize("page", _pages("sh"), ids=lambda page: page.name)
def test_the_commands_of_a_page_work(page: Path, server: RunningServer, tmp_path: Path) -> None:
    # In one shell and one folder, so that what one block sets the next one has.
    script = "\n".join(block.text for block in blocks_of(page) if block.language == "sh")
    (tmp_path / "data").symlink_to(server.data)
    run_shell(_here(script, server), tmp_path, {"TOKEN": server.token("alice"), "USER_TOKEN": server.token("alice")})


@pytest.mark.parametrize("page", _pages("python"), ids=lambda page: page.name)
def test_the_python_of_a_page_works(page: Path, server: RunningServer, tmp_path: Path) -> None:
    async def whole() -> None:
        async with _names(server) as names:
            before: dict[str, Any] = {}
            for block in blocks_of(page):
                if block.language == "python":
                    # What the reader has is still there when a block before has closed a client of the same name.
                    before |= names
                    await run_python(Block(page, block.line, block.language, _here(block.text, server)), before)

    elsewhere = Path.cwd()
    os.chdir(tmp_path)
    try:
        asyncio.run(whole())
    except UnavailableError as reason:
        pytest.skip(str(reason))
    finally:
        os.chdir(elsewhere)


def test_the_application_of_the_embedding_guide_answers(server: RunningServer) -> None:
    async def whole() -> None:
        names: dict[str, Any] = {}
        for block in blocks_of(ROOT / "docs/guides/embedding.md"):
            await run_python(block, names)
        async with names["lifespan"](names["app"]):
            calls = httpx2.AsyncClient(transport=httpx2.ASGITransport(names["app"]), base_url="http://app")
            async with calls:
                login = (await calls.get("/login/alice")).json()
                assert (await calls.get("/notify/alice")).json() == {"seq": 1}
            async with longlink.connect(login["url"], token=login["token"]) as alice:
                event = await anext(event async for event in alice if isinstance(event, longlink.Message))
                assert event.text == "hello"

    asyncio.run(asyncio.wait_for(whole(), 30))


def test_the_program_of_the_readme_runs_as_it_is(server: RunningServer, tmp_path: Path) -> None:
    (block,) = [block for block in _of("python") if block.page.name == "README.md"]
    program = tmp_path / "snippet.py"
    program.write_text(_here(block.text, server))
    with subprocess.Popen(
        [sys.executable, "-u", str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as running:
        assert running.stdin
        assert running.stdout
        running.stdin.write(server.token("alice").encode() + b"\n")
        running.stdin.flush()
        shown = _until(running.stdout.fileno(), b"alice hello")
        running.kill()
    assert re.search(rb"stored as \d+", shown), shown.decode()
    assert b"alice hello" in shown, shown.decode()


def _until(descriptor: int, wanted: bytes) -> bytes:
    """What is printed until the wanted text was, or the end, or 20 s."""
    shown, end = b"", time.monotonic() + 20
    while wanted not in shown and select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
        part = os.read(descriptor, 65_536)
        if not part:
            break
        shown += part
    return shown


def _here(text: str, server: RunningServer) -> str:
    """The page's ports are those of a server with default settings; this one has others."""
    return re.sub(r"127\.0\.0\.1:7701", server.http.partition("://")[2], text).replace(
        "127.0.0.1:7700", f"127.0.0.1:{server.port}"
    )


@asynccontextmanager
async def _names(server: RunningServer) -> AsyncIterator[dict[str, Any]]:
    """What the pages say that their reader has: a token, and a client with a chat that bob has written to."""
    async with (
        longlink.connect(server.url, token=server.token("alice"), device="reader") as alice,
        longlink.connect(server.url, token=server.token("bob")) as bob,
    ):
        await (await bob.direct("alice")).send("hello alice")
        message = await anext(event async for event in alice if isinstance(event, longlink.Message))
        chat = await alice.direct("bob")

        async def handle(message: longlink.Message) -> None:
            assert message.text

        yield {
            "asyncio": asyncio,
            "longlink": longlink,
            "server": server,
            "url": server.url,
            "token": server.token("alice"),
            "alice": alice,
            "chat": chat,
            "message": message,
            "handle": handle,
        }
