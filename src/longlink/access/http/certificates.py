"""The TLS of HTTP: a context of its own for each certificate, so that a live one is never changed.

A pair that cannot be used raises and leaves everything as it was. Read next: server.py.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, NoReturn

from longlink import errors
from longlink.errors import LonglinkError

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Suites of TLS 1.2: forward secrecy and AEAD only (RFC 9325 section 4.2). Those of TLS 1.3 all are so."""


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """A context for TLS 1.2 and 1.3 with this pair.

    certificate: PEM file with the chain.
    key: PEM file with its private key, not encrypted.
    Raises CONFIG_INVALID when a file cannot be read or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(CIPHERS)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"cannot use the certificate {certificate} with the key {key}: {reason}"
        raise LonglinkError(errors.CONFIG_INVALID, message) from None
    return context


def pair_bytes(certificate: str, key: str) -> tuple[bytes, bytes]:
    """What the two files hold now, to notice that they were written while they were read. Raises CONFIG_INVALID."""
    try:
        return Path(certificate).read_bytes(), Path(key).read_bytes()
    except OSError as error:
        message = f"cannot read the certificate {certificate} or the key {key}: {error.strerror}"
        raise LonglinkError(errors.CONFIG_INVALID, message) from None


def _no_password() -> NoReturn:
    """Without it OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted; the server needs one without a password")
