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
    "Load",
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
        hello_bytes: int,
        header_timeout_ms: int,
        hello_timeout_ms: int,
        idle_timeout_ms: int,
        stall_timeout_ms: int,
        stream_heartbeat_ms: int,
        ping_ms: int,
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
        trusted_proxies: Sequence[str],
        proxy_protocol: bool,
        ticket_secret: bytes = ...,
    ) -> Core:
        """Every limit is explicit; defaults live in longlink.config only.

        hello_timeout_ms, idle_timeout_ms, ping_ms, message_rate and accept_rate: 0 switches that limit off. With
        hello_timeout_ms 0 every connection counts as admitted at its upgrade (the echo server).
        subprotocols: (name, text?) in no order of preference; the client's order decides.
        trusted_proxies: networks, as 10.0.0.0/8. Peers from there are believed when they say whom they speak for, by
        the fields X-Forwarded-For or Forwarded, or with proxy_protocol by a PROXY header, which must come first then.
        ticket_secret: 32 bytes; cores that share them, also in other processes, resume each other's TLS sessions.
        Empty, as by default: random ones of this core.
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

    def poll(self, limit: int = 4096, max_bytes: int = 1_048_576) -> list[tuple[int, int, bytes | int]]:
        """Take the oldest events; an empty list also resets the eventfd.

        limit: how many events at most.
        max_bytes: how many bytes of payload at most. A first event that alone has more is returned by itself, or with
        events that have no payload.
        """

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

    def admit(self, connection: int, lifetime_ms: int = 0, idle_ms: int = 0) -> None:
        """The connection proved who it is; it may live so long, and say nothing for so long.

        lifetime_ms: from now on; 0 is no limit, and leaves it as it is when the connection was admitted before.
        idle_ms: instead of idle_timeout_ms, which 0 stands for; it counts from what the connection said last.
        """

    def close(self, connection: int, code: int, reason: str = "") -> None:
        """Send what is queued, then close with this code. reason: at most 123 bytes."""

    def pause(self, connection: int, ms: int) -> None:
        """Queue a pause: nothing is read from the connection for so long; everything else goes on.

        ms: from the moment when it takes effect, 1 to 60,000. A later pause extends it and never shortens it.
        Raises ValueError for another number.
        """

    def flush(self) -> None:
        """Let queued commands take effect."""

    def command_bytes(self) -> int:
        """Bytes of commands that no thread has obeyed yet, flushed or not."""

    def peer(self, connection: int) -> str | None:
        """Where the other end is, as "address:port"; None when the connection has gone.

        Behind a trusted proxy: what it said of its client, the address alone if it said no port.
        """

    def drain(self, duration_ms: int, code: int, reason: str) -> None:
        """Stop listening, then close all connections with this code, spread evenly over the duration."""

    def stop(self) -> None:
        """Close everything at once and join the threads. Idempotent."""

    def counters(self) -> dict[str, int]:
        """Monotonic counters and current gauges, by the names in BOUNDARY.md."""

    def histograms(self) -> dict[str, tuple[list[float], list[int], float]]:
        """Upper bounds, cumulative counts (one more than bounds: +Inf) and sum, by name; seconds or bytes."""

@final
class Load:
    """Thousands of WebSocket clients in one thread, for `longlink bench`; Python takes no part in any message.

    Plans: "hold" connects and keeps quiet but for heartbeats. "comeback": the same, and comes back to its session when
    it is told to. "echo": each link has one message under way. "fanout":
    the first link publishes, the others receive (the room protocol of longlink.bench.serve). "slow": the same, with
    receivers that stop reading. "chat": durable direct messages along a ring of users. Methods raise RuntimeError when
    the plan does not do what they ask for; they return at once, and `counts` says how far it is.
    """

    def __new__(
        cls,
        plan: str,
        *,
        host: str,
        port: int,
        source: str = "",
        subprotocol: str = "",
        tls: str | None = None,
        resume: bool = False,
        heartbeat_ms: int = 0,
        at_once: int = 64,
        size: int = 100,
        stall_one_in: int = 0,
        stall_after: int = 0,
        receive_buffer: int = 0,
    ) -> Load:
        """source: the IPv4 address of the first 8,192 links; the next ones come from the next address, and so on.

        tls: a PEM file with the certificates to trust, for "localhost".
        resume: use the tickets of earlier links. heartbeat_ms 0: no heartbeats. at_once: links that may be under way.
        size: bytes of a message, 40 to 60,000. stall_one_in: one receiver in so many stops reading after stall_after
        messages. receive_buffer: of each socket, in bytes; 0 is the kernel's choice.
        Raises ValueError with what is wrong.
        """

    def connect(self, openings: Sequence[bytes]) -> None:
        """So many more links. Each sends its opening first and has joined with the answer; b"": it sends nothing.

        A link that fails is tried ten times, 200 ms apart; a try may take 30 s.
        """

    def close(self) -> None:
        """Cut all links that have joined; they are not lost."""

    def come_back(self) -> None:
        """Cut all links that have joined, all at once; each connects again with the key that it was given."""

    def talk(self) -> None:
        """Begin the closed loop of echo or chat."""

    def halt(self) -> None:
        """End what was begun; what is under way still arrives."""

    def publish(self, bursts: int, messages: int = 1, gather: bool = False) -> None:
        """Publish bursts of messages, the next when all have the one before.

        gather: the server shall put a burst into one write; then the next leaves when the first receiver has this one.
        """

    def resume(self) -> None:
        """Read again from the links that stalled."""

    def open(self, names: Sequence[tuple[str, str]]) -> None:
        """Per link, in the order of connect: the user that it writes to, and the user that it reads."""

    def follow(self, begin_ns: int, every_ns: int, count: int) -> None:
        """Send message k at begin_ns + k * every_ns of time.monotonic_ns(), the links in turn, whatever comes back."""

    def verify(self) -> None:
        """Compare the server's log and marks with what was written; `verified` counts the users."""

    def counts(self) -> dict[str, int]:
        """Gauges under_way, open; all others only rise.

        asked, joined, retries, failed (given up), lost (after it had joined), handshakes_tls, resumed_tls;
        heartbeats_sent, heartbeats_answered, messages_sent, messages_received, bytes_received, reads, writes;
        comeback: resumed, and missed of those; echo: echoes; fanout: published, bursts (that all have), deliveries;
        slow: stalled, and of those received, missed and told; chat: opened, written, acked, received, acks,
        acks_answered, marked (messages under marks that the server confirmed), verified.
        Faults: skipped (never came), repeated (came again, or too late), altered, unexpected.
        """

    def closes(self) -> dict[int, int]:
        """Links that were lost, by close code; 1006 when there was none."""

    def delays(self) -> dict[str, list[tuple[int, int]]]:
        """acked, delivered and late (of the load itself), since the start: ns, to 0.4 %, and how many took so long."""

    def words(self) -> list[str]:
        """The first 20 complaints."""

    def stop(self) -> None:
        """Drop all links and end the thread. Idempotent."""
