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

TAKES_AGAIN = {"reload": "VALUE"}
"""Of a setting whose new value a reload brings into force (settings.Reload)."""
READS_AGAIN = {"reload": "FILE"}
"""Of a setting that names files, which a reload reads again."""

DEFAULT_OPERATIONS = "127.0.0.1:7702"
"""The only address that gives way when its port is taken: two servers on one machine need not agree on it."""


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """[server] This machine and its processes."""

    number: Annotated[
        CountOrOff,
        Meta(description="Number of this machine in session ids, 0 to 1023. Each machine needs a different one."),
    ] = 0
    workers: Annotated[
        CountOrOff,
        Meta(description="Gateway processes, at most 255, beside one logic process. 0 = everything in one process."),
    ] = 0
    calls: Annotated[
        Count,
        Meta(
            description="With workers: calls of one gateway that may wait for logic. More are rejected with "
            "`overloaded`."
        ),
    ] = 20_000
    call_bytes: Annotated[Count, Meta(description="The same limit in bytes of their frames.")] = 16_777_216
    answer_timeout_ms: Annotated[
        Milliseconds,
        Meta(
            description="With workers: answer a call with `logic_unavailable` when logic has not answered for "
            "this long. Keep it below connection.hello_timeout_ms, so that connecting clients get "
            "that answer too."
        ),
    ] = 8_000
    hang_timeout_ms: Annotated[
        MillisecondsOrOff,
        Meta(
            description="With workers: kill and replace a process whose event loop has done nothing for this long, "
            "six times as long while it starts. At least 4,000. 0 = never."
        ),
    ] = 10_000


class Listen(Struct, frozen=True, forbid_unknown_fields=True):
    """[listen] Where the server can be reached."""

    address: Annotated[
        str, Meta(description="Address for client connections (WebSocket, TCP and streams), host:port.")
    ] = "127.0.0.1:7700"
    http: Annotated[str, Meta(description="Address of the HTTP API, host:port.")] = "127.0.0.1:7701"
    operations: Annotated[
        str,
        Meta(
            description="Address for operators: health and metrics over plain HTTP, host:port. Empty = off. If the "
            "default port is taken, the server uses a free one and logs which."
        ),
    ] = DEFAULT_OPERATIONS
    operations_exposed: Annotated[
        bool,
        Meta(
            description="Allow listen.operations to be an address other than loopback, for a private network. Anyone "
            "who reaches it can read the metrics."
        ),
    ] = False
    tls_certificate: Annotated[
        str, Meta(description="PEM file with the certificate chain. Empty = no TLS.", extra=READS_AGAIN)
    ] = ""
    tls_key: Annotated[str, Meta(description="PEM file with the private key.", extra=READS_AGAIN)] = ""
    behind_proxy: Annotated[
        bool,
        Meta(description="Allow addresses other than loopback without TLS, because a proxy in front terminates TLS."),
    ] = False

    trusted_proxies: Annotated[
        list[str],
        Meta(
            description="Networks of proxies in front of the server, such as 10.0.0.0/8. From there the client's "
            "address is taken from X-Forwarded-For, else Forwarded, or from a PROXY header (listen.proxy_protocol). "
            "Limits and logs then count the client, not the proxy. From anyone else both are ignored."
        ),
    ] = []
    proxy_protocol: Annotated[
        bool,
        Meta(
            description="Trusted proxies send a PROXY protocol header (version 1 or 2) first, also before TLS. A "
            "connection from one of them without it is closed."
        ),
    ] = False


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """[data] Where everything durable is stored."""

    dir: Annotated[str, Meta(description="Folder of the database, the signing key and the lock.")] = "./data"


class Auth(Struct, frozen=True, forbid_unknown_fields=True):
    """[auth] Whose tokens are accepted."""

    keys: Annotated[
        list[str],
        Meta(
            description="Each entry is the path of a JWKS, a JWK or public keys in PEM, `secret:PATH` of an HMAC "
            "secret, or the https address of a JWKS. Empty = the key that the server made in its data folder.",
            extra=READS_AGAIN,
        ),
    ] = []
    audience: Annotated[str, Meta(description="Required `aud` of a token. Empty = not checked.")] = "longlink"
    issuer: Annotated[str, Meta(description="Required `iss` of a token. Empty = not checked.")] = ""
    leeway_ms: Annotated[
        MillisecondsOrOff, Meta(description="Allowed clock difference for `exp`, `nbf` and `iat`.")
    ] = 5_000
    jwks_refresh_ms: Annotated[
        Milliseconds, Meta(description="Interval between two fetches of a JWKS by address. At least 10,000.")
    ] = 300_000


