"""Who a client command is, and where its server is: the flags --as, --token, --url and --data.

On the server's machine the data folder answers both: it has the key that signs a token, and the running server's
address. Elsewhere --token and --url do. Read next: send.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from longlink import errors
from longlink.errors import LonglinkError

if TYPE_CHECKING:
    from longlink.client.client import Client

DEFAULT_URL: Final = "ws://127.0.0.1:7700"
NOTE: Final = "server.json"
"""Left by a running server in its data folder: its address, and the audience and issuer that tokens must carry."""


def add_account(parser: argparse.ArgumentParser) -> None:
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument(
        "--as", dest="user", metavar="USER", help="act as this user, with a token signed by the key in --data"
    )
    who.add_argument("--token", metavar="TOKEN", help="act as the user of this token; @FILE reads it from a file")
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        default=Path("./data"),
        help="data folder of a server on this machine (default: ./data)",
    )
    parser.add_argument(
        "--url",
        metavar="URL",
        help=f"address of the server: ws, wss, tcp or tcps (default: that of the server of --data, or {DEFAULT_URL})",
    )
    parser.add_argument("--device", metavar="NAME", default="", help="name of this device (default: a random name)")


def client(options: argparse.Namespace, **more: Any) -> Client:
    """A client for `async with`. more: options of longlink.connect. Raises DATA_UNUSABLE, CONFIG_INVALID."""
    from longlink.client.connect import connect

    return connect(address(options), token=_token(options), device=options.device, **more)


def address(options: argparse.Namespace) -> str:
    """Where the server is."""
    if options.url:
        return str(options.url)
    return _note(options).get("url", DEFAULT_URL)


def _note(options: argparse.Namespace) -> dict[str, str]:
    """The texts of the note; none when no server runs there."""
    try:
        note = json.loads((options.data / NOTE).read_text())
    except (OSError, ValueError):
        return {}
    return {name: text for name, text in note.items() if isinstance(text, str)} if isinstance(note, dict) else {}


def _token(options: argparse.Namespace) -> str:
    if options.user is not None:
        from longlink.access.tokens import Signer

        note = _note(options)
        audience, issuer = note.get("audience", "longlink"), note.get("issuer", "")
        return Signer.from_data(options.data).sign(options.user, audience=audience, issuer=issuer)
    token = str(options.token)
    if not token.startswith("@"):
        return token
    try:
        return Path(token[1:]).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LonglinkError(errors.CONFIG_INVALID, f"--token: cannot read {token[1:]}: {error}") from None
