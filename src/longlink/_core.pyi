"""The connection core, in Rust. The contract is core/BOUNDARY.md; this file is checked against the binary."""

from collections.abc import Sequence
from typing import Final, final

__all__ = [
    "BINARY",
    "CLOSED",
    "EVENT",
    "LOW",
    "MISSED",
    "REPLY",
    "TEXT",
    "TRANSIENT",
    "Core",
    "__version__",
]

BINARY: Final[int]
TEXT: Final[int]
CLOSED: Final[int]
MISSED: Final[int]

REPLY: Final[int]
EVENT: Final[int]
TRANSIENT: Final[int]
LOW: Final[int]

__version__: Final[str]

@final
class Core:
    """Sockets, framing, timers and queues of one process. Threads start at the first listen and end at stop."""

    def __new__(
        cls,
        *,
        threads: int,
        max_connections: int,
        max_message_bytes: int,
        header_timeout_ms: int,
        hello_timeout_ms: int,
        idle_timeout_ms: int,
        stall_timeout_ms: int,
        queue_bytes: int,
        total_queue_bytes: int,
        coalesce_ms: int,
        message_rate: int,
        message_burst: int,
        accept_rate: int,
        accept_burst: int,
        half_open_per_address: int,
        ring_events: int,
        ring_bytes: int,
        subprotocols: Sequence[tuple[str, bool]],
    ) -> Core:
        """Every limit is explicit; defaults live in longlink.config only.

        hello_timeout_ms, idle_timeout_ms, message_rate and accept_rate: 0 switches that limit off. With
        hello_timeout_ms 0 every connection counts as admitted at its upgrade (the echo server).
        subprotocols: (name, text?) in no order of preference; the client's order decides.
        Raises ValueError naming the argument that is out of range.
        """

    def listen(self, host: str, port: int, *, tls: tuple[str, str] | None = None, shared: bool = False) -> int:
        """Listen, with SO_REUSEPORT between the I/O threads; returns the port (useful with 0).

        tls: paths of certificate chain and key, PEM. shared: other processes may listen on the same port; without it
        a port that another process holds is OSError EADDRINUSE, even if that process shares it.
        Raises OSError (address) or ValueError (certificate, with the reason).
        """

    def reload_tls(self, certificate: str, key: str) -> None:
        """New handshakes use the new files; on ValueError the old ones stay in use."""

    def fileno(self) -> int:
        """An eventfd, readable while events wait. Owned by the core: do not read or close it."""

    def poll(self, limit: int = 4096) -> list[tuple[int, int, bytes | int]]:
        """Take up to limit events; an empty list also resets the eventfd."""

    def send(self, connection: int, payload: bytes, delivery: int, text: bool = False) -> None:
        """Queue one message for one connection."""

    def send_many(self, connections: Sequence[int], payload: bytes, delivery: int, text: bool = False) -> None:
        """Queue one message for many connections; the payload is framed once and shared."""

    def subscribe(self, connection: int, topic: int) -> None:
        """Queue a subscription: what is published to the topic goes to the connection too. Idempotent.

        topic: 1 to 2^52 - 1, chosen by the caller; it exists while it has subscribers. A connection that goes leaves
        its topics. Raises ValueError for another number.
        """

    def unsubscribe(self, connection: int, topic: int) -> None:
        """Queue the end of a subscription. Idempotent. Raises ValueError as subscribe does."""

    def publish(self, topic: int, payload: bytes, delivery: int, text: bool = False, window_ms: int = 0) -> None:
        """Queue one message for all subscribers of a topic; the I/O threads hand it out without Python.

        delivery: EVENT, TRANSIENT or LOW. window_ms: after a message of the topic, what follows within so long, at
        most 10,000, gathers and leaves in one write for each connection; 0 goes at once. Raises ValueError naming the
        argument that is out of range.
        """

    def admit(self, connection: int, lifetime_ms: int = 0) -> None:
        """The connection proved who it is; it may live so long, 0 for no limit."""

    def close(self, connection: int, code: int, reason: str = "") -> None:
        """Send what is queued, then close with this code. reason: at most 123 bytes."""

    def flush(self) -> None:
        """Let queued commands take effect."""

    def peer(self, connection: int) -> str | None:
        """Where the other end is, as "address:port"; None when the connection has gone."""

    def drain(self, duration_ms: int, code: int, reason: str) -> None:
        """Stop listening, then close all connections with this code, spread evenly over the duration."""

    def stop(self) -> None:
        """Close everything at once and join the threads. Idempotent."""

    def counters(self) -> dict[str, int]:
        """Monotonic counters and current gauges, by the names in BOUNDARY.md."""

    def histograms(self) -> dict[str, tuple[list[float], list[int], float]]:
        """Upper bounds, cumulative counts (one more than bounds: +Inf) and sum, by name; seconds or bytes."""
