"""One load process: reads orders as JSON lines on stdin, carries them out one after the other, answers on stdout.

An order is {"do": name, ...}; it is answered with one line when it is done: a JSON object, {"error": ...} when it
failed. Before that there may be lines {"so_far": counts}. The first order is {"do": "be", "plan": ...}. The end of
stdin ends the process. All messages are the work of `longlink._core.Load`; this hands orders on. Read next: swarm.py.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from longlink._core import Load

PAUSE_S: Final = 0.02
TELL_S: Final = 0.25
CHUNK: Final = 500
"""Tokens that are signed ahead of the connections that need them."""
DEVICE: Final = "bench"

Answer = dict[str, Any]


class Crew:
    """Carries out orders; each method is one."""

    def __init__(self) -> None:
        self._load: Load

    def be(self, **outline: Any) -> Answer:
        """Arguments are those of `Load`."""
        self._load = Load(**outline)
        return {}

    def connect(self, count: int) -> Answer:
        """So many more connections that say nothing of who they are."""
        wanted = self._load.counts()["joined"] + count
        self._load.connect([b""] * count)
        return self._until(lambda counts: counts["joined"] >= wanted)

    def enter(self, users: Sequence[str], data: str) -> Answer:
        """A connection for each user, with a token signed by the key of the data folder."""
        from longlink.access.tokens import Signer
        from longlink.protocol.frames import Connect, Frame

        signer = Signer.from_data(Path(data))
        wanted = self._load.counts()["joined"] + len(users)
        for begin in range(0, len(users), CHUNK):
            tokens = [signer.sign(user, days=1.0) for user in users[begin : begin + CHUNK]]
            connects = [Connect(version=1, token=token, device=DEVICE, agent="longlink-bench") for token in tokens]
            self._load.connect([Frame(id=1, connect=connect).SerializeToString() for connect in connects])
            self._until(lambda counts: counts["asked"] - counts["joined"] - counts["failed"] <= CHUNK)
        return self._until(lambda counts: counts["joined"] >= wanted)

    def enter_many(self, prefix: str, first: int, count: int, data: str) -> Answer:
        """The same for users that are numbered."""
        return self.enter([f"{prefix}{number:07}" for number in range(first, first + count)], data)

    def close(self) -> Answer:
        self._load.close()
        return self._until(lambda counts: counts["open"] == 0)

    def come_back(self) -> Answer:
        counts = self._load.counts()
        wanted = counts["joined"] + counts["open"]
        self._load.come_back()
        return self._until(lambda counts: counts["joined"] >= wanted)

    def talk(self) -> Answer:
        self._load.talk()
        return {}

    def halt(self) -> Answer:
        self._load.halt()
        return {}

    def publish(self, **burst: Any) -> Answer:
        self._load.publish(**burst)
        return {}

    def resume(self) -> Answer:
        self._load.resume()
        return {}

    def open(self, names: Sequence[tuple[str, str]]) -> Answer:
        self._load.open([(reader, writer) for reader, writer in names])
        return self._until(lambda counts: counts["opened"] >= len(names))

    def follow(self, **schedule: int) -> Answer:
        self._load.follow(**schedule)
        return {}

    def verify(self) -> Answer:
        wanted = self._load.counts()["open"] + self._load.counts()["verified"]
        self._load.verify()
        return self._until(lambda counts: counts["verified"] + counts["lost"] >= wanted)

    def count(self) -> Answer:
        closes = {str(code): number for code, number in self._load.closes().items()}
        return {**self._load.counts(), "closes": closes, "words": self._load.words()}

    def delays(self) -> Answer:
        return dict(self._load.delays())

    def _until(self, done: Callable[[dict[str, int]], bool]) -> Answer:
        """Wait; whoever gave the order has a deadline for it. Raises RuntimeError when connections were given up."""
        tell_at = time.monotonic() + TELL_S
        while not done(counts := self._load.counts()):
            if counts["failed"]:
                raise RuntimeError(f"{counts['failed']} connections were given up: {'; '.join(self._load.words()[:3])}")
            time.sleep(PAUSE_S)
            if time.monotonic() >= tell_at:
                tell({"so_far": counts})
                tell_at += TELL_S
        return self.count()


def tell(line: Answer) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Carry out orders until stdin ends. Whoever started this also ends it, so Ctrl-C is not for us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crew = Crew()
    for line in sys.stdin:
        order = json.loads(line)
        what = order.pop("do")
        try:
            answer = getattr(crew, what)(**order)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{what}: {type(error).__name__}: {error}"}
        tell(answer | {"cpu_s": time.process_time()})


if __name__ == "__main__":
    main()