class Connection(Struct, frozen=True, forbid_unknown_fields=True):
    """[connection] The limits of the connection core (core/BOUNDARY.md says what happens at each)."""

    threads: Annotated[
        CountOrOff,
        Meta(description="I/O threads of one process. 0 = half of the cores, divided among the workers, 1 to 8."),
    ] = 0
    max_connections: Annotated[
        Count, Meta(description="Open connections of one process (with workers: of each gateway).")
    ] = 1_000_000
    max_message_bytes: Annotated[
        Count, Meta(description="Largest message accepted from a client, in bytes. At most 2 MiB.")
    ] = 65_536
    hello_bytes: Annotated[
        Count,
        Meta(
            description="Largest message accepted before a valid Connect, in bytes. Never more than max_message_bytes. "
            "A token of 8 KiB must fit."
        ),
    ] = 16_384
    header_timeout_ms: Annotated[
        Milliseconds, Meta(description="Time for the TLS handshake and the HTTP header together.")
    ] = 5_000
    hello_timeout_ms: Annotated[
        MillisecondsOrOff, Meta(description="Time from the upgrade to a valid Connect. 0 = no limit.")
    ] = 10_000
    heartbeat_ms: Annotated[
        Milliseconds, Meta(description="Heartbeat interval for clients that do not ask for one of their own.")
    ] = 240_000
    heartbeat_least_ms: Annotated[
        Milliseconds,
        Meta(
            description="Shortest heartbeat interval that a client may ask for. Values above heartbeat_ms count "
            "as heartbeat_ms."
        ),
    ] = 30_000
    heartbeat_most_ms: Annotated[
        Milliseconds,
        Meta(
            description="Longest heartbeat interval that a client may ask for. It is limited to idle_timeout_ms "
            "/ 2.25, but never below heartbeat_ms."
        ),
    ] = 300_000
    idle_timeout_ms: Annotated[
        MillisecondsOrOff,
        Meta(
            description="Close a connection after this long without any data, or after 2.25 x the heartbeat "
            "agreed with that client, whichever is shorter. Must be more than 2 x heartbeat_ms. 0 = "
            "never."
        ),
    ] = 675_000
    stall_timeout_ms: Annotated[
        Milliseconds, Meta(description="Close a connection when no waiting byte could be written for this long.")
    ] = 30_000
    stream_heartbeat_ms: Annotated[
        Milliseconds,
        Meta(
            description="Send a keep-alive comment on an SSE stream that has been silent for this long. At most "
            "one day."
        ),
    ] = 15_000
    ping_ms: Annotated[
        MillisecondsOrOff,
        Meta(
            description="Ping a WebSocket of a browser or behind a proxy after this long without sending, so that "
            "proxies do not cut it (nginx: 60 s). At most one day. 0 = no pings."
        ),
    ] = 50_000
    queue_bytes: Annotated[
        Count,
        Meta(
            description="Outgoing bytes that may wait for one connection. Beyond that it is closed as a slow consumer."
        ),
    ] = 262_144
    total_queue_bytes: Annotated[
        Count, Meta(description="Outgoing bytes that may wait for all connections together.")
    ] = 100_663_296
    coalesce_ms: Annotated[
        MillisecondsOrOff,
        Meta(
            description="Hold outgoing events up to this long so that several share one write (saves CPU, adds "
            "latency). At most 1,000. 0 = send at once."
        ),
    ] = 0
    message_rate: Annotated[
        CountOrOff,
        Meta(
            description="Tokens per second of one connection. Each frame costs one (also fragments, heartbeats and "
            "pings), and a message one more per 4,096 bytes beyond the first: 200 are 200 small messages or 800 KB. "
            "0 = no limit."
        ),
    ] = 200
    message_burst: Annotated[
        Count, Meta(description="Tokens that a connection can save up: 400 are 400 small messages or 1.6 MB at once.")
    ] = 400
    accept_rate: Annotated[
        CountOrOff, Meta(description="New connections per second from one address. 0 = no limit.")
    ] = 200
    accept_burst: Annotated[Count, Meta(description="New connections at once from one address.")] = 1_000
    half_open_per_address: Annotated[
        Count, Meta(description="Connections of one address that have not been admitted yet.")
    ] = 1_000
    ring_events: Annotated[
        Count, Meta(description="Events that may wait for Python. Beyond that, sockets are not read.")
    ] = 65_536
    ring_bytes: Annotated[
        Count, Meta(description="Bytes that may wait for Python. Beyond that, sockets are not read.")
    ] = 16_777_216


