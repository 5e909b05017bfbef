"""Lines for a reader that does not read, has gone, or has no room: nobody waits, and what is lost is counted."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from typing import Final

import pytest

from longlink.ops.line_writer import LineWriter

PATIENCE_S: Final = 10.0
LINE: Final = "x" * 99
"""100 bytes with its newline."""


class Pipe:
    """A pipe that holds 4 KiB, as a reader that is stuck leaves it."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 4096)

    def fill(self) -> int:
        """Returns how many bytes it took. The flags of the write end stay as they are."""
        filling = os.open(f"/proc/self/fd/{self.write_end}", os.O_WRONLY | os.O_NONBLOCK)
        try:
            return os.write(filling, b"." * 4096)
        finally:
            os.close(filling)

    def read_lines(self, count: int) -> list[str]:
        """So many lines, as they come."""
        got = b""
        while got.count(b"\n") < count:
            got += os.read(self.read_end, 65_536)
        return got.decode().splitlines()

    def stop_reading(self) -> None:
        os.close(self.read_end)
        self.read_end = -1

    def close(self) -> None:
        for end in (self.read_end, self.write_end):
            if end >= 0:
                os.close(end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def report(lines: int) -> str:
    return f"{lines} lines lost"


def test_lines_are_written_in_order(pipe: Pipe) -> None:
    writer = LineWriter(pipe.write_end, report)
    for number in range(10):
        writer.put(f"line {number}")
    assert pipe.read_lines(10) == [f"line {number}" for number in range(10)]
    assert writer.flush(PATIENCE_S)
    assert writer.lost == 0


def test_text_that_is_no_unicode_is_written_all_the_same(pipe: Pipe) -> None:
    LineWriter(pipe.write_end, report).put("half \ud800")
    assert pipe.read_lines(1) == ["half \\ud800"]


def test_nobody_waits_for_a_reader_that_does_not_read_and_what_is_over_the_bound_is_lost(pipe: Pipe) -> None:
    filled = pipe.fill()
    writer = LineWriter(pipe.write_end, report, most_waiting=1_000)
    for _ in range(100):
        writer.put(LINE)
    assert writer.lost == 90
    assert not writer.flush(0.01)
    os.read(pipe.read_end, filled)
    assert pipe.read_lines(11) == [LINE] * 10 + ["90 lines lost"]


def test_lines_are_lost_until_half_of_what_waits_is_written_so_that_reports_stay_few(pipe: Pipe) -> None:
    filled = pipe.fill()
    writer = LineWriter(pipe.write_end, report, most_waiting=20_000)
    for _ in range(400):
        writer.put(LINE)
    os.read(pipe.read_end, filled)
    writer.put(LINE)
    assert writer.lost == 201, "the pipe takes 40 lines, so more than half of the bound waits still"
    assert pipe.read_lines(201) == [LINE] * 200 + ["201 lines lost"]


def test_the_report_comes_before_the_next_line(pipe: Pipe) -> None:
    filled = pipe.fill()
    writer = LineWriter(pipe.write_end, report, most_waiting=200)
    for _ in range(3):
        writer.put(LINE)
    os.read(pipe.read_end, filled)
    assert pipe.read_lines(3)[2] == "1 lines lost"
    writer.put("next")
    assert pipe.read_lines(1) == ["next"]


def test_a_reader_that_has_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    pipe.stop_reading()
    writer = LineWriter(pipe.write_end, report)
    for _ in range(5):
        writer.put(LINE)
    assert writer.flush(PATIENCE_S), "nothing waits for a reader that has gone"
    assert writer.lost == 5


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    with open("/dev/full", "wb") as full:
        writer = LineWriter(full.fileno(), report)
        writer.put(LINE)
        assert writer.flush(PATIENCE_S)
        assert writer.lost == 1


def test_a_descriptor_that_is_not_open_costs_lines_and_nothing_else() -> None:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.close(descriptor)
    writer = LineWriter(descriptor, report)
    writer.put(LINE)
    assert writer.flush(PATIENCE_S)
    assert writer.lost == 1


def test_once_lines_are_written_again_one_line_says_how_many_were_not(pipe: Pipe) -> None:
    pipe.stop_reading()
    writer = LineWriter(pipe.write_end, report)
    for _ in range(3):
        writer.put(LINE)
    assert writer.flush(PATIENCE_S)
    pipe.read_end = os.open(f"/proc/self/fd/{pipe.write_end}", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(pipe.read_end, True)
    writer.put("back")
    assert pipe.read_lines(2) == ["back", "3 lines lost"]
    assert writer.lost == 3


def test_a_descriptor_that_another_program_has_made_non_blocking_loses_nothing(pipe: Pipe) -> None:
    filled = pipe.fill()
    os.set_blocking(pipe.write_end, False)
    writer = LineWriter(pipe.write_end, report)
    writer.put(LINE)
    os.read(pipe.read_end, filled)
    assert pipe.read_lines(1) == [LINE]


def test_the_flags_of_a_shared_descriptor_stay_as_they_are(pipe: Pipe) -> None:
    before = fcntl.fcntl(pipe.write_end, fcntl.F_GETFL)
    writer = LineWriter(pipe.write_end, report)
    writer.put(LINE)
    assert writer.flush(PATIENCE_S)
    assert fcntl.fcntl(pipe.write_end, fcntl.F_GETFL) == before


def test_a_flush_waits_for_what_is_being_written(pipe: Pipe) -> None:
    filled = pipe.fill()
    writer = LineWriter(pipe.write_end, report)
    writer.put(LINE)
    reader = threading.Thread(target=lambda: (os.read(pipe.read_end, filled), pipe.read_lines(1)))
    assert not writer.flush(0.0)
    reader.start()
    assert writer.flush(PATIENCE_S)
    reader.join()
