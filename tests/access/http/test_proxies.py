"""Whose address counts behind a proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from longlink.access.http import Proxies

from .short_link import Stage
from .test_calls import say_by_body

TRUSTED = ["10.0.0.0/8", "fd00::/8"]


def client(proxies: Proxies, peer: str, *fields: tuple[bytes, bytes]) -> str:
    return proxies.client({"type": "http", "client": (peer, 1), "headers": fields})


@pytest.mark.parametrize(
    ("peer", "fields", "found"),
    [
        ("192.0.2.1", [(b"x-forwarded-for", b"198.51.100.7")], "192.0.2.1"),
        ("10.1.1.1", [(b"x-forwarded-for", b"198.51.100.7")], "198.51.100.7"),
        ("10.1.1.1", [(b"x-forwarded-for", b"203.0.113.9, 198.51.100.7, 10.2.2.2")], "198.51.100.7"),
        ("10.1.1.1", [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-for", b"198.51.100.7")], "198.51.100.7"),
        ("::ffff:10.1.1.1", [(b"x-forwarded-for", b"198.51.100.7:4711")], "198.51.100.7"),
        ("fd00::1", [(b"x-forwarded-for", b"[2001:db8::5]:443")], "2001:db8::5"),
        ("10.1.1.1", [(b"forwarded", b'for=203.0.113.9, for="[2001:db8::5]:443";proto=https')], "2001:db8::5"),
        ("10.1.1.1", [(b"forwarded", b'proto=https; For="198.51.100.7:4711"')], "198.51.100.7"),
        ("10.1.1.1", [(b"forwarded", b"for=203.0.113.9, for=unknown")], ""),
        ("10.1.1.1", [(b"forwarded", b"for=203.0.113.9, by=10.2.2.2")], ""),
        ("10.1.1.1", [(b"forwarded", b"for=198.51.100.7, for=10.2.2.2;xfor=203.0.113.9")], "198.51.100.7"),
        ("10.1.1.1", [(b"x-forwarded-for", b"198.51.100.7, ,")], "198.51.100.7"),
        ("10.1.1.1", [(b"x-forwarded-for", b"203.0.113.9, unknown")], ""),
        ("10.1.1.1", [(b"x-forwarded-for", b"unknown")], ""),
        ("10.1.1.1", [], ""),
    ],
)
def test_the_client_is_whom_a_trusted_proxy_names(peer: str, fields: list[tuple[bytes, bytes]], found: str) -> None:
    assert client(Proxies(TRUSTED), peer, *fields) == found


def test_a_proxy_that_nobody_has_named_hides_its_clients_and_is_not_believed() -> None:
    proxies = Proxies(unnamed=True)
    assert client(proxies, "192.0.2.1", (b"x-forwarded-for", b"198.51.100.7")) == ""
    assert proxies.speaks_for_many("192.0.2.1")


def test_only_trusted_proxies_speak_for_many() -> None:
    proxies = Proxies(TRUSTED, unnamed=True)
    assert [proxies.speaks_for_many(host) for host in ("10.1.1.1", "192.0.2.1")] == [True, False]
    assert not Proxies().speaks_for_many("10.1.1.1")


def test_strangers_behind_a_trusted_proxy_are_counted_one_by_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path, say_by_body, burst=1, strangers_rate=1, proxies=["127.0.0.0/8"])

    def ask(client: str) -> int:
        return stage.ask("GET", "/v1/openapi.json", headers={"X-Forwarded-For": client}).status_code

    assert [ask("198.51.100.7"), ask("198.51.100.7"), ask("198.51.100.8")] == [200, 429, 200]
