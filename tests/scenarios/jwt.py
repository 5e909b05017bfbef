"""Tokens made by hand (RFC 7515), so that a test can sign them wrongly. The server's own signer is not used.

Read next: test_01_connect.py.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Sign = Callable[[bytes], bytes]


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(algorithm: str, sign: Sign, **claims: object) -> str:
    """A compact JWS over sub, aud, iat and exp, which claims may change; None leaves one out."""
    now = int(time.time())
    payload: dict[str, object] = {"sub": "alice", "aud": "longlink", "iat": now, "exp": now + 3600, **claims}
    kept = {name: value for name, value in payload.items() if value is not None}
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "typ": "JWT"}, kept)]
    signed = ".".join(map(encode, parts))
    return f"{signed}.{encode(sign(signed.encode()))}"


def hs256(secret: bytes) -> Sign:
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()


def rs256(key: rsa.RSAPrivateKey) -> Sign:
    return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def unsigned(_: bytes) -> bytes:
    return b""


def new_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
