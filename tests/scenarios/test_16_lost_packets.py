"""Chapter 16, lost packets: each of the six packets of a message is lost alone, or the link dies at just that packet.

The cases are those of 58.com's analysis of reliable delivery; SPEC.md section 6.1 has the names. Each time the message
before was complete, and the one behind must be too. Read next: talk.py.
"""

from __future__ import annotations

import asyncio

import pytest

from longlink.testing import Loss, RunningServer

from .talk import Talk, talking

pytestmark = pytest.mark.parametrize(
    ("scheme", "kill"),
    [("ws", False), ("tcp", False), ("ws", True), ("tcp", True)],
    ids=["ws-lost", "tcp-lost", "ws-killed", "tcp-killed"],
)


async def _lose(server: RunningServer, packet: str, scheme: str, kill: bool) -> tuple[Talk, Loss]:
    """Three messages; the packet of the second one is lost. At the end both sides know everything, exactly once.

    Only who lost msg:A is told that the message was stored before.
    """
    name = f"{packet.replace(':', '')}-{scheme}-{kill}"
    async with talking(server, name, scheme=scheme, frames=True) as talk:
        await talk.alice.say("first")
        await talk.delivered(1)
        loss = talk.network.lose(packet, kill=kill)
        second = await talk.alice.say("second")
        await loss.happened.wait()
        third = await talk.alice.say("third")
        assert (second.seq, third.seq) == (2, 3)
        assert second.duplicate == (packet == "msg:A")
        await talk.bob.until(lambda: len(talk.bob.texts) == 3)
        await talk.delivered(3)
        assert talk.bob.texts == ["first", "second", "third"]
        await talk.check()
        return talk, loss


def _play(server: RunningServer, packet: str, scheme: str, kill: bool, killed: str) -> None:
    """killed: whose link dies when it does."""
    talk, loss = asyncio.run(_lose(server, packet, scheme, kill))
    assert loss.lost == 1
    assert talk.alice.links == 1 + (kill and killed == "alice")
    assert talk.bob.links == 1 + (kill and killed == "bob")


def test_msg_R_is_lost(server: RunningServer, scheme: str, kill: bool) -> None:  # noqa: N802 - the packet's name
    """It never arrived: the sender sends it again."""
    _play(server, "msg:R", scheme, kill, "alice")


def test_msg_A_is_lost(server: RunningServer, scheme: str, kill: bool) -> None:  # noqa: N802
    """It is stored, and the sender does not know: it sends again, and gets the first answer."""
    _play(server, "msg:A", scheme, kill, "alice")


def test_msg_N_is_lost(server: RunningServer, scheme: str, kill: bool) -> None:  # noqa: N802
    """The receiver was never told: it finds the gap before the next one, or syncs after it is back."""
    _play(server, "msg:N", scheme, kill, "bob")


def test_ack_R_is_lost(server: RunningServer, scheme: str, kill: bool) -> None:  # noqa: N802
    """The server does not know what the receiver has: the next one says it too."""
    _play(server, "ack:R", scheme, kill, "bob")


def test_ack_A_is_lost(server: RunningServer, scheme: str, kill: bool) -> None:  # noqa: N802
    """The mark is on disk, and the receiver does not know: it says it again, which changes nothing."""
    _play(server, "ack:A", scheme, kill, "bob")


def test_ack_N_is_lost(server: RunningServer, scheme: str, kill: bool) -> None:  # noqa: N802
    """The sender was never told: the next mark says it too, and so does the sync after it is back."""
    _play(server, "ack:N", scheme, kill, "alice")
