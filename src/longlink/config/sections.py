"""Every setting: one struct per section, each field with its unit, its default and one line of doc.

Values come from defaults, then one TOML file, then LONGLINK_SECTION_KEY in the environment, then the command line; the
last one wins, and its origin is remembered for `longlink config`. An unknown key or a value of the wrong type is
CONFIG_INVALID. docs/reference/config.md and longlink.toml.example are generated from this file. Never reads a setting
at import time. Read next: load.py; parts.py hands each layer its section.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]
CountOrOff = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[int, Meta(ge=1)]
MillisecondsOrOff = Annotated[int, Meta(ge=0)]


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """[server] This machine and its processes."""

    number: Annotated[
        CountOrOff, Meta(description="This machine's number in session ids, 0 to 1023; each machine has its own.")
    ] = 0
    workers: Annotated[
        CountOrOff,
        Meta(description="Gateway processes beside one logic process, up to 255; 0: everything in one process."),
    ] = 0
    calls: Annotated[
        Count, Meta(description="With workers: calls of one gateway that wait for logic; above it `overloaded`.")
    ] = 20_000
    call_bytes: Annotated[Count, Meta(description="The same in bytes of their frames.")] = 67_108_864
    answer_timeout_ms: Annotated[
        Milliseconds,
        Meta(
            description="With workers: a call that logic has not answered for so long gets `logic_unavailable`. Keep "
            "it below connection.hello_timeout_ms, so that a client that connects hears it too."
        ),
    ] = 8_000


class Listen(Struct, frozen=True, forbid_unknown_fields=True):
    """[listen] Where the server can be reached."""

    address: Annotated[str, Meta(description="The long link: WebSocket and TCP, host:port.")] = "127.0.0.1:7700"
    http: Annotated[str, Meta(description="HTTP: calls, health and metrics, host:port.")] = "127.0.0.1:7701"
    tls_certificate: Annotated[str, Meta(description="PEM file with the certificate chain; empty: no TLS.")] = ""
    tls_key: Annotated[str, Meta(description="PEM file with the private key.")] = ""
    behind_proxy: Annotated[
        bool, Meta(description="Allow other addresses than loopback without TLS, because a proxy in front does it.")
    ] = False


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """[data] Where everything durable lives."""

    dir: Annotated[str, Meta(description="Folder for the database, the signing key and the lock.")] = "./data"


class Auth(Struct, frozen=True, forbid_unknown_fields=True):
    """[auth] Whose tokens are believed."""

    keys: Annotated[
        list[str],
        Meta(
            description="Key files: JWKS (JSON), PEM public key, or a secret. Empty: the key made in the data folder."
        ),
    ] = []
    audience: Annotated[str, Meta(description="`aud` that a token must carry; empty: not checked.")] = "longlink"
    issuer: Annotated[str, Meta(description="`iss` that a token must carry; empty: not checked.")] = ""
    leeway_ms: Annotated[MillisecondsOrOff, Meta(description="Clock difference allowed for exp, nbf and iat.")] = 5_000


class Connection(Struct, frozen=True, forbid_unknown_fields=True):
    """[connection] The limits of the connection core (core/BOUNDARY.md says what happens at each)."""

    threads: Annotated[
        CountOrOff, Meta(description="I/O threads of one process; 0: half the cores shared by the workers, 1 to 8.")
    ] = 0
    max_connections: Annotated[Count, Meta(description="Open connections of one process; so of each gateway.")] = (
        1_000_000
    )
    max_message_bytes: Annotated[
        Count, Meta(description="Largest message taken from a client, in bytes; up to 2 MiB.")
    ] = 65_536
    header_timeout_ms: Annotated[Milliseconds, Meta(description="TLS handshake and HTTP header together.")] = 5_000
    hello_timeout_ms: Annotated[
        MillisecondsOrOff, Meta(description="From the upgrade to a valid Connect; 0: no limit.")
    ] = 10_000
    heartbeat_ms: Annotated[
        Milliseconds, Meta(description="How often a client must send something that asks for nothing else.")
    ] = 240_000
    heartbeat_least_ms: Annotated[
        Milliseconds, Meta(description="The shortest silence that a client may ask for; at most heartbeat_ms counts.")
    ] = 30_000
    heartbeat_most_ms: Annotated[
        Milliseconds,
        Meta(description="The longest; what counts is at most idle_timeout_ms / 2.25, and at least heartbeat_ms."),
    ] = 300_000
    idle_timeout_ms: Annotated[
        MillisecondsOrOff,
        Meta(
            description="Closed after so long without a byte, or after 2.25 times what was agreed with the client if "
            "that is less; above twice the heartbeat; 0: never."
        ),
    ] = 675_000
    stall_timeout_ms: Annotated[
        Milliseconds, Meta(description="Dropped when waiting bytes cannot be written so long.")
    ] = 30_000
    stream_heartbeat_ms: Annotated[
        Milliseconds, Meta(description="A stream on which nothing was written for so long gets a comment; up to a day.")
    ] = 15_000
    queue_bytes: Annotated[Count, Meta(description="Waiting bytes per connection.")] = 262_144
    total_queue_bytes: Annotated[Count, Meta(description="Waiting bytes of all connections together.")] = 268_435_456
    coalesce_ms: Annotated[
        MillisecondsOrOff,
        Meta(description="Events wait so long after a write, to leave together; up to 1,000; 0: one write a turn."),
    ] = 0
    message_rate: Annotated[CountOrOff, Meta(description="Messages a second from one connection; 0: no limit.")] = 200
    message_burst: Annotated[Count, Meta(description="Messages at once from one connection.")] = 400
    accept_rate: Annotated[CountOrOff, Meta(description="New connections a second from one address; 0: no limit.")] = (
        200
    )
    accept_burst: Annotated[Count, Meta(description="New connections at once from one address.")] = 1_000
    half_open_per_address: Annotated[
        Count, Meta(description="Connections of one address that are not admitted yet.")
    ] = 1_000
    ring_events: Annotated[Count, Meta(description="Events waiting for Python before the sockets are left unread.")] = (
        65_536
    )
    ring_bytes: Annotated[Count, Meta(description="Bytes waiting for Python before the sockets are left unread.")] = (
        67_108_864
    )


class Http(Struct, frozen=True, forbid_unknown_fields=True):
    """[http] The short link: requests as HTTP calls."""

    call_rate: Annotated[
        CountOrOff, Meta(description="Calls a second of one user at one process; above it `rate_limited`; 0: no limit.")
    ] = 50
    call_burst: Annotated[Count, Meta(description="Calls at once of one user.")] = 100


class Receipts(Struct, frozen=True, forbid_unknown_fields=True):
    """[receipts] What members of a conversation see of each other's marks. A user's own devices see all of his."""

    direct: Annotated[
        str,
        Meta(
            description="In direct conversations: read, delivered or none; read: delivered too.",
            pattern="^(read|delivered|none)$",
        ),
    ] = "read"


class Sessions(Struct, frozen=True, forbid_unknown_fields=True):
    """[sessions] Sessions that outlive their connections, and how many a user may have."""

    policy: Annotated[
        str,
        Meta(
            description="Which devices of a user may be there together: all, one of each platform, or one.",
            pattern="^(all|platform|one)$",
        ),
    ] = "all"
    per_user: Annotated[
        Count, Meta(description="Sessions of one user; above it one that waits for its client ends, or the oldest.")
    ] = 32
    detached_ms: Annotated[
        MillisecondsOrOff,
        Meta(description="How long a session waits for its client after its connection has ended; 0: it ends at once."),
    ] = 300_000
    detached: Annotated[
        Count, Meta(description="Sessions that wait for their clients; above it the one that waits longest ends.")
    ] = 1_000_000


class Storage(Struct, frozen=True, forbid_unknown_fields=True):
    """[storage] The message log."""

    queue: Annotated[Count, Meta(description="Writes waiting for a commit before new ones are refused.")] = 20_000
    queue_bytes: Annotated[
        Count, Meta(description="Bytes of content waiting for a commit before new writes are refused.")
    ] = 67_108_864
    batch: Annotated[Count, Meta(description="Writes in one commit.")] = 1_024
    readers: Annotated[Count, Meta(description="Threads that read history.")] = 2
    checkpoint_bytes: Annotated[Count, Meta(description="Size of the write-ahead log that starts a checkpoint.")] = (
        33_554_432
    )


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """[log] What the server says of itself."""

    level: Annotated[
        str, Meta(description="debug, info, warning or error.", pattern="^(debug|info|warning|error)$")
    ] = "info"
    format: Annotated[
        str, Meta(description="auto, text or json; auto: text on a terminal.", pattern="^(auto|text|json)$")
    ] = "auto"


class Drain(Struct, frozen=True, forbid_unknown_fields=True):
    """[drain] How the server goes down."""

    duration_ms: Annotated[MillisecondsOrOff, Meta(description="Closes are spread evenly over so long.")] = 2_000
    reconnect_after_ms: Annotated[MillisecondsOrOff, Meta(description="Told to clients: wait so long at least.")] = (
        1_000
    )


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one server."""

    server: Server = Server()
    listen: Listen = Listen()
    data: Data = Data()
    auth: Auth = Auth()
    connection: Connection = Connection()
    http: Http = Http()
    receipts: Receipts = Receipts()
    sessions: Sessions = Sessions()
    storage: Storage = Storage()
    log: Log = Log()
    drain: Drain = Drain()
