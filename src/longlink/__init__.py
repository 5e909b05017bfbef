"""Longlink: an instant-messaging and push server, and the client for it.

    async with longlink.connect("ws://127.0.0.1:7700", token=token) as alice:
        chat = await alice.direct("bob")
        await chat.send("hello")
        async for event in alice: ...

Names are loaded when they are first used, so that `import longlink` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # As typing has it, whose import would take most of the time of this one.
if TYPE_CHECKING:
    from typing import Final

    from longlink import errors
    from longlink.app import Server
    from longlink.client.chat import Chat
    from longlink.client.client import Client
    from longlink.client.connect import connect
    from longlink.client.events import (
        Connected,
        Custom,
        Delivered,
        Disconnected,
        Event,
        Message,
        Notice,
        Read,
        Reconnected,
        Refused,
        Sent,
    )
    from longlink.config import Config
    from longlink.errors import LonglinkError

__all__ = [
    "Chat",
    "Client",
    "Config",
    "Connected",
    "Custom",
    "Delivered",
    "Disconnected",
    "Event",
    "LonglinkError",
    "Message",
    "Notice",
    "Read",
    "Reconnected",
    "Refused",
    "Sent",
    "Server",
    "connect",
    "errors",
]

_HOMES: Final = {
    "Chat": "longlink.client.chat",
    "Client": "longlink.client.client",
    "Config": "longlink.config",
    "LonglinkError": "longlink.errors",
    "Server": "longlink.app",
    "connect": "longlink.client.connect",
    **dict.fromkeys(
        (
            "Connected",
            "Custom",
            "Delivered",
            "Disconnected",
            "Event",
            "Message",
            "Notice",
            "Read",
            "Reconnected",
            "Refused",
            "Sent",
        ),
        "longlink.client.events",
    ),
}


def __getattr__(name: str) -> object:
    if name == "errors":
        return import_module("longlink.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'longlink' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
