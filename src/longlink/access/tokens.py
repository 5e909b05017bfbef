"""Tokens: a JWT (RFC 7519, RFC 8725) signed by the host becomes an identity, or an error that says what was wrong.

The order is fixed: size, shape, header, key, signature, and only then what the claims say. No answer and no log shows
the token. No result is cached, so that a key that is taken away stops working at the next reload; only what a header
says is, because a host writes the same one into all its tokens. A reload never trusts secrets where only public keys
were trusted at the start, or the other way round. Read next: keys.py, key_set.py.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from longlink import errors
from longlink.access.jwks import RemoteKeys, is_address
from longlink.access.key_set import KeySet
from longlink.access.keys import ALIASES, Key, make_data_key, read_data_key, read_keys, unique_names
from longlink.config import Auth
from longlink.errors import LonglinkError
from longlink.ops.metrics import Counts
from longlink.protocol import limits

ALGORITHMS: Final = ("HS256", "RS256", "ES256", "EdDSA", "Ed25519")
TOKEN_BYTES: Final = 8_192
DAY_S: Final = 86_400
LATEST_S: Final = 2**40
"""Times above this are not seconds (the year 36812); most likely milliseconds."""
EARLY_S: Final = 300.0
"""A host's clock may be so far ahead, beyond the leeway: its tokens are refused for now, and not for ever."""
LONGEST_WAIT_S: Final = 30.0
"""What a client is told to wait at most before it tries an early token again."""
HEADERS_KEPT: Final = 64
"""One for each key that hosts sign with; a stranger who sends others only makes us read them again."""
REFUSED_HEADERS: Final = ("crit", "b64", "enc", "zip", "cty")
"""Of JWS with extensions (RFC 7515 section 4.1.11, RFC 7797), of JWE and of nested tokens: not spoken here."""

_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class Identity(NamedTuple):
    """expires_at_s: Unix time after which the token is refused, the leeway included."""

    user: str
    expires_at_s: float


class _Header(NamedTuple):
    """What a token says of its signature; not believed until the signature is checked."""

    algorithm: str
    kid: str | None


