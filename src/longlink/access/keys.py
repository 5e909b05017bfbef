"""Keys that verify tokens, each bound to the one algorithm it may verify when it is read, never by what a token says.

An entry of auth.keys is the path of a JWKS or JWK (RFC 7517) or of public keys in PEM, `secret:PATH` of an HMAC secret,
or the https:// address of a JWKS (jwks.py). Nothing becomes a secret unless it says that it is one: `secret:`, or `oct`
in a JWK. There is no default: what is not recognised is refused. Errors name the file and never show its content.
Read next: key_formats.py, key_set.py.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from msgspec import Struct

from longlink import errors
from longlink.access.key_formats import BOM, Kind, describe, recognise, why_no_secret
from longlink.access.secret_files import OTHERS, kind_of, read_secret, write_private
from longlink.errors import LonglinkError, Row
from longlink.ops import logs

log = logs.get("keys")

DATA_KEY: Final = "signing-key.json"
"""Of the data folder: the server's own key, made when no keys are configured."""
SECRET: Final = "secret:"  # noqa: S105 - a word, not a secret
"""Before the path of an HMAC secret in auth.keys."""
SECRET_BYTES: Final = 32
"""Least length of an HS256 secret: the output of its hash (RFC 7518 section 3.2)."""
RSA_BITS: Final = 2048
"""Least size of an RSA key (RFC 7518 section 3.3)."""
LARGEST_RSA_BITS: Final = 16_384
"""OpenSSL verifies with no larger one."""
LARGEST_FILE: Final = 262_144
MOST_KEYS: Final = 64
HINT: Final = f"if it is an HMAC secret, write {SECRET}PATH in auth.keys"

_PATH: Final = re.compile(r"\.{0,2}/[^\0\n{}=]{1,255}|[^\0\n{}=]{1,255}\.\w{1,8}")
"""What looks like a path and not like a key: it begins with a slash or dots, or ends with an extension."""

ALIASES: Final[Mapping[str, str]] = {"Ed25519": "EdDSA"}
"""Names of the same algorithm: RFC 9864 gives EdDSA over Ed25519 a name of its own."""


class Key(Struct, frozen=True):
    """One key and the one algorithm it may verify. kid: None for keys without a name."""

    algorithm: str
    kid: str | None
    native: OctKey | RSAKey | OKPKey | ECKey

    def verify(self, signed: bytes, signature: bytes) -> bool:
        """Whether this key made the signature (RFC 7515 section 5.2, step 8); HMACs are compared in constant time."""
        return JWSRegistry.algorithms[self.algorithm].verify(signed, signature, self.native)

    def sign(self, signed: bytes) -> bytes:
        """The signature of this key, which must be a secret."""
        return JWSRegistry.algorithms[self.algorithm].sign(signed, self.native)


def read_keys(entry: str) -> list[Key]:
    """All usable keys of one entry of auth.keys that is a file. Raises CONFIG_INVALID."""
    is_secret = entry.startswith(SECRET)
    file = Path(entry.removeprefix(SECRET))
    data = _read(file)
    keys = [secret_key(file, data)] if is_secret else parse_keys(str(file), data)
    if is_secret or any(key.algorithm == "HS256" for key in keys):
        _warn_if_open(file)
    return keys


def parse_keys(name: str, data: bytes, row: Row = errors.CONFIG_INVALID) -> list[Key]:
    """The usable keys in what was read. name: of the file or address, for errors. Raises row."""
    kind = recognise(data)
    if kind is None:
        raise LonglinkError(row, f"{name}: expected a JWKS (JSON) or public keys in PEM, got {describe(data)}; {HINT}")
    try:
        return parse_set(name, data) if kind is Kind.JSON else _pem_keys(name, data)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError, UnsupportedAlgorithm) as error:
        raise LonglinkError(row, f"{name}: {_reason(error, kind)}") from None


def secret_key(file: Path, data: bytes) -> Key:
    """The HMAC secret in a file: its bytes without one line end behind them. Raises CONFIG_INVALID."""
    secret = data.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return _secret(secret, None)
    except ValueError as error:
        raise LonglinkError(errors.CONFIG_INVALID, f"{file}: {error}") from None


def _reason(error: Exception, kind: Kind) -> str:
    """Our own sentences as they are; those of a library only by kind, because they may quote the file."""
    if type(error) is ValueError and str(error).startswith("expected "):
        return str(error)
    return f"expected {kind.value} that holds keys, got one that is broken ({type(error).__name__})"


def _read(file: Path) -> bytes:
    try:
        # Without O_NONBLOCK the open of a pipe would wait for its writer, and with it everything else.
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:
            if kind := kind_of(os.fstat(opened.fileno()).st_mode):
                raise _invalid(f"{file}: expected a regular file, got {kind}")
            data = opened.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise _invalid(_why_unread(file, error)) from None
    if len(data) > LARGEST_FILE:
        raise _invalid(f"{file}: expected a key file of at most {LARGEST_FILE} bytes, got more")
    return data


