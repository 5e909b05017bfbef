"""`longlink sessions` and `longlink end` against a real server."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

import longlink
from longlink.cli.top import show
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
    assert re.fullmatch(r"phone  connected to gateway 0  \(session \d+\)", first)
    assert re.fullmatch(r"tab  connected to gateway 0  \(session \d+\)", second)


def test_sessions_that_wait_are_shown_with_the_time_that_is_left(server: RunningServer) -> None:
    asyncio.run(_while_connected(server, ("watch",), ["sessions", *data(server.data), "sam"]))
    said = run(["sessions", *data(server.data), "sam"]).stdout
    assert re.search(r"^watch  offline, session kept for another \d+ s", said, re.M)


def test_sessions_of_everybody_are_shown_with_their_users_up_to_a_limit(server: RunningServer) -> None:
    ask = ["sessions", *data(server.data), "--all"]
    said = asyncio.run(_while_connected(server, ("phone", "tab"), ask)).splitlines()
    assert any(re.fullmatch(r"sam  phone  connected to gateway 0.*", line) for line in said)
    assert re.fullmatch(r"\d+ shown; 2 are connected and \d+ offline", said[-1])
    one = asyncio.run(_while_connected(server, ("phone", "tab"), [*ask, "--limit", "1", "--json"])).splitlines()
    assert [json.loads(line)["user"] for line in one] == ["sam"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "config_invalid: expected a USER or --all"),
        (["sam", "--all"], "config_invalid: expected a USER or --all"),
        (["--all", "--limit", "0"], "field_invalid: limit: expected 1 to 1000, got 0"),
        (["--all", "--limit", "1001"], "field_invalid: limit: expected 1 to 1000, got 1001"),
    ],
)
def test_whose_sessions_are_wanted_is_given_in_one_way(server: RunningServer, words: list[str], said: str) -> None:
    assert said in run(["sessions", *data(server.data), *words]).stderr


def test_the_log_says_what_an_operator_did_to_whom_and_to_how_many(server: RunningServer) -> None:
    asyncio.run(_while_connected(server, ("phone",), ["end", *data(server.data), "sam", "--device", "phone"]))
    done = [entry for entry in server.log if entry["event"] == "operator" and entry["does"] == "end"][-1]
    assert (done["user"], done["device"], done["sessions"]) == ("sam", "phone", 1)


def test_top_leaves_no_lines_in_the_log(server: RunningServer) -> None:
    assert "connections" in run(["top", *data(server.data), "--once", "--every", "0.5"]).stdout
    run(["end", *data(server.data), "nobody"])
    done = [entry["does"] for entry in server.log if entry["event"] == "operator"]
    assert done[-1] == "end"
    assert "numbers" not in done


def test_top_shows_what_there_is_and_how_fast_it_grows(server: RunningServer) -> None:
    said = asyncio.run(_while_connected(server, ("phone",), ["top", *data(server.data), "--once", "--every", "0.5"]))
    lines = {line[:32].strip(): line[32:].strip() for line in said.splitlines()}
    assert lines["sessions connected"] == "1"
    assert lines["messages stored"] == "0 /s"
    assert 0 <= float(lines["CPU, of one core"].removesuffix(" /s")) < 4


def test_top_counts_from_0_when_the_server_was_started_again() -> None:
    before = {"longlink_messages_total": 1_000.0, 'longlink_errors_total{name="idle"}': 5.0}
    now = {"longlink_messages_total": 10.0, 'longlink_errors_total{name="idle"}': 9.0}
    assert show(before, now, 2.0) == [
        "messages stored                               5 /s",
        "errors idle                                   2 /s",
    ]


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
