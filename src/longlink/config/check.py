"""What settings must fulfil together, checked once they are all known. Opens no file and no socket.

Read next: load.py.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final

from msgspec.structs import asdict

from longlink import errors
from longlink.config.sections import Config
from longlink.errors import LonglinkError

IN_CODE: Final = "given in code"
"""The origin of a setting that no file, variable or flag gave."""
LARGEST_SERVER: Final = 1023
"""Ten bits of a session id (routing/ids.py)."""
MOST_WORKERS: Final = 255
"""Eight bits of it, of which 0 is the gateway of a server in one process."""
LARGEST_MESSAGE: Final = 2 * 2**20
"""Bytes. In the JSON twin a message may be six times as long, and what carries it, a TCP record, ends at 16 MiB."""

LEAST_REFRESH_MS: Final = 10_000
"""Of key sets by address: those who publish them ask for no more."""
SHORTEST_HANG_MS: Final = 4_000
"""Four beats of a child (workers/child.py)."""
LONGEST_COALESCE_MS: Final = 1_000
LONGEST_STREAM_HEARTBEAT_MS: Final = 86_400_000
MOST_PROXIES: Final = 1_000
"""Networks. Each connection is compared with all of them."""
"""The core refuses more (core/engine/src/engine/settings.rs)."""


def check(config: Config, origins: Mapping[str, str]) -> None:
    """origins: where each setting came from, as far as known.

    Raises CONFIG_INVALID, or INSECURE for an address beyond loopback without TLS, naming where to fix it.
    """
    _check_texts(config, origins)
    for name, address in (("listen.address", config.listen.address), ("listen.http", config.listen.http)):
        host = _check_address(name, address, origins.get(name, IN_CODE))
        _check_secure(config, name, address, host, origins.get(name, IN_CODE))
    _check_operations(config, origins.get("listen.operations", IN_CODE))
    _check_proxies(config, origins)
    _check_tls(config)
    _check_sizes(config)
    _check_heartbeats(config, origins)
    refresh_ms = config.auth.jwks_refresh_ms
    if refresh_ms < LEAST_REFRESH_MS:
        raise _invalid(f"auth.jwks_refresh_ms: expected at least {LEAST_REFRESH_MS}, got {refresh_ms}")
    hang_ms = config.server.hang_timeout_ms
    if 0 < hang_ms < SHORTEST_HANG_MS:
        raise _invalid(f"server.hang_timeout_ms: expected 0 or at least {SHORTEST_HANG_MS}, got {hang_ms}")


def _check_texts(config: Config, origins: Mapping[str, str]) -> None:
    for section in config.__struct_fields__:
        for key, value in asdict(getattr(config, section)).items():
            texts = value if isinstance(value, list) else [value]
            if any(isinstance(text, str) and "\0" in text for text in texts):
                name = f"{section}.{key}"
                raise _invalid(f"{name} ({origins.get(name, IN_CODE)}): expected text without NUL, got {value!r}")


def split_address(address: str) -> tuple[str, int]:
    """ "host:port" or "[v6]:port" in two. The settings were checked, so this cannot fail."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _check_address(name: str, address: str, origin: str) -> str:
    """Returns the host without brackets."""
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    valid_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535
    if not colon or not bare or not valid_port or (":" in bare) != (bare != host) or bare.strip("[] ") != bare:
        raise _invalid(f"{name} ({origin}): expected host:port, as 127.0.0.1:7700 or [::1]:7700, got {address!r}")
    return bare


def _check_secure(config: Config, name: str, address: str, bare: str, origin: str) -> None:
    if not (config.listen.tls_certificate or config.listen.behind_proxy or is_loopback(bare)):
        raise LonglinkError(
            errors.INSECURE,
            f"{name} ({origin}) is {address!r}, which others can reach, and there is no TLS: tokens and messages would "
            "be readable on the way; set listen.tls_certificate and listen.tls_key, or listen.behind_proxy = true",
        )