class Verifier:
    """Believes the keys it was built from. verify is safe to call from any thread.

    read: the keys of files. remote: those of addresses, already loaded.
    """

    def __init__(self, auth: Auth, read: Callable[[], list[Key]], remote: RemoteKeys) -> None:
        self._audience = auth.audience
        self._issuer = auth.issuer
        self._leeway_s = auth.leeway_ms / 1000
        self._read = read
        self._remote = remote
        self._local = read()
        self._keys = KeySet([*self._local, *remote.keys])
        self._families = self._keys.families

    @classmethod
    def from_config(cls, auth: Auth, folder: Path, counts: Counts | None = None) -> Verifier:
        """With the keys of auth.keys; without any, with the data folder's own, made now if it is not there.

        Blocks while key sets are fetched. Raises CONFIG_INVALID or DATA_UNUSABLE naming the file or address.
        """
        addresses = [entry for entry in auth.keys if is_address(entry)]
        remote = RemoteKeys(addresses, folder, auth.jwks_refresh_ms / 1000, counts or Counts())
        if auth.keys:
            files = [entry for entry in auth.keys if not is_address(entry)]
            remote.load()
            return cls(auth, lambda: [key for entry in files for key in read_keys(entry)], remote)
        make_data_key(folder)
        return cls(auth, lambda: [read_data_key(folder)], remote)

    def start(self) -> None:
        """Fetch the key sets of addresses again and again, in a thread."""
        self._remote.start(lambda: self._trust(self._local))

    def stop(self) -> None:
        """Fetch no more. Idempotent."""
        self._remote.stop()

    def reload(self) -> None:
        """Read the files again, and fetch the key sets soon. On an error, which is raised, the old keys stay in use.

        Raises CONFIG_INVALID too when secrets would be trusted where none were at the start, or public keys.
        """
        self._trust(self._read())
        self._remote.ask()

    def _trust(self, local: list[Key]) -> None:
        keys = KeySet([*local, *self._remote.keys])
        if more := keys.families - self._families:
            raise LonglinkError(
                errors.CONFIG_INVALID,
                f"auth.keys: {' and '.join(sorted(self._families))} were trusted at the start, and the files hold "
                f"{' and '.join(sorted(more))} now; the old keys stay in use: restart the server to change it",
            )
        self._local, self._keys = local, keys

    def verify(self, token: str, now_s: float) -> Identity:
        """Raises TOKEN_MISSING, TOKEN_EARLY, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_FOREIGN. now_s: Unix time."""
        if not token:
            raise LonglinkError(errors.TOKEN_MISSING, "expected a token in Connect, got none")
        claims = _claims(self._authenticated(token))
        expires_at_s = self._check_times(claims, now_s)
        self._check_origin(claims)
        return Identity(_user(claims), expires_at_s)

    def _authenticated(self, token: str) -> bytes:
        """The payload, once a key of ours is known to have signed it."""
        if len(token) > TOKEN_BYTES:
            raise _invalid(f"expected at most {TOKEN_BYTES} bytes, got {len(token)}")
        parts = _COMPACT.fullmatch(token.encode("ascii", "replace"))
        if parts is None:
            raise _invalid(f"expected three base64url parts with dots between (JWS), got {token.count('.') + 1} parts")
        header = _header(parts[1])
        signature = _decode(parts[3])
        signed = parts[1] + b"." + parts[2]
        if not any(key.verify(signed, signature) for key in self._candidates(header)):
            raise _invalid("the signature does not match: the token was changed, or signed with another key")
        return _decode(parts[2])

    def _candidates(self, header: _Header) -> Sequence[Key]:
        """The few keys that may have signed."""
        algorithm, kid = header
        keys = self._keys
        if found := keys.find(algorithm, kid):
            return found
        if kid and (wait_s := self._remote.wait_s(kid)):
            message = f"the key with kid {_shown(kid)} is not known yet; the key set is being fetched again"
            raise LonglinkError(errors.TOKEN_EARLY, message, retry_after_ms=int(wait_s * 1000))
        if not kid and keys.count(algorithm):
            raise _invalid(f"expected a kid, because the server has {keys.count(algorithm)} keys for alg {algorithm}")
        raise _invalid(f"the server has no key for alg {algorithm} and kid {_shown(kid)}")

    def _check_times(self, claims: dict[str, Any], now_s: float) -> float:
        if "exp" not in claims:
            raise _invalid("expected the claim exp, got none: tokens that never expire are refused")
        expires_at_s = _time(claims, "exp") + self._leeway_s
        for name in ("nbf", "iat"):
            if name in claims and _time(claims, name) > now_s + self._leeway_s:
                raise self._ahead(name, _time(claims, name) - now_s)
        if now_s >= expires_at_s:
            raise LonglinkError(errors.TOKEN_EXPIRED, f"the token expired {now_s - _time(claims, 'exp'):.0f} s ago")
        return expires_at_s

    def _ahead(self, name: str, ahead_s: float) -> LonglinkError:
        """A little ahead, the host's clock is fast, and the token will be good; far ahead, it is wrong."""
        message = f"{name} is {ahead_s:.0f} s ahead of the server's clock; {self._leeway_s:g} s are allowed"
        early_s = ahead_s - self._leeway_s
        if early_s > EARLY_S:
            return _invalid(message)
        wait_ms = math.ceil(min(early_s, LONGEST_WAIT_S) * 1000)
        return LonglinkError(errors.TOKEN_EARLY, message, retry_after_ms=wait_ms)

    def _check_origin(self, claims: dict[str, Any]) -> None:
        audience = claims.get("aud")
        offered = audience if isinstance(audience, list) else [audience]
        if self._audience and self._audience not in offered:
            raise _foreign("aud", self._audience, audience)
        if self._issuer and claims.get("iss") != self._issuer:
            raise _foreign("iss", self._issuer, claims.get("iss"))


