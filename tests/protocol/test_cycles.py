"""A refused message is given back at once, and does not wait for the cyclic collector, which runs seldom."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        (Encoding.BINARY, b"\x08\x01\x6a\x00"),
        (Encoding.TEXT, b'{"id":1,"ack":{}}'),
        (Encoding.TEXT, b'{"id":1,"connect":{"nothing":1}}'),
        (Encoding.TEXT, b'{"id":1,"nothing":{}}'),
        (Encoding.TEXT, b'{"id":1,"connect":' + b"[" * 500 + b"]" * 500 + b"}"),
    ],
)
def test_a_refused_first_message_leaves_no_cycle(encoding: Encoding, data: bytes) -> None:
    for _ in range(2):
        gc.collect()
        try:
            encoding.decode_first(data)
        except LonglinkError:
            refused = True
    assert refused
    assert gc.collect() == 0
