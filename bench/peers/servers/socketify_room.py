"""The room protocol on socketify, uWebSockets called from Python: its own topics for the room, no compression."""

from __future__ import annotations

import os
import socket
from typing import Any

from socketify import App, CompressOptions, OpCode  # type: ignore[import-not-found]

BACKPRESSURE = 64 << 20
IDLE_S = 960


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


app = App()


def on_message(ws: Any, message: Any, opcode: OpCode) -> None:
    if opcode == OpCode.BINARY and message == b"+":
        ws.subscribe("room")
    elif opcode == OpCode.BINARY and message[:1] in {b"=", b"~"}:
        app.publish("room", message[1:], OpCode.BINARY)
    else:
        ws.send(message, opcode)


app.ws(
    "/*",
    {
        "compression": CompressOptions.DISABLED,
        "max_payload_length": 1 << 20,
        "idle_timeout": IDLE_S,
        "max_backpressure": BACKPRESSURE,
        "message": on_message,
    },
)
port = free_port()
app.listen({"port": port, "host": "127.0.0.1"}, lambda config: os.write(1, f"{port}\n".encode()))
app.run()