class Http(Struct, frozen=True, forbid_unknown_fields=True):
    """[http] The HTTP API."""

    connections_per_address: Annotated[
        CountOrOff,
        Meta(
            description="Open HTTP connections of one client address. Above it the server closes an idle one of them, "
            "or refuses the new one. 0 = an eighth of all HTTP connections (512 unless the file limit is low), 8 at "
            "least."
        ),
    ] = 0
    stranger_rate: Annotated[
        CountOrOff,
        Meta(
            description="Requests a second of one client address without a valid token or key. Above it the answer is "
            "`rate_limited` and the connection is closed. 0 = no limit."
        ),
    ] = 50
    stranger_burst: Annotated[Count, Meta(description="Such requests of one client address at once.")] = 200


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """[limits] What one user may ask for, and how much the server works on at once."""

    work_rate: Annotated[
        CountOrOff,
        Meta(
            description="Units of work per second of one user, over all devices and the HTTP API together. A unit is "
            "about 10 microseconds of CPU: a message costs about 15, a page of 200 entries about 250, JSON "
            "several times more. More is rejected with `rate_limited`, and the user's connections are read more "
            "slowly. 0 = no limit."
        ),
    ] = 10_000
    work_burst: Annotated[Count, Meta(description="Units of work at once of one user.")] = 20_000
    calls: Annotated[
        Count,
        Meta(
            description="Requests that one process works on at once. Beyond that, it reads nothing more from clients."
        ),
    ] = 10_000
    call_bytes: Annotated[Count, Meta(description="The same limit in bytes of their frames.")] = 8_388_608


class Receipts(Struct, frozen=True, forbid_unknown_fields=True):
    """[receipts] What members of a conversation see of each other's watermarks. A user's own devices see all."""

    direct: Annotated[
        str,
        Meta(
            description="What the members of a direct conversation see of each other: read (and delivered), "
            "delivered, or none.",
            pattern="^(read|delivered|none)$",
        ),
    ] = "read"


class Sessions(Struct, frozen=True, forbid_unknown_fields=True):
    """[sessions] Sessions that outlive their connections, and how many a user may have."""

    policy: Annotated[
        str,
        Meta(
            description="Which devices of a user may be connected at the same time: all, one of each platform, or one.",
            pattern="^(all|platform|one)$",
        ),
    ] = "all"
    per_user: Annotated[
        Count, Meta(description="Sessions of one user. Beyond that, a detached session ends, or else the oldest.")
    ] = 32
    detached_ms: Annotated[
        MillisecondsOrOff,
        Meta(
            description="How long a session is kept for its client after its connection has ended. 0 = it ends at once."
        ),
    ] = 300_000
    detached: Annotated[
        Count,
        Meta(description="Detached sessions of all users. Beyond that, the one that has been detached longest ends."),
    ] = 1_000_000


class Users(Struct, frozen=True, forbid_unknown_fields=True):
    """[users] Who may write to whom."""

    unknown: Annotated[
        str,
        Meta(
            description="A conversation with a user who has never connected: accept creates the user, refuse answers "
            "`user_unknown`.",
            pattern="^(accept|refuse)$",
        ),
    ] = "accept"
    new_conversations: Annotated[
        CountOrOff,
        Meta(description="Conversations that one user may create in an hour; above it `rate_limited`; 0: no limit."),
    ] = 100
    unlimited: Annotated[
        list[str], Meta(description="Users without that limit, such as a bot that writes to every user.")
    ] = []


class Storage(Struct, frozen=True, forbid_unknown_fields=True):
    """[storage] The message log."""

    queue: Annotated[
        Count, Meta(description="Writes that may wait for a commit. More are rejected with `overloaded`.")
    ] = 20_000
    queue_bytes: Annotated[
        Count, Meta(description="Bytes of content that may wait for a commit. More are rejected with `overloaded`.")
    ] = 16_777_216
    batch: Annotated[Count, Meta(description="Writes in one commit.")] = 1_024
    mark_delay_ms: Annotated[
        MillisecondsOrOff,
        Meta(
            description="How long marks (received, read) wait for a commit that they can share. 0 = they get one of "
            "their own at once."
        ),
    ] = 20
    readers: Annotated[Count, Meta(description="Threads that read history.")] = 2
    checkpoint_bytes: Annotated[
        Count, Meta(description="Size of the write-ahead log at which a checkpoint starts, in bytes.")
    ] = 33_554_432


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """[log] The server's own log."""

    level: Annotated[
        str,
        Meta(
            description="Least severe level that is logged: debug, info, warning or error.",
            extra=TAKES_AGAIN,
            pattern="^(debug|info|warning|error)$",
        ),
    ] = "info"
    format: Annotated[
        str,
        Meta(
            description="auto, text or json. auto = text on a terminal, otherwise json.", pattern="^(auto|text|json)$"
        ),
    ] = "auto"


class Drain(Struct, frozen=True, forbid_unknown_fields=True):
    """[drain] How the server shuts down."""

    duration_ms: Annotated[
        MillisecondsOrOff, Meta(description="Spread the closing of connections evenly over this long.")
    ] = 2_000
    reconnect_after_ms: Annotated[
        MillisecondsOrOff, Meta(description="Ask clients to wait at least this long before they reconnect.")
    ] = 1_000


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one server."""

    server: Server = Server()
    listen: Listen = Listen()
    data: Data = Data()
    auth: Auth = Auth()
    connection: Connection = Connection()
    http: Http = Http()
    limits: Limits = Limits()
    receipts: Receipts = Receipts()
    sessions: Sessions = Sessions()
    users: Users = Users()
    storage: Storage = Storage()
    log: Log = Log()
    drain: Drain = Drain()
