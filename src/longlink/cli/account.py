"""Who a client command is, and where its server is: the flags --as, --token, --url, --ca, --data and --config.

On the server's machine its settings and its data folder answer both: there is a secret that signs a token, and the
running server's address. Elsewhere, and where only the host can sign, --token and --url do. Read next: send.py.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from longlink import errors
from longlink.cli.serve import loaded
from longlink.errors import LonglinkError

if TYPE_CHECKING:
    from longlink.client.client import Client
    from longlink.config import Loaded

DEFAULT_URL: Final = "ws://127.0.0.1:7700"
CONNECT_S: Final = 5.0
NOTE: Final = "server.json"
"""Left by a running server in its data folder: its address, and the audience and issuer that tokens must carry."""


def add_account(parser: argparse.ArgumentParser) -> None:
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument(
        "--as", dest="user", metavar="USER", help="act as this user, with a token signed by a secret of the server"
    )
    who.add_argument(
        "--token",
        metavar="TOKEN",
        help="act as the user of this token; @FILE reads it from a file, - from the first line of stdin",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="settings file of the server (default: ./longlink.toml if it exists)",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        dest="data.dir",
        help="data folder of a server on this machine (default: the setting data.dir)",
    )
    parser.add_argument(
        "--url",
        metavar="URL",
        help="address of the server, as wss://chat.example.com: ws, wss, tcp or tcps "
        f"(default: that of the server of --data, or {DEFAULT_URL})",
    )
    parser.add_argument(
        "--ca", metavar="FILE", type=Path, help="trust the certificates in this PEM file, instead of the system's"
    )
    parser.add_argument("--device", metavar="NAME", default="", help="name of this device (default: a random name)")


def client(options: argparse.Namespace, **more: Any) -> Client:
    """A client for `async with`. more: options of longlink.connect.

    Raises DATA_UNUSABLE, CONFIG_INVALID; TOKEN_MISSING where only the host can sign.
    """
    from longlink.client.connect import connect

    token = _given(str(options.token)) if options.user is None else sign(loaded(options), options.user)
    return connect(address(options), token=token, device=options.device, ssl=_trust(options), **more)


@contextlib.asynccontextmanager
async def connected(options: argparse.Namespace, **more: Any) -> AsyncIterator[Client]:
    """A client that is up. Where nothing answers at the address, or TLS fails, it gives up at once: DISCONNECTED."""
    from longlink.client.events import Disconnected, State

    gone: asyncio.Future[LonglinkError] = asyncio.get_running_loop().create_future()

    def state(state: State) -> None:
        cause = state.error.__cause__ if isinstance(state, Disconnected) else None
        if isinstance(state, Disconnected) and isinstance(cause, OSError) and not gone.done():
            gone.set_result(state.error)

    made = client(options, on_state=state, connect_timeout=CONNECT_S, **more)
    entering = asyncio.ensure_future(made.__aenter__())
    try:
        await asyncio.wait((entering, gone), return_when=asyncio.FIRST_COMPLETED)
        if not entering.done():
            raise LonglinkError(errors.DISCONNECTED, f"no connection to {address(options)}: {_why(gone.result())}")
        await entering
    finally:
        if not entering.done():
            entering.cancel()
            await asyncio.gather(entering, return_exceptions=True)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_exit(made)
        yield made


def _why(error: LonglinkError) -> str:
    rejected = isinstance(error.__cause__, ssl.SSLCertVerificationError)
    hint = "; name the host of the certificate with --url, or its authority with --ca" if rejected else ""
    return error.message + hint


def _trust(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=options.ca)
    except (OSError, ValueError) as error:
        raise LonglinkError(
            errors.CONFIG_INVALID, f"--ca: cannot read certificates from {options.ca}: {error}"
        ) from None


def address(options: argparse.Namespace) -> str:
    """Where the server is."""
    if options.url:
        return str(options.url)
    return _note(Path(loaded(options).config.data.dir)).get("url", DEFAULT_URL)


def sign(server: Loaded, user: str, *, days: float = 30.0) -> str:
    """A token for user that the server with these settings accepts.

    Raises TOKEN_MISSING when it trusts no secret; CONFIG_INVALID, DATA_UNUSABLE, FIELD_INVALID.
    """
    from longlink.access.tokens import Signer

    auth, folder = server.config.auth, Path(server.config.data.dir)
    signer = Signer.from_config(auth, folder)
    if signer is None:
        origin = server.origins["auth.keys"]
        message = f"this server trusts auth.keys ({origin}), so only your back end can sign. Pass --token @FILE"
        raise LonglinkError(errors.TOKEN_MISSING, message)
    note = _note(folder)
    audience, issuer = note.get("audience", auth.audience), note.get("issuer", auth.issuer)
    return signer.sign(user, days=days, audience=audience, issuer=issuer)


def _note(folder: Path) -> dict[str, str]:
    """The texts of the note; none when no server runs there."""
    try:
        note = json.loads((folder / NOTE).read_text())
    except (OSError, ValueError):
        return {}
    return {name: text for name, text in note.items() if isinstance(text, str)} if isinstance(note, dict) else {}


def _given(token: str) -> str:
    """The token of --token. Raises CONFIG_INVALID, which shows none of it."""
    if token == "-":  # noqa: S105 - a word, not a token
        token = sys.stdin.readline().strip()
        if not token:
            raise LonglinkError(
                errors.CONFIG_INVALID, "--token -: expected a token on stdin, got an empty line or its end"
            )
        return token
    if not token.startswith("@"):
        return token
    try:
        return Path(token[1:]).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise LonglinkError(errors.CONFIG_INVALID, f"--token: cannot read {token[1:]}: {why}") from None
