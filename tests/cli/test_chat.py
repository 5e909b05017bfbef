"""`longlink chat` against a real server: in a pipe, and on a terminal."""

from __future__ import annotations

import asyncio
import json

import longlink
from longlink.testing import RunningServer

from .program import Terminal, data, on_terminal, run

ENTER, ALT_ENTER, CTRL_C, CTRL_D, PAGE_UP = "\r", "\x1b\r", "\x03", "\x04", "\x1b[5~"


def wrote(server: RunningServer, sender: str, to: str, *texts: str) -> None:
    """Both users exist, and sender has written to the other one."""

    async def scene() -> None:
        async with (
            longlink.connect(server.url, token=server.token(to)),
            longlink.connect(server.url, token=server.token(sender)) as writing,
        ):
            chat = await writing.direct(to)
            for text in texts:
                await chat.send(text)

    asyncio.run(scene())


def leave(terminal: Terminal, key: str = CTRL_C) -> None:
    terminal.type(key)
    assert terminal.ended() == 0
    assert "Traceback" not in terminal.written


def test_in_a_pipe_each_line_is_sent_and_it_leaves_at_the_end_of_input(server: RunningServer) -> None:
    wrote(server, "bo", "al")
    done = run(["chat", *data(server.data), "--as", "al", "bo"], "one\n\ntwo\n")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    read = run(["tail", *data(server.data), "--as", "bo", "--count", "2"])
    assert [line.partition("  ")[2] for line in read.stdout.splitlines()] == ["al: one", "al: two"]


def test_in_a_pipe_messages_of_the_peer_are_lines_of_stdout(server: RunningServer) -> None:
    wrote(server, "cy", "di", "hello", "two\nlines")
    with on_terminal(["chat", *data(server.data), "--as", "di", "--plain", "cy"]) as terminal:
        terminal.until("cy: two ⏎ lines")
        assert "cy: hello\r\ncy: two ⏎ lines" in terminal.written


def test_on_a_terminal_the_recent_history_is_shown_and_both_keys_leave(server: RunningServer) -> None:
    wrote(server, "ed", "flo", "an old message")
    for key in (CTRL_C, CTRL_D):
        with on_terminal(["chat", *data(server.data), "--as", "flo", "ed"]) as terminal:
            terminal.until("an old message")
            leave(terminal, key)


def test_own_messages_show_when_they_are_stored_and_when_they_have_arrived(server: RunningServer) -> None:
    wrote(server, "gil", "hal")
    with on_terminal(["chat", *data(server.data), "--as", "hal", "gil"]) as hal:
        hal.until("Enter sends")
        hal.type("are you there?" + ENTER)
        hal.until("✓")
        with on_terminal(["chat", *data(server.data), "--as", "gil", "hal"]) as gil:
            gil.until("are you there?")
            hal.until("✓")
            gil.type("yes" + ALT_ENTER + "I am" + ENTER)
            hal.until("I am")
            leave(gil)
        leave(hal)


def test_a_peer_who_has_never_connected_finds_the_message_later(server: RunningServer) -> None:
    with on_terminal(["chat", *data(server.data), "--as", "ian", "jo"]) as terminal:
        terminal.until("Enter sends")
        terminal.type("welcome" + ENTER)
        terminal.until("✓")
        leave(terminal)
    read = run(["tail", *data(server.data), "--as", "jo", "--count", "1"])
    assert read.stdout.rstrip().endswith("ian: welcome")


def test_without_a_server_it_says_so_counts_down_and_still_leaves(server: RunningServer) -> None:
    arguments = ["chat", *data(server.data), "--url", "ws://127.0.0.1:1", "--as", "lea", "max"]
    with on_terminal(arguments) as terminal:
        terminal.until("offline")
        terminal.type("not lost yet" + ENTER)
        terminal.until("…")
        leave(terminal)
        assert "1 message may not have reached the server" in terminal.written


def test_a_refused_token_ends_the_screen_with_the_reason(server: RunningServer) -> None:
    with on_terminal(["chat", "--url", server.url, "--token", "nonsense", "max"]) as terminal:
        assert terminal.ended() == 1
        assert "longlink: token_invalid" in terminal.written


def test_scrolling_to_the_top_reads_older_messages(server: RunningServer) -> None:
    wrote(server, "ned", "oda", "the very first one", *(f"message {number}" for number in range(120)))
    with on_terminal(["chat", *data(server.data), "--as", "oda", "ned"]) as terminal:
        terminal.until("message 119")
        for _ in range(20):
            terminal.type(PAGE_UP)
        terminal.until("first one")
        leave(terminal)


def test_a_tiny_terminal_does_no_harm(server: RunningServer) -> None:
    wrote(server, "pia", "quin", "a long message that does not fit into such a small window at all")
    with on_terminal(["chat", *data(server.data), "--as", "quin", "pia"], columns=20, rows=6) as terminal:
        terminal.until("at all")
        leave(terminal)


def test_what_is_shown_is_read_and_the_other_side_sees_it(server: RunningServer) -> None:
    wrote(server, "ria", "sam", "did you see this?")
    with on_terminal(["chat", *data(server.data), "--as", "ria", "sam"], columns=100) as ria:
        ria.until("did you see this?")
        with on_terminal(["chat", *data(server.data), "--as", "sam", "ria"]) as sam:
            sam.until("did you see this?")
            ria.until("✓✓ read")
            leave(sam)
        leave(ria)


def test_a_slash_begins_a_command_and_two_a_text(server: RunningServer) -> None:
    wrote(server, "tom", "uma")
    for plain in ([], ["--plain"]):
        with on_terminal(["chat", *data(server.data), "--as", "uma", *plain, "tom"], columns=120) as terminal:
            if not plain:
                terminal.until("Enter sends")
            terminal.type("/help" + ENTER)
            terminal.until("/quit")
            terminal.type("/halp" + ENTER)
            terminal.until("/halp;")
            terminal.type("//etc/hosts" + ENTER)
            terminal.until("/etc/hosts")
            terminal.type("/quit" + ENTER)
            assert terminal.ended() == 0
    read = run(["tail", *data(server.data), "--as", "tom", "--json", "--count", "1"])
    assert json.loads(read.stdout)["text"] == "/etc/hosts"


def test_without_a_server_the_status_says_when_it_tries_again_and_why(server: RunningServer) -> None:
    arguments = ["chat", *data(server.data), "--url", "ws://127.0.0.1:1", "--as", "lea", "max"]
    with on_terminal(arguments) as terminal:
        terminal.until("Reconnecting")
        terminal.until("(connection refused)")
        leave(terminal)
