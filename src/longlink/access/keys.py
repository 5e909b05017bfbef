"""Key files: JWKS (RFC 7517), PEM public keys and raw secrets, each key bound to the one algorithm it may verify.

The binding is made here, when a file is read, and never by what a token says: a public key can not become an HMAC
secret. Only HS256, RS256 and EdDSA (Ed25519) exist. Follows no URL and holds no private key of others.
Read next: tokens.py.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from msgspec import Struct

from longlink import errors
from longlink.errors import LonglinkError, Row
from longlink.ops import logs

log = logs.get("keys")

DATA_KEY: Final = "signing-key.json"
"""Of the data folder: the server's own key, made when no keys are configured."""
SECRET_BYTES: Final = 32
"""Least length of an HS256 secret: the output of its hash (RFC 7518 section 3.2)."""
RSA_BITS: Final = 2048
"""Least size of an RSA key (RFC 7518 section 3.3)."""
LARGEST_FILE: Final = 262_144
MOST_KEYS: Final = 64
PRIVATE_MODE: Final = 0o077
"""Bits that the mode of a secret's file must not have."""


class Key(Struct, frozen=True):
    """One key and the one algorithm it may verify. kid: None for keys without a name."""

    algorithm: str
    kid: str | None
    native: OctKey | RSAKey | OKPKey

    def verify(self, signed: bytes, signature: bytes) -> bool:
        """Whether this key made the signature (RFC 7515 section 5.2, step 8); HMACs are compared in constant time."""
        return JWSRegistry.algorithms[self.algorithm].verify(signed, signature, self.native)

    def sign(self, signed: bytes) -> bytes:
        """The signature of this key, which must be a secret."""
        return JWSRegistry.algorithms[self.algorithm].sign(signed, self.native)


def read_keys(file: Path, row: Row = errors.CONFIG_INVALID) -> list[Key]:
    """All usable keys of one file. Raises the row, saying what was expected of which file; never shows its content."""
    data = _read(file, row)
    try:
        if data.lstrip().startswith(b"{"):
            found = _jwks(file, data)
        elif b"-----BEGIN" in data:
            found = [_pem(data)]
        else:
            found = [_secret(data.rstrip(b"\r\n"), None)]
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise LonglinkError(row, f"{file}: {_reason(error)}") from None
    if any(key.algorithm == "HS256" for key in found) and file.stat().st_mode & PRIVATE_MODE:
        log.warning("secret_readable_by_others", file=str(file), mend=f"chmod 600 {file}")
    return found


def _reason(error: Exception) -> str:
    """Our own sentences as they are; those of a library only by kind, because they may quote the file."""
    if type(error) is ValueError and error.args and str(error.args[0]).startswith("expected "):
        return str(error)
    return f"expected a JWKS (JSON), a PEM public key or a secret, got something else ({type(error).__name__})"


