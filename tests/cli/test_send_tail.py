"""`longlink send` and `longlink tail` against a real server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import longlink
from longlink.testing import RunningServer, run_server

from .program import data, run


def meet(server: RunningServer, *users: str) -> None:
    """Users exist from their first connection on."""

    async def visit(user: str) -> None:
        async with longlink.connect(server.url, token=server.token(user)):
            pass

    for user in users:
        asyncio.run(visit(user))


def send(server: RunningServer, sender: str, to: str, text: str, stdin: str = "") -> str:
    done = run(["send", *data(server.data), "--as", sender, "--to", to, text], stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_was_sent_is_printed_by_tail_with_the_same_id(server: RunningServer) -> None:
    meet(server, "ann", "ben")
    sent = send(server, "ann", "ben", "hello ben")
    done = run(["tail", *data(server.data), "--as", "ben", "--json", "--count", "1"])
    printed = json.loads(done.stdout)
    assert (printed["id"], printed["sender"], printed["text"]) == (sent, "ann", "hello ben")


def test_what_was_printed_counts_as_received_and_history_shows_it_again(server: RunningServer) -> None:
    meet(server, "cid", "dan")
    for text in ("one", "two", "three"):
        send(server, "cid", "dan", text)
    first = run(["tail", *data(server.data), "--as", "dan", "--count", "3"])
    assert [line.rpartition(": ")[2] for line in first.stdout.splitlines()] == ["one", "two", "three"]
    send(server, "cid", "dan", "four")
    again = run(["tail", *data(server.data), "--as", "dan", "--json", "--count", "1"])
    assert [json.loads(line)["text"] for line in again.stdout.splitlines()] == ["four"]


def test_a_server_with_an_audience_of_its_own_is_given_tokens_for_it() -> None:
    with run_server(settings={"LONGLINK_AUTH_AUDIENCE": "my-app", "LONGLINK_AUTH_ISSUER": "me"}) as strict:
        meet(strict, "ann", "ben")
        assert send(strict, "ann", "ben", "hello").endswith(":1")


def test_a_dash_sends_all_of_stdin_as_one_message(server: RunningServer) -> None:
    meet(server, "eva", "fay")
    send(server, "eva", "fay", "-", "first line\nsecond line\n")
    done = run(["tail", *data(server.data), "--as", "fay", "--count", "1"])
    assert done.stdout.rstrip().endswith("eva: first line ⏎ second line")


def test_a_message_cannot_play_tricks_with_the_terminal(server: RunningServer) -> None:
    meet(server, "gus", "hal")
    send(server, "gus", "hal", "\x1b[2Jgone\x07 \u202eesrever")
    done = run(["tail", *data(server.data), "--as", "hal", "--count", "1"])
    assert "\x1b" not in done.stdout
    assert "␛[2Jgone␇ \ufffdesrever" in done.stdout


def test_a_token_does_instead_of_the_data_folder(server: RunningServer, tmp_path: Path) -> None:
    meet(server, "ida", "jon")
    file = tmp_path / "token"
    file.write_text(server.token("ida") + "\n")
    for token in (server.token("ida"), f"@{file}"):
        done = run(["send", "--url", server.url, "--token", token, "--to", "jon", "hi"])
        assert done.returncode == 0, done.stderr


def test_failures_are_one_line_and_what_to_do(server: RunningServer, tmp_path: Path) -> None:
    meet(server, "kim")
    cases = {
        "field_invalid": ["send", *data(server.data), "--as", "kim", "--to", "kim", ""],
        "data_unusable": ["send", *data(tmp_path), "--as", "kim", "--to", "kim", "x"],
        "token_invalid": ["send", "--url", server.url, "--token", "nonsense", "--to", "kim", "x"],
        "config_invalid": ["send", "--url", "http://x", "--token", "t", "--to", "kim", "x"],
    }
    for name, arguments in cases.items():
        done = run(arguments)
        assert done.returncode in (1, 2), (name, done)
        assert done.stderr.startswith(f"longlink: {name}: "), (name, done.stderr)
        assert done.stdout == ""


def test_a_token_comes_from_a_file_or_from_stdin(server: RunningServer, tmp_path: Path) -> None:
    meet(server, "gus", "hal")
    (tmp_path / "token").write_text(f"\ufeff{server.token('gus')}\n")
    to = ["send", "--url", server.url, "--to", "hal"]
    assert run([*to, "--token", f"@{tmp_path / 'token'}", "one"]).returncode == 0
    assert run([*to, "--token", "-", "two"], f"{server.token('gus')}\n").returncode == 0
    tailed = run(["tail", "--url", server.url, "--token", "-", "--count", "2"], server.token("hal") + "\n")
    assert [line.rpartition(": ")[2] for line in tailed.stdout.splitlines()] == ["one", "two"]
    nothing = run([*to, "--token", "-", "three"])
    assert "--token -: expected a token on stdin" in nothing.stderr
    missing = run([*to, "--token", f"@{tmp_path / 'none'}", "three"])
    assert f"cannot read {tmp_path / 'none'}: No such file" in missing.stderr


def test_lines_after_the_token_are_what_chat_sends(server: RunningServer) -> None:
    meet(server, "ivy", "joe")
    told = f"{server.token('ivy')}\nfirst\nsecond\n"
    assert run(["chat", "--url", server.url, "--token", "-", "joe"], told).returncode == 0
    tailed = run(["tail", *data(server.data), "--as", "joe", "--count", "2"])
    assert [line.rpartition(": ")[2] for line in tailed.stdout.splitlines()] == ["first", "second"]
