"""Two hosts on one cable: what gets through, and that nothing stays behind."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from longlink.testing import hosts
from longlink.testing.hosts import TwoHosts, UnavailableError, two_hosts


@pytest.fixture
def pair() -> Iterator[TwoHosts]:
    try:
        with two_hosts() as both:
            yield both
    except UnavailableError as reason:
        pytest.skip(str(reason))


def datagrams(pair: TwoHosts, count: int) -> int:
    """How many of so many datagrams arrive."""
    with (
        pair.far.run(lambda: socket.socket(type=socket.SOCK_DGRAM)) as far,
        pair.near.run(lambda: socket.socket(type=socket.SOCK_DGRAM)) as near,
    ):
        far.bind((pair.far.address, 0))
        near.connect(far.getsockname())
        arrived = 0
        for _ in range(count):
            near.send(b"x")
            # On a veth pair a datagram is there when send returns, or it never will be.
            arrived += bool(select.select([far], [], [], 0.001)[0]) and bool(far.recv(10))
        return arrived


def test_all_arrives_then_some_then_nothing_then_all_again(pair: TwoHosts) -> None:
    assert datagrams(pair, 200) == 200
    pair.loss(30)
    assert 80 < datagrams(pair, 200) < 190
    pair.loss(100)
    assert datagrams(pair, 20) == 0
    pair.loss(0)
    assert datagrams(pair, 200) == 200


def test_a_stream_comes_through_loss_whole(pair: TwoHosts) -> None:
    pair.loss(5)
    with (
        pair.far.listen() as listening,
        pair.near.run(lambda: socket.create_connection(listening.getsockname(), 10)) as near,
        listening.accept()[0] as far,
    ):
        far.settimeout(20)
        near.sendall(bytes(range(256)) * 100)
        near.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: far.recv(65_536), b"")) == bytes(range(256)) * 100


def test_a_rate_can_be_set_and_taken_away(pair: TwoHosts) -> None:
    pair.rate(50_000)
    assert datagrams(pair, 5) >= 1
    pair.rate(0)
    assert datagrams(pair, 50) == 50


def test_nothing_of_a_pair_is_seen_outside_or_stays_behind() -> None:
    before = (sorted(os.listdir("/sys/class/net")), len(os.listdir("/proc/self/fd")))
    try:
        with two_hosts() as pair:
            assert pair.near.run(lambda: sorted(os.readlink("/proc/thread-self/ns/net"))) != sorted(
                os.readlink("/proc/self/ns/net")
            )
            assert sorted(os.listdir("/sys/class/net")) == before[0]
    except UnavailableError as reason:
        pytest.skip(str(reason))
    assert (sorted(os.listdir("/sys/class/net")), len(os.listdir("/proc/self/fd"))) == before


def test_a_machine_that_cannot_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnavailableError, match="need root"), two_hosts():
        pass
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="need ip, nft, tc"), two_hosts():
        pass
    assert hosts.TOOLS == ("ip", "nft", "tc")
