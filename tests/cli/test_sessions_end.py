"""`longlink sessions` and `longlink end` against a real server."""

from __future__ import annotations

import asyncio
import json

import longlink
from longlink.testing import RunningServer

from .program import data, run


async def _while_connected(server: RunningServer, devices: tuple[str, ...], ask: list[str]) -> str:
    """What the command writes while a user is connected."""
    clients = [longlink.connect(server.url, token=server.token("sam"), device=device) for device in devices]
    for client in clients:
        await client.__aenter__()
    try:
        done = await asyncio.to_thread(run, ask)
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        for client in clients:
            await client.__aexit__(None, None, None)
    return done.stdout


def test_sessions_are_shown_a_line_each(server: RunningServer) -> None:
    said = asyncio.run(_while_connected(server, ("phone", "tab"), ["sessions", *data(server.data), "sam"]))
    first, second = said.splitlines()
    assert first.startswith("phone: session ")
    assert first.endswith(", connected, gateway 0")
    assert second.startswith("tab: session ")


def test_sessions_are_objects_for_programs(server: RunningServer) -> None:
    said = asyncio.run(_while_connected(server, ("phone",), ["sessions", *data(server.data), "sam", "--json"]))
    shown = [json.loads(line) for line in said.splitlines()]
    assert [each["device"] for each in shown if each["attached"]] == ["phone"]


def test_an_operator_ends_one_device_and_then_the_others(server: RunningServer) -> None:
    only_tab = ["end", *data(server.data), "sam", "--device", "tab"]
    said = asyncio.run(_while_connected(server, ("phone", "tab"), only_tab))
    assert said == "ended 1 session\n"
    assert run(["end", *data(server.data), "nobody"]).stdout == "ended 0 sessions\n"
    run(["end", *data(server.data), "sam"])
    assert run(["sessions", *data(server.data), "sam"]).stdout == "sam has no sessions\n"
    assert run(["sessions", *data(server.data), "sam", "--json"]).stdout == ""


def test_what_is_no_user_is_one_line_and_what_to_do(server: RunningServer) -> None:
    for command in ("sessions", "end"):
        done = run([command, *data(server.data), ""])
        assert done.returncode == 1
        assert done.stderr.startswith("longlink: field_invalid: user: expected 1 to 64 bytes")
