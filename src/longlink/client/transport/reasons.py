"""Why a connection did not come up, in words: the errors of sockets, names and TLS as one short sentence.

Never quotes what travels. Used by every transport, so that the same failure reads the same on each of them.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import Final

from longlink import errors
from longlink.errors import LonglinkError

_number: Final = re.compile(r"\[Errno (\d+)\]").search


def down(error: Exception, host: str) -> LonglinkError:
    """DISCONNECTED with the reason for an error that came while connecting to host, or on the connection."""
    return LonglinkError(errors.DISCONNECTED, reason(error, host))


def reason(error: Exception, host: str = "") -> str:
    """A short sentence without the address."""
    if isinstance(error, socket.gaierror):
        return f"cannot resolve the host name {host!r}: {error.strerror}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate was rejected: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        if error.reason == "WRONG_VERSION_NUMBER":
            return "the server does not speak TLS on this port; use ws:// or tcp://, or another port"
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError):
        # With several addresses of one host asyncio joins the texts of all errors; the first one stands for them.
        found = _number(str(error))
        number = error.errno or (int(found[1]) if found else 0)
        text = os.strerror(number) if number else str(error)
        return text[:1].lower() + text[1:] if text else "the connection broke"
    return str(error) or type(error).__name__
