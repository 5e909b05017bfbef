"""Who asks over HTTP: from the Authorization field to a session, which has no connection.

    Authorization: Bearer TOKEN       a user, as the token says; the device from Longlink-Device, "http" without it
    Authorization: Longlink KEY       a session on a long link or stream, by its resume key

Longlink-Device beside a key must be the device of the key. A key is good here without a look-up; logic asks whether the
session goes on. Read next: ../resume.py, ../tokens.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from longlink import errors
from longlink.access.resume import ResumeKeys
from longlink.access.tokens import Verifier
from longlink.errors import LonglinkError
from longlink.protocol.codec import Encoding
from longlink.protocol.limits import NAME_MAX, check_device
from longlink.routing.sessions import Session

DEVICE: Final = "http"


class Callers:
    """now_s: seconds since the Unix epoch."""

    def __init__(self, verifier: Verifier, keys: ResumeKeys, now_s: Callable[[], float]) -> None:
        self._verifier = verifier
        self._keys = keys
        self._now_s = now_s

    def identify(self, authorization: str, device: str) -> Session:
        """authorization, device: the fields Authorization and Longlink-Device, empty when they are not there.

        Raises TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_FOREIGN; KEY_INVALID, KEY_EXPIRED, KEY_FOREIGN;
        FIELD_INVALID for a device.
        """
        scheme, _, proof = authorization.partition(" ")
        if scheme.lower() == "bearer":
            check_device(device or DEVICE, "Longlink-Device")
            user = self._verifier.verify(proof.strip(), self._now_s()).user
            return Session(user, device or DEVICE, "", 0, 0, 0, Encoding.BINARY)
        if scheme.lower() == "longlink":
            known = self._keys.read(proof.strip(), self._now_s())
            if device not in ("", known.device):
                raise LonglinkError(errors.KEY_FOREIGN, f"the key is not for device {device[:NAME_MAX]!a}")
            return Session(known.user, known.device, known.platform, known.id, known.link, 0, Encoding.BINARY)
        # What stands where the scheme should be may be the token itself.
        came = "another scheme" if scheme else "none"
        message = f"expected Authorization: Bearer TOKEN or Longlink KEY, got {came}"
        raise LonglinkError(errors.TOKEN_MISSING, message)