def _why_unread(file: Path, error: OSError | ValueError) -> str:
    """Names the file, unless the entry looks as if it were the key itself."""
    why = error.strerror if isinstance(error, OSError) else "it is not a path"
    if os.path.exists(file) or _PATH.fullmatch(str(file)):
        return f"cannot read the key file {file}: {why}"
    return f"auth.keys: expected the path of a file, got {len(str(file))} characters that are not shown: {why}"


def _warn_if_open(file: Path) -> None:
    mode = file.stat().st_mode
    if mode & OTHERS:
        log.warning("secret_readable_by_others", file=str(file), do=f"chmod o= {file}")


# Kinds of keys --------------------------------------------------------------------------------------------------------


def _secret(value: bytes, kid: str | None) -> Key:
    if len(value) < SECRET_BYTES:
        raise ValueError(f"expected a secret of at least {SECRET_BYTES} bytes, got {len(value)}")
    if why := why_no_secret(value):
        raise ValueError(f"expected a random secret, got {why}")
    return Key("HS256", kid, OctKey.import_key(value))


def _public(key: object, kid: str | None) -> Key:
    """Any public key of the library cryptography."""
    if isinstance(key, rsa.RSAPublicKey):
        if not RSA_BITS <= key.key_size <= LARGEST_RSA_BITS:
            raise ValueError(f"expected an RSA key of {RSA_BITS} to {LARGEST_RSA_BITS} bits, got {key.key_size}")
        return Key("RS256", kid, RSAKey.import_key(_spki(key)))
    if isinstance(key, ed25519.Ed25519PublicKey):
        if _is_of_low_order(key):
            raise ValueError("expected an Ed25519 key that somebody made, got one under which anybody can sign")
        return Key("EdDSA", kid, OKPKey.import_key(_spki(key)))
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return Key("ES256", kid, ECKey.import_key(_spki(key)))
    curve = f" on the curve {key.curve.name}" if isinstance(key, ec.EllipticCurvePublicKey) else ""
    raise ValueError(f"expected a key for RSA, Ed25519 or P-256, got a {type(key).__name__.strip('_')}{curve}")


_FIELD: Final = 2**255 - 19
_ORDER_8: Final = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)


def _is_of_low_order(key: ed25519.Ed25519PublicKey) -> bool:
    """Whether the point has an order of 8 or less: then a fixed signature fits messages that nobody signed.

    The first 255 bits are its y (RFC 8032 section 5.1.2). A key of zeros, which is a placeholder, is such a point.
    """
    y = int.from_bytes(key.public_bytes_raw(), "little") % 2**255 % _FIELD
    return y in (0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8)


def _spki(key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


# PEM (RFC 7468) -------------------------------------------------------------------------------------------------------

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)


def _pem_keys(name: str, data: bytes) -> list[Key]:
    """One key a block. Between blocks may be comments (#) only: other text may be a page that merely shows a key."""
    if b"PRIVATE KEY" in data:
        raise ValueError("expected public keys, got a private key; the server needs only the public half")
    around = _BLOCK.sub(b"", data.removeprefix(BOM))
    if any(line.strip() and not line.lstrip().startswith(b"#") for line in around.splitlines()):
        raise ValueError("expected whole blocks of PEM with nothing but comments (#) around them, got other lines")
    blocks = [(match[1].decode(), match[0]) for match in _BLOCK.finditer(data)]
    if len(blocks) > MOST_KEYS:
        raise ValueError(f"expected at most {MOST_KEYS} keys, got {len(blocks)}")
    certificates = [x509.load_pem_x509_certificate(block) for label, block in blocks if label == "CERTIFICATE"]
    _require_no_chain(certificates)
    for certificate in certificates:
        log.info("key_of_certificate", file=name, valid_until=f"{certificate.not_valid_after_utc:%Y-%m-%d}")
    return [_public(certificate.public_key(), None) for certificate in certificates] + [
        _public(_load(label, block), None) for label, block in blocks if label != "CERTIFICATE"
    ]


def _load(label: str, block: bytes) -> object:
    if label not in ("PUBLIC KEY", "RSA PUBLIC KEY"):
        raise ValueError(f"expected PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE, got a block {label[:40]}")
    return serialization.load_pem_public_key(block)


def _require_no_chain(certificates: list[x509.Certificate]) -> None:
    """The issuer in a chain would be trusted to sign tokens too, which nobody means."""
    for one in certificates:
        if any(
            other is not one and other.issuer == one.subject and other.subject != one.subject for other in certificates
        ):
            raise ValueError("expected the certificate of a signer, got a chain; leave out those of its issuers")


# JWK and JWKS (RFC 7517) ----------------------------------------------------------------------------------------------

