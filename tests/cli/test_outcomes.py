"""The exit code says what was done, whatever becomes of the output; only what was printed counts as received."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from longlink.testing import RunningServer, run_server

from .program import PROGRAM, data, on_terminal, run


def shell(command: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the program with the redirections that the shell makes."""
    words = ["sh", "-c", f'exec "$@" {command}', "sh", *PROGRAM, *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)


def texts(server: RunningServer, user: str) -> list[str]:
    done = run(["tail", *data(server.data), "--as", user, "--json", "--history", "100", "--count", "1"])
    return [json.loads(line)["text"] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("sink", "said"), [(">&-", "standard output is closed"), (">/dev/full", "No space left")])
def test_a_message_that_was_stored_is_a_success_also_when_its_id_cannot_be_printed(
    server: RunningServer, sink: str, said: str
) -> None:
    reader = f"reader{len(said)}"
    done = shell(sink, ["send", *data(server.data), "--as", "ada", reader, "invoice 4711"])
    assert (done.returncode, said in done.stderr) == (0, True), done.stderr
    got = run(["tail", *data(server.data), "--as", reader, "--json", "--count", "1"])
    assert json.loads(got.stdout)["text"] == "invoice 4711"


def test_a_message_with_a_name_is_stored_once_however_often_it_is_sent(server: RunningServer) -> None:
    arguments = ["send", *data(server.data), "--as", "ann", "--client-id", "invoice-1", "bea", "pay"]
    first, again = run(arguments), run(arguments)
    assert (first.returncode, again.returncode, first.stdout) == (0, 0, again.stdout)
    other = run([*arguments[:-1], "pay more"])
    assert (other.returncode, "content_differs" in other.stderr) == (1, True)


def test_the_user_comes_first_or_behind_to_and_a_text_of_several_words_needs_quotes(server: RunningServer) -> None:
    for words in (["--to", "cat", "hi"], ["cat", "hi"]):
        assert run(["send", *data(server.data), "--as", "carl", *words]).returncode == 0
    for words in (["hi"], ["cat", "several", "words"], ["--to", "cat", "several", "words"]):
        done = run(["send", *data(server.data), "--as", "carl", *words])
        assert (done.returncode, "needs quotes" in done.stderr) == (2, True)


def test_standard_input_that_is_no_text_is_said(server: RunningServer) -> None:
    words = [*PROGRAM, "send", *data(server.data), "--as", "carl", "cat", "-"]
    done = subprocess.run(words, input=b"a\xff", capture_output=True, timeout=20, check=False, env={"PYTHONUTF8": "1"})
    assert (done.returncode, b"field_invalid" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("command", [["send", "bob", "x"], ["tail"], ["chat", "--plain", "bob"]])
def test_where_no_server_listens_it_says_so_at_once(server: RunningServer, command: list[str]) -> None:
    begun = time.monotonic()
    name, *words = command
    done = run([name, *data(server.data), "--as", "al", "--url", "ws://127.0.0.1:1", *words])
    assert (done.returncode, "no connection to ws://127.0.0.1:1: connection refused" in done.stderr) == (1, True)
    assert time.monotonic() - begun < 4.5


def test_a_certificate_of_ones_own_is_trusted_by_ca_and_explained_without(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    tls = {"LONGLINK_LISTEN_TLS_CERTIFICATE": str(certificate), "LONGLINK_LISTEN_TLS_KEY": str(key)}
    with run_server(settings=tls) as secure:
        send = ["send", *data(secure.data), "--as", "al", "bo", "hi"]
        done = run(send)
        assert (done.returncode, "--ca" in done.stderr) == (1, True)
        assert run([*send, "--ca", str(certificate)]).returncode == 0
        done = run([*send, "--ca", str(tmp_path / "nothing")])
        assert (done.returncode, "--ca: cannot read" in done.stderr) == (2, True)


def test_what_could_not_be_printed_is_not_received(server: RunningServer) -> None:
    for text in ("one", "two"):
        assert run(["send", *data(server.data), "--as", "dan", "eve", text]).returncode == 0
    tail = ["tail", *data(server.data), "--as", "eve", "--count", "1"]
    done = shell(">/dev/full", tail)
    assert (done.returncode, "No space left" in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    assert run(tail).stdout.rstrip().endswith("dan: one")
    assert run(tail).stdout.rstrip().endswith("dan: two")


def test_lines_of_a_pipe_are_all_sent_also_when_nobody_reads_the_answers(server: RunningServer) -> None:
    run(["send", *data(server.data), "--as", "fay", "gil", "hello"])
    words = [*PROGRAM, "chat", *data(server.data), "--as", "gil", "fay"]
    with subprocess.Popen(
        ["sh", "-c", 'exec "$@" >/dev/full', "sh", *words],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as chat:
        assert chat.stderr is not None
        assert chat.stdin is not None
        assert "cannot be printed any more" in chat.stderr.readline()
        chat.stdin.write("/one\ntwo\n")
        chat.stdin.close()
        assert chat.wait(20) == 0
    read = run(["tail", *data(server.data), "--as", "fay", "--count", "2"])
    assert [line.rpartition(": ")[2] for line in read.stdout.splitlines()] == ["/one", "two"]


def test_decode_on_a_terminal_says_that_it_waits() -> None:
    with on_terminal(["decode"]) as terminal:
        terminal.until("Reading standard input")


def test_commands_offer_only_the_flags_that_they_use_and_name_a_wrong_number() -> None:
    for command in ("token", "end", "sessions", "broadcast", "decode"):
        shown = run([command, "--help"]).stdout
        assert not any(flag in shown for flag in ("--listen", "--http", "--workers")), command
    for arguments in (["token", "--days", "x", "u"], ["tail", "--as", "u", "--count", "x"]):
        done = run(arguments)
        assert (done.returncode, "got 'x'" in done.stderr) == (2, True)
