"""TCP records: 4 bytes preface, then type (1 byte), length (3 bytes, big-endian), payload (core/BOUNDARY.md)."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from longlink import errors
from longlink.client import transport
from longlink.client.transport.address import Address
from longlink.client.transport.reasons import reason
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.frames import Connected

PREFACE: Final = {Encoding.BINARY: b"\x00LLP", Encoding.TEXT: b"\x00LLJ"}
MESSAGE: Final = 0
CLOSE: Final = 1
HEADER_BYTES: Final = 4
CODE_BYTES: Final = 2
CLOSE_S: Final = 1.0
ABNORMAL: Final = 1006
NO_CODE: Final = 1005
"""Meanings of RFC 6455 section 7.4.1, which the TCP records share."""
NO_RECORDS: Final = "the server answered in HTTP; connections go to another port, 7700 unless configured otherwise"


class Tcp:
    link = "tcp"
    talks = True
    patient = True

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, encoding: Encoding) -> None:
        self.encoding = encoding
        self._reader = reader
        self._writer = writer

    def admitted(self, connected: Connected) -> None:
        """Nothing to remember: what follows comes over the same connection."""

    async def send(self, data: bytes) -> None:
        if len(data) > transport.MAX_MESSAGE_BYTES:
            raise LonglinkError(
                errors.FRAME_TOO_LARGE, f"a record holds {transport.MAX_MESSAGE_BYTES} bytes, not {len(data)}"
            )
        try:
            self._writer.write(_record(MESSAGE, data))
            await self._writer.drain()
        except OSError as error:
            raise _broken(error) from error

    async def receive(self) -> bytes:
        try:
            header = await self._reader.readexactly(HEADER_BYTES)
            if header == b"HTTP":
                raise LonglinkError(errors.DISCONNECTED, NO_RECORDS)
            payload = await self._reader.readexactly(int.from_bytes(header[1:], "big"))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise _broken(error) from error
        if header[0] == MESSAGE:
            return payload
        if header[0] != CLOSE:
            raise LonglinkError(errors.DISCONNECTED, f"the server sent a record of type {header[0]}, expected 0 or 1")
        code = int.from_bytes(payload[:CODE_BYTES], "big") if len(payload) >= CODE_BYTES else NO_CODE
        raise transport.closed(code, payload[CODE_BYTES:].decode("utf-8", "replace"))

    async def close(self, code: int) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                self._writer.write(_record(CLOSE, code.to_bytes(CODE_BYTES, "big")))
                self._writer.close()
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()


async def open_tcp(address: Address, encoding: Encoding, tls: ssl.SSLContext | None) -> Tcp:
    """Raises OSError or ValueError."""
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
    writer.write(PREFACE[encoding])
    return Tcp(reader, writer, encoding)


def _record(kind: int, payload: bytes) -> bytes:
    return bytes([kind]) + len(payload).to_bytes(HEADER_BYTES - 1, "big") + payload


def _broken(error: Exception) -> LonglinkError:
    ended = isinstance(error, asyncio.IncompleteReadError)
    return transport.closed(ABNORMAL, "the connection ended" if ended else reason(error))
