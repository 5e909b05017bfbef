"""Two hosts on one cable that loses packets: two network namespaces of the kernel, joined by a veth pair.

They have no names and no files: the kernel takes them, the cable and every rule away when `two_hosts` ends or the
process dies, however it dies. Nothing outside of them is touched. Delay is not here (many kernels lack netem): put a
HostileNetwork between. Needs Linux, root, `ip`, `nft` and `tc`. Read next: network.py.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Final, TypeVar

NEW_NET: Final = 0x40000000
"""CLONE_NEWNET of linux/sched.h."""
TOOLS: Final = ("ip", "nft", "tc")
COMMAND_S: Final = 10.0
PAIRS: Final = 4
"""Pairs of hosts of one process at a time."""
BURST_BYTES: Final = 16_384
QUEUE_MS: Final = 300
NETWORK: Final = "10.213.77"

_pairs: Final = threading.BoundedSemaphore(PAIRS)
Result = TypeVar("Result")


class UnavailableError(Exception):
    """This machine cannot make namespaces; says why."""


class Host:
    """One end of the cable. address: its IPv4 address there."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="longlink-host")
        self.namespace = self._thread.submit(_unshare).result()

    def run(self, work: Callable[[], Result]) -> Result:
        """Call it in a thread of this host and return its result: sockets made in it belong to this host for good."""
        return self._thread.submit(work).result()

    def listen(self) -> socket.socket:
        """A socket that listens on a free port of this host; whoever accepts may be anywhere."""
        return self.run(lambda: socket.create_server((self.address, 0), backlog=1024))

    def command(self, *words: str, text: str = "") -> None:
        """A command on this host. Raises UnavailableError with what it said when it fails."""
        self.run(lambda: _command(words, text))

    def close(self) -> None:
        """Its sockets live on while somebody holds them; nobody can make new ones."""
        os.close(self.namespace)
        self._thread.shutdown()


class TwoHosts:
    """near and far, and the cable between them."""

    def __init__(self, near: Host, far: Host) -> None:
        self.near = near
        self.far = far

    def loss(self, percent: int) -> None:
        """So many of 100 packets are lost, each way; 0 for none, 100 for a partition."""
        some = f"numgen random mod 100 < {percent} " if percent < 100 else ""
        rule = f"iifname cable {some}counter drop" if percent else ""
        table = f"table inet cable {{\nchain arriving {{\ntype filter hook input priority 0\n{rule}\n}}\n}}\n"
        for host in (self.near, self.far):
            host.command("nft", "-f", "-", text=f"table inet cable\ndelete table inet cable\n{table}")

    def rate(self, bytes_per_s: int) -> None:
        """No more than so many bytes a second each way; 0 for no limit."""
        for host in (self.near, self.far):
            if bytes_per_s:
                words = ("tbf", "rate", f"{bytes_per_s}bps", "burst", f"{BURST_BYTES}", "latency", f"{QUEUE_MS}ms")
                host.command("tc", "qdisc", "replace", "dev", "cable", "root", *words)
            else:
                host.command("tc", "qdisc", "replace", "dev", "cable", "root", "pfifo")


@contextmanager
def two_hosts() -> Iterator[TwoHosts]:
    """Two hosts that reach each other and nobody else. Raises UnavailableError where that cannot be."""
    _check()
    with ExitStack() as stack:
        stack.enter_context(_pairs)
        near, far = Host(f"{NETWORK}.1"), Host(f"{NETWORK}.2")
        stack.callback(near.close)
        stack.callback(far.close)
        peer = f"/proc/{os.getpid()}/fd/{far.namespace}"
        near.command("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", peer)
        for host in (near, far):
            host.command("ip", "address", "add", f"{host.address}/24", "dev", "cable")
            host.command("ip", "link", "set", "cable", "up")
            host.command("ip", "link", "set", "lo", "up")
        yield TwoHosts(near, far)


def _check() -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise UnavailableError("network namespaces need root")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise UnavailableError(
            f"network namespaces need {', '.join(missing)}; on Debian: apt install iproute2 nftables"
        )


def _unshare() -> int:
    """Give this thread a network of its own; returns a descriptor that keeps it."""
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.unshare(NEW_NET) != 0:
        raise UnavailableError(f"no new network namespace: {os.strerror(ctypes.get_errno())}")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _command(words: tuple[str, ...], text: str) -> None:
    ended = subprocess.run(list(words), input=text, capture_output=True, text=True, timeout=COMMAND_S)  # noqa: S603
    if ended.returncode != 0:
        raise UnavailableError(f"{' '.join(words)}: {ended.stderr.strip()}")