_KINDS: Final[Mapping[str, str]] = {"oct": "HS256", "RSA": "RS256", "OKP": "EdDSA", "EC": "ES256"}
_CURVES: Final[Mapping[str, str]] = {"OKP": "Ed25519", "EC": "P-256"}


def parse_set(name: str, data: bytes) -> list[Key]:
    """The keys that are for signatures of our algorithms. RFC 7517 section 5: others in the set are passed over.

    Raises ValueError that begins with "expected", or what the libraries raise.
    """
    found: list[Key] = []
    for member in _members(json.loads(data.removeprefix(BOM).decode(), object_pairs_hook=unique_names)):
        why = _unusable(member)
        if why:
            log.warning("key_skipped", file=name, kid=_kid(member), why=why)
        else:
            found.append(_jwk(member))
    if not found:
        raise ValueError(f"expected at least one key for signatures by {', '.join(_KINDS.values())}, got none")
    return found


def _members(tree: dict[str, Any]) -> list[Any]:
    if "keys" not in tree:
        if "jwks_uri" in tree:
            raise ValueError("expected a JWKS, got an OpenID configuration; give the address in its jwks_uri")
        if not isinstance(tree.get("kty"), str):
            raise ValueError('expected a JWKS or a JWK, got a JSON object with neither "keys" nor "kty"')
        return [tree]
    members = tree["keys"]
    if not isinstance(members, list) or len(members) > MOST_KEYS:
        raise ValueError(f'expected "keys" to be a list of at most {MOST_KEYS} keys')
    return members


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object from its members; a hook for readers of JSON. Raises ValueError if a name occurs twice."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("expected every name of a JSON object once, got one twice")
    return value


def _unusable(member: Any) -> str:
    """Why a member of a key set is not for us; empty when it is."""
    if not isinstance(member, dict):
        raise ValueError("expected every key of the set to be an object")
    kty, crv = member.get("kty"), member.get("crv")
    algorithm = _KINDS.get(kty) if isinstance(kty, str) else None
    if algorithm is None or crv != _CURVES.get(str(kty), crv):
        return f"kty {kty!r:.20}" + (f", crv {crv!r:.20}" if crv else "")
    alg = member.get("alg", algorithm)
    if not isinstance(alg, str) or ALIASES.get(alg, alg) != algorithm:
        return f"alg {alg!r:.20}"
    operations = member.get("key_ops", ["verify"])
    if member.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return "not for verifying signatures"
    return ""


def _kid(member: Mapping[str, Any]) -> str | None:
    kid = member.get("kid")
    return kid if isinstance(kid, str) and kid else None


def _jwk(member: Mapping[str, Any]) -> Key:
    kid, kind = _kid(member), member["kty"]
    if kind == "oct":
        return _secret(_octets(member["k"]), kid)
    if "d" in member:
        raise ValueError("expected public keys, got a private key; the server needs only the public half")
    public = {name: member[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in member}
    make: Mapping[str, Callable[[Any], RSAKey | OKPKey | ECKey]] = {
        "RSA": RSAKey.import_key,
        "OKP": OKPKey.import_key,
        "EC": ECKey.import_key,
    }
    return _public(make[kind](public).public_key, kid)


def _octets(text: object) -> bytes:
    """The bytes of base64url without padding, in its one canonical form (RFC 7515 section 2)."""
    if isinstance(text, str):
        try:
            value = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            value = b""
        if base64.urlsafe_b64encode(value).rstrip(b"=") == text.encode("utf-8", "replace"):
            return value
    raise ValueError("expected k of an oct key in base64url without padding")


# The data folder's own key --------------------------------------------------------------------------------------------


def make_data_key(folder: Path) -> None:
    """Make the folder's key if there is none: 256 random bits, mode 0600, whole or not at all. Raises DATA_UNUSABLE."""
    target = folder / DATA_KEY
    if os.path.lexists(target):
        return
    jwk = {
        "kty": "oct",
        "k": secrets.token_urlsafe(SECRET_BYTES),
        "kid": secrets.token_hex(8),
        "alg": "HS256",
        "use": "sig",
    }
    write_private(target, json.dumps(jwk).encode() + b"\n")
    log.info("signing_key_made", file=str(target))


def read_data_key(folder: Path) -> Key:
    """Raises DATA_UNUSABLE when there is none, when it is not ours alone and cannot be, or when it is not a key."""
    target = folder / DATA_KEY
    data = read_secret(target, LARGEST_FILE)
    if data is None:
        raise LonglinkError(
            errors.DATA_UNUSABLE,
            f"there is no signing key {target}; it is made by the first start of `longlink serve --data {folder}`, "
            "unless auth.keys names other keys",
        )
    return parse_keys(str(target), data, errors.DATA_UNUSABLE)[0]


def _invalid(message: str) -> LonglinkError:
    return LonglinkError(errors.CONFIG_INVALID, message)
