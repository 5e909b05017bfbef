"""The load, seen from the bench: several load processes that obey the same orders at the same time.

Orders go out to all of them before any answer is awaited, so an order is also a barrier. Every answer has a deadline;
a load process that fails, dies or is late ends the run with what it said. Read next: load/__main__.py.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

ORDER_S: Final = 60.0
Answer = dict[str, Any]


class Member:
    """One load process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def order(self, what: str, arguments: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self, what: str, deadline_s: float) -> Answer:
        """Raises RuntimeError when the order failed, the process ended or nothing came in time."""
        try:
            line = self._answers.get(timeout=deadline_s)
        except queue.Empty:
            raise RuntimeError(f"load: {what} was not done within {deadline_s:.0f} s") from None
        answer: Answer = json.loads(line) if line else {"error": f"{what}: the load process ended"}
        if "error" in answer:
            raise RuntimeError(f"load: {answer['error']}")
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")


class Swarm:
    """Load processes in one role. Made by `swarm`."""

    def __init__(self, size: int) -> None:
        self._members = [Member() for _ in range(size)]

    def all(self, what: str, *, within_s: float = ORDER_S, **arguments: Any) -> list[Answer]:
        """The same order to all; their answers in order."""
        return self.each(what, [arguments] * len(self._members), within_s=within_s)

    def each(self, what: str, arguments: Sequence[Mapping[str, Any]], *, within_s: float = ORDER_S) -> list[Answer]:
        """One order, with arguments for each member."""
        for member, given in zip(self._members, arguments, strict=True):
            member.order(what, given)
        return [member.answer(what, within_s) for member in self._members]

    def end(self) -> None:
        for member in self._members:
            member.end()


@contextlib.contextmanager
def swarm(size: int) -> Iterator[Swarm]:
    """So many load processes, ended with the block."""
    made = Swarm(size)
    try:
        yield made
    finally:
        made.end()


def total(answers: Sequence[Answer], name: str) -> float:
    """The sum of one number over all members."""
    return float(sum(answer[name] for answer in answers))
