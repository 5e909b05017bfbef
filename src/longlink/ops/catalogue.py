"""Every metric in words: name, kind and meaning. docs/reference/metrics.md is generated from here.

Counters end in _total where they are shown. Tests hold the core's part against the real core, and the store's against
the real store. Read next: metrics.py.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    kind: Kind
    meaning: str


COUNTS: Final[dict[str, Metric]] = {
    "messages": Metric("counter", "Messages stored and acknowledged for the first time."),
    "duplicates": Metric("counter", "Resent messages that were stored already and got their first answer again."),
    "deliveries": Metric("counter", "Frames handed to gateways for receivers, one for each connection."),
    "account_refused": Metric(
        "counter", "Requests rejected because the account of their user was overdrawn, over connections and HTTP."
    ),
    "passes_cut": Metric("counter", "Passes of the gateway that ended by time; the rest was served in turns by user."),
    "polls_held": Metric(
        "counter", "Times that the gateway stopped reading because too many calls or bytes were under way."
    ),
    "http_strangers": Metric(
        "counter", "HTTP requests refused because their address sends too many without a valid token."
    ),
    "http_seconds": Metric("histogram", "Time from an HTTP call to its answer, in seconds."),
    "quota_refused": Metric(
        "counter", "New conversations refused because their user had created users.new_conversations in an hour."
    ),
    "marks": Metric("counter", "Acknowledgements that raised a mark, delivered or read."),
    "sessions_attached": Metric("gauge", "Sessions whose client is connected."),
    "sessions_detached": Metric("gauge", "Sessions that wait for their client to come back."),
    "sessions_expired": Metric("counter", "Sessions that ended because their client did not come back in detached_ms."),
    "sessions_evicted": Metric(
        "counter", "Sessions that ended because more than sessions.detached waited for their clients."
    ),
    "sessions_replaced": Metric(
        "counter", "Sessions that gave way to a newer one: of the same device, by sessions.policy, or one too many."
    ),
    "sessions_ended": Metric("counter", "Sessions that the operator ended."),
    "logouts": Metric("counter", "Sessions that their users ended."),
    "takeovers": Metric("counter", "Links that were closed because their session was resumed over a newer one."),
    "keys_reused": Metric("counter", "Sessions that ended because one of their old resume keys was used."),
    "jwks_fetches": Metric("counter", "Fetches of key sets by address (auth.keys)."),
    "jwks_failures": Metric("counter", "Fetches of key sets by address that failed. The earlier keys stay in use."),
    "loop_lag_seconds": Metric(
        "histogram", "How late the event loop ran a timer, in seconds. It grows when Python is busy."
    ),
}

HTTP_CALLS: Final = Metric(
    "counter",
    "HTTP calls, by method and outcome: done; refused, the same call fails again; later, it may succeed.",
)

HTTP_CUTS: Final = Metric(
    "counter",
    "HTTP connections cut, by reason. Refused: rate, too many new ones of one address; share, too many of it at once; "
    "full, no place left. Closed: evicted, it was idle and its place was needed; stalled, its peer took no byte for "
    "connection.stall_timeout_ms.",
)
CUTS: Final = ("rate", "share", "full", "evicted", "stalled")
"""Labels of HTTP_CUTS."""

RESUMES: Final = Metric(
    "counter",
    "Accepted session resumptions, by outcome: whole (nothing was missed), missed, or unknown (the session had "
    "ended). Rejected keys are in longlink_errors_total.",
)
OUTCOMES: Final = ("whole", "missed", "unknown")
"""Labels of RESUMES."""

ERRORS: Final = Metric(
    "counter",
    "Requests rejected and connections closed, by the name of the error that the client gets. Every cause counts, also "
    "a close that the connection core makes by itself.",
)

CORE: Final[dict[str, Metric]] = {
    "connections": Metric("gauge", "Open connections, admitted or not."),
    "admitted": Metric("gauge", "Connections whose user is known."),
    "half_open": Metric("gauge", "Connections that are not admitted yet."),
    "queued_bytes": Metric("gauge", "Bytes waiting to be written, all connections together."),
    "ring_events": Metric("gauge", "Events waiting for Python."),
    "ring_bytes": Metric("gauge", "Bytes of messages waiting for Python."),
    "command_bytes": Metric("gauge", "Bytes of commands that wait for an I/O thread."),
    "memory_bytes": Metric("gauge", "Memory that the connection core holds for connections."),
    "topics": Metric("gauge", "Topics that have subscribers; one counts on each I/O thread that has some of them."),
    "subscriptions": Metric("gauge", "Subscriptions of connections to topics."),
    "accepted": Metric("counter", "Connections accepted by the operating system."),
    "accepted_tls": Metric("counter", "Accepted connections that began with TLS."),
    "tls_resumed": Metric("counter", "Upgraded connections that went on with an earlier TLS session."),
    "refused_rate": Metric("counter", "Closed at once: too many new connections from one address."),
    "refused_half_open": Metric("counter", "Closed at once: too many unadmitted connections from one address."),
    "proxied": Metric("counter", "Connections whose address was learned from a trusted proxy."),
    "proxy_failures": Metric("counter", "Closed: a trusted proxy sent no valid PROXY protocol header."),
    "refused_full": Metric("counter", "Closed at once: max_connections reached. Also pauses, out of file descriptors."),
    "handshakes": Metric("counter", "Connections upgraded to WebSocket or to TCP records, and streams."),
    "streams": Metric(
        "counter", "Connections upgraded to streams, the fallback for clients that cannot use WebSocket."
    ),
    "handshake_failures": Metric("counter", "Connections whose TLS or HTTP handshake was wrong."),
    "header_timeouts": Metric("counter", "Closed: no complete header within header_timeout_ms."),
    "hello_timeouts": Metric("counter", "Closed: no valid Connect within hello_timeout_ms."),
    "hello_too_long": Metric("counter", "Closed: a message longer than hello_bytes before a valid Connect."),
    "hello_held": Metric("counter", "Connections left unread because they sent four messages before a valid Connect."),
    "idle_closed": Metric("counter", "Closed: nothing arrived for idle_timeout_ms."),
    "lifetime_closed": Metric("counter", "Closed: the token expired."),
    "stalled": Metric("counter", "Dropped: nothing could be written for stall_timeout_ms."),
    "slow_closed": Metric("counter", "Closed: a reply did not fit queue_bytes, or stalled."),
    "dropped_events": Metric("counter", "Events not queued for a slow connection; it is told and syncs."),
    "dropped_transient": Metric("counter", "Transient messages not queued for a slow connection."),
    "dropped_low": Metric("counter", "Messages of the lowest class not queued for a slow connection."),
    "crowded_out": Metric(
        "counter", "Messages not queued, and connections closed, because connection.total_queue_bytes was reached."
    ),
    "throttled": Metric(
        "counter", "Times that a connection was left unread because of message_rate, by frames or bytes."
    ),
    "paused": Metric("counter", "Times that a connection was left unread because its user asks for too much."),
    "ring_full": Metric("counter", "Times that the sockets were left unread because Python was behind."),
    "deferred": Metric("counter", "Times that a connection not admitted yet, or gone, let others go first."),
    "messages_in": Metric("counter", "Messages received from clients."),
    "messages_out": Metric("counter", "Messages taken for writing; pongs and heartbeats of one read count as one."),
    "bytes_in": Metric("counter", "Bytes read from sockets."),
    "bytes_out": Metric("counter", "Bytes written to sockets."),
    "heartbeats": Metric("counter", "Empty messages answered."),
    "pings": Metric("counter", "WebSocket pings answered."),
    "pings_sent": Metric("counter", "WebSocket pings sent to browsers and through proxies, after ping_ms of silence."),
    "writes": Metric("counter", "Write system calls."),
    "protocol_errors": Metric("counter", "Closed: the bytes broke the rules of TLS, WebSocket or TCP records."),
    "stale_commands": Metric("counter", "Commands for connections that had gone; normal."),
    "closed": Metric("counter", "Connections that have ended, for any reason."),
    "published": Metric("counter", "Messages published to topics."),
    "rounds": Metric("counter", "Times that an I/O thread went round the subscribers of a topic."),
    "deliveries": Metric("counter", "Messages of topics written or queued, one for each subscriber."),
    "other_kind": Metric("counter", "Messages of topics left out for a subscriber that reads only the other kind."),
    "handshake_seconds": Metric("histogram", "Time from accepting a connection to its upgrade, in seconds."),
    "message_bytes": Metric("histogram", "Size of the messages received, in bytes."),
    "batch_events": Metric("histogram", "Events taken by one poll of Python."),
}

STORE: Final[dict[str, Metric]] = {
    "ready": Metric("gauge", "1 while the store works; 0 from a failure of the disk until the same works again."),
    "commits": Metric("counter", "Durable commits."),
    "failures": Metric("counter", "Commits that failed, and single writes refused as defects."),
    "appended": Metric("counter", "Messages written."),
    "duplicates": Metric("counter", "Resent messages met in a commit."),
    "marks": Metric("counter", "Marks of members written, also those that a message of their own raised."),
    "batch_writes": Metric("histogram", "Writes of one commit."),
    "commit_seconds": Metric("histogram", "Time of a commit with its planning, in seconds."),
    "reads": Metric("counter", "Reads of history and of changed conversations."),
    "read_failures": Metric("counter", "Reads that failed."),
    "checkpoints": Metric("counter", "Checkpoints of the write-ahead log."),
    "checkpoint_failures": Metric("counter", "Checkpoints that failed; the log grows until one succeeds."),
    "wal_bytes": Metric("gauge", "Size of the write-ahead log, as of the last look."),
    "writes_over_share": Metric("counter", "Writes rejected because their user already fills their share of the line."),
    "reads_over_share": Metric("counter", "Reads rejected because their user already fills their share of the line."),
    "writes_waiting": Metric("gauge", "Writes waiting for a commit now."),
    "reads_waiting": Metric("gauge", "Reads waiting for a thread now."),
}

PROCESS: Final[dict[str, Metric]] = {
    "cpu_seconds": Metric("counter", "User and system CPU time of the process."),
    "resident_memory_bytes": Metric("gauge", "Memory of the process in RAM, shared pages included."),
    "max_fds": Metric("gauge", "Files that the process may have open."),
    "start_time_seconds": Metric("gauge", "When the process started, seconds since the Unix epoch."),
}

LOGS: Final[dict[str, Metric]] = {
    "lines_dropped": Metric(
        "counter", "Log lines that were not written, because nobody read standard error or its disk was full."
    ),
}

TRUNK: Final[dict[str, Metric]] = {
    "attached": Metric("counter", "Times that a gateway and logic opened their trunk."),
    "unanswered_calls": Metric("gauge", "Calls that wait for logic, in all gateways."),
    "unanswered_bytes": Metric("gauge", "Bytes of the calls that wait for logic."),
    "resent_calls": Metric("counter", "Calls sent again because the trunk had broken."),
    "refused_calls": Metric("counter", "Calls answered `overloaded`: server.calls or server.call_bytes were waiting."),
    "expired_calls": Metric("counter", "Calls answered `logic_unavailable` after server.answer_timeout_ms."),
    "late_replies": Metric("counter", "Answers of logic to calls that had been given up; dropped."),
    "dropped_parcels": Metric(
        "counter", "Frames dropped for a gateway that was behind; its sessions are told to sync."
    ),
    "waiting_bytes": Metric("gauge", "Bytes that logic has for gateways and they have not taken."),
}

WORKER_UP: Final = Metric("gauge", "Whether the process is there: logic, or a gateway that is attached to logic.")
WORKER_RESTARTS: Final = Metric("counter", "Times that the process was started again, as of its last start.")
WORKER_HANGS: Final = Metric(
    "counter", "Times that the process was killed because its event loop did nothing for server.hang_timeout_ms."
)
WORKER_CONNECTIONS: Final = Metric("gauge", "Open connections of one gateway.")

OTHER: Final[dict[str, Metric]] = {
    "longlink_info": Metric("gauge", "Always 1; the labels say which version runs."),
    "python_gc_*": Metric("counter", "Garbage collection of Python."),
}

SECTIONS: Final[dict[str, tuple[str, dict[str, Metric]]]] = {
    "messages": ("longlink_", COUNTS),
    "core": ("longlink_core_", CORE),
    "store": ("longlink_store_", STORE),
    "trunk": ("longlink_trunk_", TRUNK),
    "process": ("process_", PROCESS),
    "logs": ("longlink_log_", LOGS),
}
"""Tables by the section of numbers that they describe, each with the beginning of its names."""

LABELLED: Final[dict[str, tuple[str, str, Metric]]] = {
    "errors": ("longlink_errors", "name", ERRORS),
    "resumes": ("longlink_resumes", "outcome", RESUMES),
    "http_cuts": ("longlink_http_cuts", "reason", HTTP_CUTS),
    "http_calls": ("longlink_http_calls", "method,outcome", HTTP_CALLS),
    "worker_up": ("longlink_worker_up", "worker", WORKER_UP),
    "worker_restarts": ("longlink_worker_restarts", "worker", WORKER_RESTARTS),
    "worker_hangs": ("longlink_worker_hangs", "worker", WORKER_HANGS),
    "worker_connections": ("longlink_worker_connections", "worker", WORKER_CONNECTIONS),
}
"""Sections that are one metric with labels: its name, the labels, its words. Commas part labels, and their values."""

UNKNOWN: Final = Metric("gauge", "Not described.")


def kind(section: str, name: str) -> Kind:
    """What a number is. name: within its section, or the label."""
    if section in LABELLED:
        return LABELLED[section][2].kind
    return SECTIONS[section][1].get(name, UNKNOWN).kind