def _check_operations(config: Config, origin: str) -> None:
    name, address = "listen.operations", config.listen.operations
    if address and not is_loopback(_check_address(name, address, origin)) and not config.listen.operations_exposed:
        raise LonglinkError(
            errors.INSECURE,
            f"{name} ({origin}) is {address!r}, which others can reach: metrics would be public; use a loopback "
            "address, or set listen.operations_exposed = true in a private network",
        )


def _check_proxies(config: Config, origins: Mapping[str, str]) -> None:
    networks = config.listen.trusted_proxies
    name = "listen.trusted_proxies"
    where = f"{name} ({origins.get(name, IN_CODE)})"
    if len(networks) > MOST_PROXIES:
        raise _invalid(f"{where}: expected at most {MOST_PROXIES} networks, got {len(networks)}")
    for text in networks:
        if not _is_network(text):
            raise _invalid(f"{where}: expected networks such as 10.0.0.0/8 or fd00::/8, got {text!r}")
    if config.listen.proxy_protocol and not networks:
        raise _invalid(f"{name}: expected the networks of the proxies, because listen.proxy_protocol is set, got none")


def _is_network(text: str) -> bool:
    _, slash, prefix = text.partition("/")
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    # Python also takes a netmask or a zone, which the core does not.
    return "%" not in text and (not slash or (prefix.isascii() and prefix.isdigit()))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host, which is a name or an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_tls(config: Config) -> None:
    given = {"tls_certificate": config.listen.tls_certificate, "tls_key": config.listen.tls_key}
    missing = [name for name, path in given.items() if not path]
    if len(missing) == 1:
        raise _invalid(f"listen.{missing[0]}: expected a file, because the other half of the pair is set, got nothing")


def _check_heartbeats(config: Config, origins: Mapping[str, str]) -> None:
    connection = config.connection
    if 0 < connection.idle_timeout_ms <= 2 * connection.heartbeat_ms:
        origin = origins.get("connection.idle_timeout_ms", IN_CODE)
        raise _invalid(
            f"connection.idle_timeout_ms ({origin}): expected more than twice "
            f"connection.heartbeat_ms, 2 x {connection.heartbeat_ms}, or 0 for off, got {connection.idle_timeout_ms}"
        )
    if connection.heartbeat_most_ms < connection.heartbeat_least_ms:
        least_ms, most_ms = connection.heartbeat_least_ms, connection.heartbeat_most_ms
        raise _invalid(
            f"connection.heartbeat_most_ms: expected at least heartbeat_least_ms ({least_ms}), got {most_ms}"
        )


def _check_sizes(config: Config) -> None:
    """What the layers need of one another: a message must fit a page, a page the queue, a batch its queue."""
    connection, storage = config.connection, config.storage
    for name, value, most in (
        ("server.number", config.server.number, LARGEST_SERVER),
        ("server.workers", config.server.workers, MOST_WORKERS),
        ("connection.max_message_bytes", connection.max_message_bytes, LARGEST_MESSAGE),
        ("connection.coalesce_ms", connection.coalesce_ms, LONGEST_COALESCE_MS),
        ("connection.stream_heartbeat_ms", connection.stream_heartbeat_ms, LONGEST_STREAM_HEARTBEAT_MS),
    ):
        if value > most:
            raise _invalid(f"{name}: expected at most {most}, got {value}")
    pairs = (
        (
            "connection.queue_bytes",
            connection.queue_bytes,
            4,
            "connection.max_message_bytes",
            connection.max_message_bytes,
        ),
        (
            "connection.ring_bytes",
            connection.ring_bytes,
            1,
            "connection.max_message_bytes",
            connection.max_message_bytes,
        ),
        (
            "connection.total_queue_bytes",
            connection.total_queue_bytes,
            1,
            "connection.queue_bytes",
            connection.queue_bytes,
        ),
        ("storage.queue", storage.queue, 1, "storage.batch", storage.batch),
    )
    for name, value, factor, other, least in pairs:
        if value < factor * least:
            times = f"{factor} times " if factor > 1 else ""
            raise _invalid(f"{name}: expected at least {times}{other} ({factor * least}), got {value}")


def _invalid(message: str) -> LonglinkError:
    return LonglinkError(errors.CONFIG_INVALID, message)
