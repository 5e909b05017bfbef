"""The load, seen from the bench: several load processes that obey the same orders at the same time.

Orders go out to all of them before any answer is awaited, so an order is also a barrier. Every answer has a deadline;
a load process that fails, dies or is late ends the run with what it said. Read next: load.py.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from longlink.bench.progress import SHOWN

ORDER_S: Final = 60.0
TELL_S: Final = 0.25

Answer = dict[str, Any]
Watch = Callable[[Mapping[str, float]], None]
"""Is told the counts of all members together while an order is carried out."""


class Member:
    """One load process."""

    def __init__(self) -> None:
        self.so_far: Mapping[str, float] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "longlink.bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answers: queue.Queue[Answer] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def order(self, what: str, arguments: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the answer says that it has ended
            self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            self._process.stdin.flush()

    def answer(self, within_s: float) -> Answer | None:
        """None when there is none in time. Raises RuntimeError when the order failed or the process ended."""
        try:
            answer = self._answers.get(timeout=within_s)
        except queue.Empty:
            return None
        if "error" in answer:
            raise RuntimeError(f"load: {answer['error']}")
        return answer

    def end(self) -> None:
        """Closing its stdin would do; this does not wait for what it is at."""
        self._process.kill()
        self._process.communicate()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said: Answer = json.loads(line)
            if "so_far" in said:
                self.so_far = said["so_far"]
            else:
                self._answers.put(said)
        self._answers.put({"error": "the load process ended"})


class Swarm:
    """Load processes with one plan. Made by `swarm`."""

    def __init__(self, size: int, watch: Watch) -> None:
        self._watch = watch
        self.members: list[Member] = []
        for _ in range(size):
            self.members.append(Member())

    def all(self, what: str, *, within_s: float = ORDER_S, **arguments: Any) -> list[Answer]:
        """The same order to all; their answers in order."""
        return self.each(what, [arguments] * len(self.members), within_s=within_s)

    def each(self, what: str, arguments: Sequence[Mapping[str, Any]], *, within_s: float = ORDER_S) -> list[Answer]:
        """One order, with arguments for each member."""
        for member, given in zip(self.members, arguments, strict=True):
            member.so_far = {}
            member.order(what, given)
        give_up = time.monotonic() + within_s
        return [self._answer(member, what, give_up, within_s) for member in self.members]

    def _answer(self, member: Member, what: str, give_up: float, within_s: float) -> Answer:
        while (answer := member.answer(TELL_S)) is None:
            if time.monotonic() > give_up:
                raise RuntimeError(f"load: {what} was not done within {within_s:.0f} s")
            self._watch({name: sum(each.so_far.get(name, 0) for each in self.members) for name in SHOWN})
        member.so_far = answer
        return answer

    def end(self) -> None:
        for member in self.members:
            member.end()


@contextlib.contextmanager
def swarm(size: int, watch: Watch) -> Iterator[Swarm]:
    """So many load processes, ended with the block."""
    made = Swarm(size, watch)
    try:
        yield made
    finally:
        made.end()


def total(answers: Sequence[Answer], name: str) -> float:
    """The sum of one number over all members."""
    return float(sum(answer[name] for answer in answers))
