"""The ceiling of memory that follows from the settings. tests/scenarios/test_17_shares.py holds a server to it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from longlink import memory
from longlink.config import Config, Server


def test_a_server_with_defaults_needs_at_most_512_mib() -> None:
    assert memory.ceiling(Config()) <= 512 * memory.MIB


@pytest.mark.parametrize(
    "name",
    ["connection.ring_bytes", "connection.total_queue_bytes", "limits.call_bytes", "storage.queue_bytes"],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_the_ceiling_moves_with_each_bound(name: str, workers: int) -> None:
    section, key = name.split(".")
    config = Config(server=Server(workers=workers))
    grown = replace(getattr(config, section), **{key: getattr(getattr(config, section), key) + memory.MIB})
    assert memory.ceiling(replace(config, **{section: grown})) >= memory.ceiling(config) + memory.MIB


def test_each_gateway_adds_its_own_part() -> None:
    one, two, three = (memory.ceiling(Config(server=Server(workers=number))) for number in (1, 2, 3))
    assert two - one == three - two > 100 * memory.MIB