class Signer:
    """Signs tokens with a secret that the server trusts: for development, tools and hosts on the same machine."""

    def __init__(self, key: Key, now_s: Callable[[], float] = time.time) -> None:
        self._key = key
        self._now_s = now_s

    @classmethod
    def from_data(cls, folder: Path) -> Signer:
        """Raises DATA_UNUSABLE when the folder has no key yet."""
        return cls(read_data_key(folder))

    @classmethod
    def from_config(cls, auth: Auth, folder: Path) -> Signer | None:
        """With a secret of auth.keys; without auth.keys, with the data folder's own. None: only others can sign.

        Raises CONFIG_INVALID, DATA_UNUSABLE.
        """
        if not auth.keys:
            return cls.from_data(folder)
        key = KeySet(key for entry in auth.keys if not is_address(entry) for key in read_keys(entry)).secret()
        return None if key is None else cls(key)

    def sign(self, user: str, *, days: float = 30.0, audience: str = "longlink", issuer: str = "") -> str:
        """A token for user. Raises FIELD_INVALID for a name that no user can have."""
        limits.check_user(user, "sub")
        now_s = int(self._now_s())
        claims: dict[str, object] = {"sub": user, "iat": now_s, "exp": int(now_s + days * DAY_S)}
        claims |= {name: value for name, value in (("aud", audience), ("iss", issuer)) if value}
        header = {"alg": self._key.algorithm, "typ": "JWT", "kid": self._key.kid}
        signed = _encode(json.dumps(header).encode()) + b"." + _encode(json.dumps(claims).encode())
        return (signed + b"." + _encode(self._key.sign(signed))).decode()


# The parts of a token -------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=HEADERS_KEPT)
def _header(part: bytes) -> _Header:
    """The header from its base64url; refused ones are read again each time."""
    header = _object(_decode(part), "header")
    algorithm, kid = header.get("alg"), header.get("kid")
    for name in REFUSED_HEADERS:
        if name in header:
            raise _invalid(f"the header parameter {name!r} is not supported")
    if algorithm not in ALGORITHMS:
        raise _invalid(f"expected alg to be one of {', '.join(ALGORITHMS)}, got {_shown(algorithm)}")
    if kid is not None and not isinstance(kid, str):
        raise _invalid(f"expected kid to be a text, got {_shown(kid)}")
    return _Header(ALIASES.get(algorithm, algorithm), kid)


def _decode(part: bytes) -> bytes:
    """Exactly one text stands for given bytes: one with other bits behind the last byte is refused."""
    if len(part) % 4 == 1:
        raise _invalid("expected base64url, got a part of impossible length")
    data = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    if _encode(data) != part:
        raise _invalid("expected base64url in its canonical form, got bits behind the last byte")
    return data


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _claims(payload: bytes) -> dict[str, Any]:
    return _object(payload, "payload")


def _object(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object in which no name occurs twice: two readers could each believe another one (RFC 7519 section 4)."""
    try:
        value = _JSON.decode(data.decode())
    except (ValueError, RecursionError):
        raise _invalid(f"expected the {what} to be a JSON object with unique names") from None
    if not isinstance(value, dict):
        raise _invalid(f"expected the {what} to be a JSON object, got {type(value).__name__}")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)


_JSON: Final = json.JSONDecoder(object_pairs_hook=unique_names, parse_constant=_no_constant)


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _invalid(f"expected {name} to be a number of seconds, got {_shown(value)}")
    if not 0 <= value < LATEST_S:
        raise _invalid(f"expected {name} in seconds since 1970, got {_shown(value)}")
    return float(value)


def _user(claims: dict[str, Any]) -> str:
    user = claims.get("sub")
    if not isinstance(user, str):
        raise _invalid(f"expected sub to be the user's name, got {_shown(user)}")
    try:
        user.encode()
        limits.check_user(user, "sub")
    except UnicodeEncodeError:
        raise _invalid("expected sub to be Unicode text, got half of a surrogate pair") from None
    except LonglinkError as error:
        raise _invalid(error.message) from None
    return user


def _shown(value: object) -> str:
    """A value of a token as an error may show it: short, and without control characters."""
    text = ascii(value)
    return text if len(text) <= 64 else text[:61] + "..."


def _invalid(message: str) -> LonglinkError:
    return LonglinkError(errors.TOKEN_INVALID, message)


def _foreign(claim: str, expected: str, came: object) -> LonglinkError:
    return LonglinkError(errors.TOKEN_FOREIGN, f"expected {claim} {expected!r}, got {_shown(came)}")
