"""Addresses of servers: which ones are accepted, and what stands for them where none is given.

Pure: nothing is resolved or opened. An address is checked when a client is made, so that a typo is an error at once and
not a connection that never comes up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from longlink import errors
from longlink.errors import LonglinkError

DEFAULT_PORT: Final = 7700
SHORT_PORT: Final = 7701
PORTS: Final = dict.fromkeys(("ws", "wss", "tcp", "tcps"), DEFAULT_PORT)
HTTP_PORTS: Final = {"http": 80, "https": 443}
SHOWN: Final = 100
"""Characters of a refused address that an error repeats."""

_white: Final = re.compile(r"[\x00-\x20\x7f]").search
_password: Final = re.compile(r"//[^/@]*@").sub


class Address(NamedTuple):
    """host: ASCII, an international name in its IDNA form. path: with the query, empty or from its first `/` on."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def secure(self) -> bool:
        return self.scheme in ("wss", "tcps", "https")

    @property
    def origin(self) -> str:
        """host:port, as it stands in a URL."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_url(url: str) -> Address:
    """The address of a server, with port 7700 unless it names one. Raises CONFIG_INVALID."""
    wanted = "ws, wss, tcp or tcps://HOST[:PORT]"
    address = _parse(url, "url", wanted, PORTS)
    if not address.scheme.startswith("ws") and address.path not in ("", "/"):
        raise _invalid("url", wanted, url, "a path has no meaning on a TCP connection")
    return address


def parse_http(url: str) -> Address:
    """The address of an HTTP API. Raises CONFIG_INVALID."""
    return _parse(url, "http", "http or https://HOST[:PORT]", HTTP_PORTS)


def http_beside(address: Address) -> Address:
    """Where the HTTP API is unless the application says: port 7701 beside 7700, otherwise the same port, because a
    proxy that listens on another port serves both."""
    port = SHORT_PORT if address.port == DEFAULT_PORT else address.port
    return Address("https" if address.secure else "http", address.host, port, "")


def _parse(url: object, name: str, wanted: str, ports: Mapping[str, int]) -> Address:
    if not isinstance(url, str):
        raise LonglinkError(errors.CONFIG_INVALID, f"{name}: expected {wanted}, got {type(url).__name__}")
    if _white(url):
        raise _invalid(name, wanted, url, "it has a space, a line break or a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _invalid(name, wanted, url, str(error)) from None
    if parts.scheme not in ports or not parts.hostname:
        raise _invalid(name, wanted, url, _hint(parts, url, ports))
    if port == 0:
        raise _invalid(name, wanted, url, "port 0 cannot be connected to")
    if parts.username is not None or parts.fragment:
        raise _invalid(name, wanted, url, "a user, a password or a fragment would be ignored")
    try:
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode("ascii")
        host.encode("idna")
        path = (parts.path + (f"?{parts.query}" if parts.query else "")).encode("ascii").decode("ascii")
    except UnicodeError:
        raise _invalid(name, wanted, url, "it is not a valid host name, or its path is not ASCII") from None
    return Address(parts.scheme, host, port or ports[parts.scheme], path)


def _hint(parts: SplitResult, url: str, ports: Mapping[str, int]) -> str:
    if parts.scheme in HTTP_PORTS and ports is PORTS:
        scheme = "wss" if parts.scheme == "https" else "ws"
        return f"for the connection use {scheme}:// and its port, {DEFAULT_PORT} unless configured otherwise"
    if "//" not in url:
        return f"did you mean {next(iter(ports))}://{url}?"
    return "the scheme or the host is missing" if not parts.hostname or not parts.scheme else "the scheme is unknown"


def _invalid(name: str, wanted: str, url: str, why: str) -> LonglinkError:
    shown = _password("//...@", url)
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
    return LonglinkError(errors.CONFIG_INVALID, f"{name}: expected {wanted}, got {shown!a}: {why}")
