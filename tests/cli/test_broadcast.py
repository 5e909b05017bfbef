"""`longlink broadcast` against real servers, and who shows what it says."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import longlink
from longlink.testing import RunningServer, run_server

from .program import PROGRAM, data, on_terminal, run


async def _hear(server: RunningServer, users: int, text: str) -> list[longlink.Notice]:
    """What so many connected users get when the operator says this."""
    heard: list[longlink.Notice] = []

    async def listen(client: longlink.Client) -> None:
        async for event in client:
            if isinstance(event, longlink.Notice):
                heard.append(event)
                return

    clients = [longlink.connect(server.url, token=server.token(f"user-{n}")) for n in range(users)]
    for client in clients:
        await client.__aenter__()
    try:
        done = await asyncio.to_thread(run, ["broadcast", *data(server.data), text])
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"handed to {users} sessions on {_gateways(server)}\n"
        await asyncio.wait_for(asyncio.gather(*map(listen, clients)), 10)
    finally:
        for client in clients:
            await client.__aexit__(None, None, None)
    return heard


def _gateways(server: RunningServer) -> str:
    count = max(1, len(server.workers) - 1)
    return "1 gateway" if count == 1 else f"{count} gateways"


def test_a_notice_reaches_everybody_who_is_connected_to_one_process(server: RunningServer) -> None:
    heard = asyncio.run(_hear(server, 3, "back at nine"))
    assert [(notice.text, notice.custom) for notice in heard] == [("back at nine", None)] * 3


def test_a_notice_reaches_everybody_on_all_gateways() -> None:
    with run_server(settings={"LONGLINK_SERVER_WORKERS": "2"}) as server:
        assert len(asyncio.run(_hear(server, 12, "back at ten"))) == 12
        server.kill_worker("logic")
        assert len(asyncio.run(_hear(server, 12, "back at eleven"))) == 12


def test_tail_and_chat_show_it_and_it_counts_for_nothing(server: RunningServer) -> None:
    command = ["tail", *data(server.data), "--as", "tim", "--json", "--count", "1"]
    with subprocess.Popen([*PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        try:
            _show(server, tail)
            assert tail.wait(10) == 0
        finally:
            tail.kill()


def _show(server: RunningServer, tail: subprocess.Popen[str]) -> None:
    assert tail.stdout is not None
    assert tail.stderr is not None
    assert tail.stderr.readline() == "connected as tim\n"
    with on_terminal(["chat", *data(server.data), "--as", "tom", "tim"]) as screen:
        screen.until("● ws")
        run(["broadcast", *data(server.data), "the \x1b[2J end"])
        assert json.loads(tail.stdout.readline())["text"] == "the \x1b[2J end"
        screen.until("notice: the ␛[2J end")
    run(["send", *data(server.data), "--as", "tom", "--to", "tim", "hello"])
    assert json.loads(tail.stdout.readline())["text"] == "hello"


def test_what_cannot_be_said_is_one_line_and_what_to_do(server: RunningServer, tmp_path: Path) -> None:
    for name, folder, text in (("field_invalid", server.data, ""), ("data_unusable", tmp_path, "hello")):
        done = run(["broadcast", *data(folder), text])
        assert done.returncode == 1, done
        assert done.stderr.startswith(f"longlink: {name}: ")
        assert done.stdout == ""


def test_a_dash_says_what_stdin_says(server: RunningServer) -> None:
    done = run(["broadcast", *data(server.data), "-"], "two\nlines\n")
    assert done.stdout == "handed to 0 sessions on 1 gateway\n"
