"""Resume keys: what a client shows instead of a token to go on with its session. Signed by the server, stored nowhere.

    "1" + base64url(HMAC-SHA256 (32 bytes) + msgpack array of Resumption)

A key names one link of one session, and is good as long as the token with which the session began. The secret lies in
the data folder, so every gateway and every later start believes it; whether the session goes on is for logic to say.
Read next: handshake.py, ../routing/registry.py.
"""

from __future__ import annotations

import binascii
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from longlink import errors
from longlink.access.secret_files import read_secret, write_private
from longlink.errors import LonglinkError
from longlink.routing.sessions import Session

NAME: Final = "resume.key"
SECRET_BYTES: Final = 32
VERSION: Final = "1"
MAC_BYTES: Final = 32


class Resumption(NamedTuple):
    """What a key proves. expires_at_s: Unix time from which it is refused."""

    user: str
    device: str
    platform: str
    id: int
    link: int
    expires_at_s: float


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Resumption).decode


class ResumeKeys:
    """Makes keys and reads them. secret: anyone who has it can go on with any session."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def from_folder(cls, folder: Path) -> ResumeKeys:
        """With the secret of the data folder, made now if there is none. Raises DATA_UNUSABLE."""
        target = folder / NAME
        secret = read_secret(target, SECRET_BYTES + 1)
        if secret is None:
            secret = secrets.token_bytes(SECRET_BYTES)
            write_private(target, secret)
        if len(secret) != SECRET_BYTES:
            message = f"{target}: expected {SECRET_BYTES} bytes; without the file the next start makes a new one"
            raise LonglinkError(errors.DATA_UNUSABLE, message)
        return cls(secret)

    def make(self, session: Session, expires_at_s: float) -> str:
        """The key to this link of the session: printable ASCII, at most 300 characters."""
        proven = Resumption(session.user, session.device, session.platform, session.id, session.link, expires_at_s)
        body = _encode(proven)
        return VERSION + urlsafe_b64encode(self._sign(body) + body).decode().rstrip("=")

    def read(self, key: str, now_s: float) -> Resumption:
        """Raises KEY_INVALID, KEY_EXPIRED. now_s: Unix time."""
        if not key.startswith(VERSION):
            raise _invalid("expected a key of this version of the server")
        try:
            signed = urlsafe_b64decode(key[len(VERSION) :] + "=" * (-(len(key) - len(VERSION)) % 4))
        except (binascii.Error, ValueError):
            raise _invalid("expected base64url behind the version") from None
        if VERSION + urlsafe_b64encode(signed).decode().rstrip("=") != key:
            raise _invalid("expected base64url in its canonical form behind the version")
        body = signed[MAC_BYTES:]
        if not hmac.compare_digest(signed[:MAC_BYTES], self._sign(body)):
            raise _invalid("the signature does not match: the key was changed, or is of another server")
        resumption = _decode(body)
        if now_s >= resumption.expires_at_s:
            ago_s = now_s - resumption.expires_at_s
            raise LonglinkError(errors.KEY_EXPIRED, f"the token of this session expired {ago_s:.0f} s ago")
        return resumption

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._secret, body, "sha256")


def _invalid(message: str) -> LonglinkError:
    return LonglinkError(errors.KEY_INVALID, message)