def _read(file: Path, row: Row) -> bytes:
    try:
        with open(file, "rb", opener=_open_at_once) as opened:
            _require_regular(file, os.fstat(opened.fileno()).st_mode, row)
            data = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise LonglinkError(row, f"cannot read the key file {file}: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise LonglinkError(row, f"{file}: expected a key file of at most {LARGEST_FILE} bytes, got more")
    return data


def _open_at_once(path: str, flags: int) -> int:
    # Without O_NONBLOCK the open of a pipe would wait for its writer, and with it everything else.
    return os.open(path, flags | os.O_NONBLOCK)


_OTHERS: Final[Mapping[int, str]] = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def _require_regular(file: Path, mode: int, row: Row) -> None:
    if not stat.S_ISREG(mode):
        raise LonglinkError(
            row, f"{file}: expected a regular file, got {_OTHERS.get(stat.S_IFMT(mode), 'another kind')}"
        )


def _secret(value: bytes, kid: str | None) -> Key:
    if len(value) < SECRET_BYTES:
        raise ValueError(f"expected a secret of at least {SECRET_BYTES} bytes, got {len(value)}")
    return Key("HS256", kid, OctKey.import_key(value))


def _pem(data: bytes) -> Key:
    if b"PRIVATE" in data:
        raise ValueError("expected a public key, got a private key; the server needs only the public half")
    try:
        return _rsa(RSAKey.import_key(data), None)
    except JoseError:
        pass
    try:
        return _okp(OKPKey.import_key(data), None)
    except JoseError:
        raise ValueError("expected an RSA or Ed25519 public key, got another kind") from None


def _rsa(key: RSAKey, kid: str | None) -> Key:
    bits = key.public_key.key_size
    if bits < RSA_BITS:
        raise ValueError(f"expected an RSA key of at least {RSA_BITS} bits, got {bits}")
    return Key("RS256", kid, key)


def _okp(key: OKPKey, kid: str | None) -> Key:
    if key.curve_name != "Ed25519":
        raise ValueError(f"expected the curve Ed25519, got {key.curve_name}")
    return Key("EdDSA", kid, key)


def _jwks(file: Path, data: bytes) -> list[Key]:
    """The keys that are for signatures of our algorithms. RFC 7517 section 5: others in the set are passed over."""
    tree = json.loads(data)
    members = tree.get("keys", [tree])
    if not isinstance(members, list) or len(members) > MOST_KEYS:
        raise ValueError(f'expected "keys" to be a list of at most {MOST_KEYS} keys')
    found: list[Key] = []
    for member in members:
        why = _unusable(member)
        if why:
            log.warning("key_skipped", file=str(file), kid=_kid(member), why=why)
        else:
            found.append(_jwk(member))
    if not found:
        raise ValueError("expected at least one key for HS256, RS256 or EdDSA signatures, got none")
    return found


_KINDS: Final[Mapping[str, str]] = {"oct": "HS256", "RSA": "RS256", "OKP": "EdDSA"}


def _unusable(member: Any) -> str:
    """Why a member of a key set is not for us; empty when it is."""
    if not isinstance(member, dict):
        raise ValueError("expected every key of the set to be an object")
    algorithm = _KINDS.get(str(member.get("kty")))
    if algorithm is None or (algorithm == "EdDSA" and member.get("crv") != "Ed25519"):
        return f"kty {member.get('kty')}"
    if member.get("alg", algorithm) not in (algorithm, "Ed25519"):
        return f"alg {member['alg']}"
    if member.get("use", "sig") != "sig" or "verify" not in member.get("key_ops", ["verify"]):
        return "not for verifying signatures"
    return ""


def _kid(member: Mapping[str, Any]) -> str | None:
    kid = member.get("kid")
    return kid if isinstance(kid, str) and kid else None


def _jwk(member: Mapping[str, Any]) -> Key:
    kid, kind = _kid(member), member["kty"]
    if kind == "oct":
        return _secret(_octets(member), kid)
    if "d" in member:
        raise ValueError("expected public keys, got a private key; the server needs only the public half")
    public = {name: member[name] for name in ("kty", "n", "e", "crv", "x") if name in member}
    make: Callable[[], Key] = (
        (lambda: _rsa(RSAKey.import_key(public), kid))
        if kind == "RSA"
        else (lambda: _okp(OKPKey.import_key(public), kid))
    )
    return make()


def _octets(member: Mapping[str, Any]) -> bytes:
    value = OctKey.import_key({"kty": "oct", "k": member["k"]}).raw_value
    return bytes(value)


# The data folder's own key --------------------------------------------------------------------------------------------


def make_data_key(folder: Path) -> None:
    """Make the folder's key if there is none: 256 random bits, mode 0600, whole or not at all. Raises DATA_UNUSABLE."""
    target = folder / DATA_KEY
    if target.exists():
        return
    jwk = {
        "kty": "oct",
        "k": secrets.token_urlsafe(SECRET_BYTES),
        "kid": secrets.token_hex(8),
        "alg": "HS256",
        "use": "sig",
    }
    write_secret(target, json.dumps(jwk).encode() + b"\n")
    log.info("signing_key_made", file=str(target))


def write_secret(target: Path, secret: bytes) -> None:
    """A file for its owner alone (mode 0600), whole or not at all. Raises DATA_UNUSABLE."""
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise LonglinkError(errors.DATA_UNUSABLE, f"cannot make the secret {target}: {error.strerror}") from None


def check_secret(target: Path, mode: int) -> None:
    """Only its owner may read a secret. mode: `st_mode` of the file. Raises DATA_UNUSABLE."""
    if mode & PRIVATE_MODE:
        message = f"{target} must not be readable by others, its mode is {mode & 0o777:04o}; chmod 600 {target}"
        raise LonglinkError(errors.DATA_UNUSABLE, message)


def read_data_key(folder: Path) -> Key:
    """Raises DATA_UNUSABLE when there is none, when others can read it, or when it is not a key."""
    target = folder / DATA_KEY
    if not target.exists():
        raise LonglinkError(
            errors.DATA_UNUSABLE,
            f"there is no signing key {target}; it is made by the first start of `longlink serve --data {folder}`, "
            "unless auth.keys names other keys",
        )
    check_secret(target, target.stat().st_mode)
    return read_keys(target, errors.DATA_UNUSABLE)[0]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
