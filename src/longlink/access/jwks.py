"""Key sets by address: fetched when the server starts and every few minutes, by a thread of their own.

The last good copy is kept in the data folder, for a start while the address cannot be reached. What fails is logged and
counted, and the keys of before stay. A kid that nobody knows brings the next fetch forward, at most one in GAP_S. Only
public keys are taken from an address, because anyone who can fetch them knows them. Read next: keys.py, tokens.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from joserfc.errors import JoseError

from longlink import errors
from longlink.access.keys import Key, parse_set
from longlink.access.secret_files import read_secret, write_private
from longlink.config.check import is_loopback
from longlink.errors import LonglinkError
from longlink.ops import logs
from longlink.ops.metrics import Counts

log = logs.get("jwks")

LARGEST: Final = 65_536
"""Bytes of one key set."""
TIMEOUT_S: Final = 5.0
"""Of one step of a fetch, and of its body."""
GAP_S: Final = 10.0
"""At least so long between two fetches that unknown kids or SIGHUP ask for."""
RETRY_S: Final = 30.0
"""After a fetch that failed, if the usual time is longer."""
PAUSES_S: Final = (0.0, 0.5, 1.0)
"""Before each try of a start without a copy of before."""
UNKNOWN_KIDS: Final = 256
"""Unknown kids of which it is remembered when they were first named."""

Fetch = Callable[[str], bytes]
"""The body at an address. Raises OSError or ValueError in words that quote nothing of it."""


def is_address(entry: str) -> bool:
    """Whether an entry of auth.keys is an address and not a path."""
    return "://" in entry


class RemoteKeys:
    """The keys of some addresses. keys: of the newest good copies. All methods are safe to call from any thread.

    refresh_s: between two fetches. now_s: any monotonic clock.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        folder: Path,
        refresh_s: float,
        counts: Counts,
        *,
        fetch: Fetch | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sets = [_Set(address, folder, fetch or fetch_https) for address in addresses]
        self._refresh_s = refresh_s
        self._counts = counts
        self._now_s = now_s
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._change = threading.Condition()
        self._due_s = 0.0
        self._begun_s = 0.0
        self._whole_since_s = float("-inf")
        self._ended = False
        self._thread: threading.Thread | None = None

    @property
    def keys(self) -> list[Key]:
        return [key for each in self._sets for key in each.keys]

    def load(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Fetch all, before the server starts; blocks. Raises CONFIG_INVALID if there is no copy of before either."""
        self._begun_s = self._now_s()
        whole = True
        for each in self._sets:
            kept = each.take_copy()
            for pause_s in PAUSES_S[:1] if kept else PAUSES_S:
                sleep(pause_s)
                failure = self._fetch(each)
                if not failure:
                    break
            else:
                whole = False
                if not kept:
                    message = (
                        f"auth.keys: cannot get the keys of {each.name}: {failure}; and there is no copy of before"
                    )
                    raise LonglinkError(errors.CONFIG_INVALID, message)
                log.warning("jwks_from_copy", address=each.name, error=failure)
        self._plan(whole=whole)

    def start(self, changed: Callable[[], None]) -> None:
        """Fetch again from now on. changed: called by the thread when there are other keys."""
        if self._sets:
            self._thread = threading.Thread(target=self._run, args=(changed,), name="jwks", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; a fetch under way is left to its timeout. Idempotent."""
        with self._change:
            self._ended = True
            self._change.notify()

    def ask(self) -> None:
        """Fetch soon: now, or GAP_S after the last time."""
        with self._change:
            self._due_s = min(self._due_s, self._begun_s + GAP_S)
            self._change.notify()

    def wait_s(self, kid: str) -> float:
        """How long until this unknown kid may be known; 0 when all sets were fetched since it was first named."""
        with self._change:
            now_s = self._now_s()
            named_s = self._unknown.setdefault(kid, now_s)
            if len(self._unknown) > UNKNOWN_KIDS:
                self._unknown.popitem(last=False)
            if not self._sets or self._whole_since_s > named_s:
                return 0.0
            self._due_s = min(self._due_s, self._begun_s + GAP_S)
            self._change.notify()
            return max(1.0, self._due_s - now_s)

    # The thread -------------------------------------------------------------------------------------------------------

    def _run(self, changed: Callable[[], None]) -> None:
        while self._wait():
            before = self.keys
            failures = [self._fetch(each) for each in self._sets]
            self._plan(whole=not any(failures))
            if self.keys != before:
                try:
                    changed()
                except LonglinkError as error:
                    log.error("jwks_refused", error=str(error))

    def _wait(self) -> bool:
        """Until the next fetch is due; False when there is to be none."""
        with self._change:
            while not self._ended and (left_s := self._due_s - self._now_s()) > 0:
                self._change.wait(left_s)
            self._begun_s = self._now_s()
            return not self._ended

    def _plan(self, *, whole: bool) -> None:
        with self._change:
            if whole:
                self._whole_since_s = self._begun_s
            pause_s = self._refresh_s if whole else min(self._refresh_s, RETRY_S)
            self._due_s = self._begun_s + pause_s

    def _fetch(self, each: _Set) -> str:
        """Why it failed; empty when it did not."""
        self._counts.jwks_fetches += 1
        try:
            each.fetch()
        except (OSError, ValueError, http.client.HTTPException, LonglinkError) as error:
            self._counts.jwks_failures += 1
            failure = _reason(error)
            log.warning("jwks_failed", address=each.name, error=failure)
            return failure
        return ""


class _Set:
    """One address. name: it without a query, which may hold a secret. keys: of its newest good copy."""

    def __init__(self, address: str, folder: Path, fetch: Fetch) -> None:
        check_address(address)
        self._address = address
        self._fetch = fetch
        self._copy = folder / f"jwks-{hashlib.sha256(address.encode()).hexdigest()[:16]}.json"
        self._body = b""
        self.name = shown(address)
        self.keys: list[Key] = []

    def take_copy(self) -> bool:
        """Begin with the copy of before; False when there is none that can be used."""
        try:
            body = read_secret(self._copy, LARGEST)
            if body is None:
                return False
            self.keys, self._body = self._parse(body), body
        except LonglinkError as error:
            log.warning("jwks_copy_unusable", file=str(self._copy), error=error.message)
            return False
        return True

    def fetch(self) -> None:
        """Raises what the fetch raises, and CONFIG_INVALID for a set that cannot be used. The keys stay then."""
        body = self._fetch(self._address)
        if body == self._body:
            return
        self.keys = self._parse(body)
        self._body = body
        write_private(self._copy, body)
        log.info("jwks_fetched", address=self.name, keys=len(self.keys))

    def _parse(self, body: bytes) -> list[Key]:
        try:
            keys = parse_set(self.name, body)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            why = str(error) if type(error) is ValueError and str(error).startswith("expected ") else "not a JWKS"
            raise LonglinkError(errors.CONFIG_INVALID, why) from None
        if any(key.algorithm == "HS256" for key in keys):
            raise LonglinkError(errors.CONFIG_INVALID, "expected public keys, got a secret (oct), which is public now")
        return keys


def _reason(error: Exception) -> str:
    if isinstance(error, LonglinkError):
        return error.message
    if isinstance(error, urllib.error.URLError):
        return f"no connection ({error.reason})"
    return str(error) if isinstance(error, ValueError | TimeoutError) else type(error).__name__


# Addresses and HTTP ---------------------------------------------------------------------------------------------------


def check_address(address: str) -> None:
    """https://host/..., or http:// on loopback; no user and no password. Raises CONFIG_INVALID."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if not host or parts.scheme not in ("https", "http") or "@" in parts.netloc or parts.fragment:
        what = "auth.keys: expected the address of a JWKS as https://host/path, without user and fragment"
        raise LonglinkError(errors.CONFIG_INVALID, f"{what}, got one with the scheme {parts.scheme[:10]!r}")
    if parts.scheme == "http" and not is_loopback(host):
        message = f"auth.keys: expected https, because anybody on the way could change the keys, got {shown(address)}"
        raise LonglinkError(errors.CONFIG_INVALID, message)


def shown(address: str) -> str:
    """An address for logs and errors: without query."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few, to addresses that could have been configured too, and never from https to http."""

    max_redirections = 3

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        with contextlib.ExitStack() as refused:
            refused.callback(fp.close)
            check_address(newurl)
            if req.type == "https" and urlsplit(newurl).scheme != "https":
                raise ValueError("expected https all the way, got a redirect to http")
            refused.pop_all()
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch_https(address: str) -> bytes:
    """The body at an address that check_address accepts. Raises OSError, HTTPException, ValueError, CONFIG_INVALID."""
    handlers: list[Any] = [_Redirects(), urllib.request.HTTPSHandler(context=ssl.create_default_context())]
    if urlsplit(address).scheme == "http":
        handlers.append(urllib.request.ProxyHandler({}))
    headers = {"Accept": "application/jwk-set+json, application/json", "User-Agent": "longlink"}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - checked by check_address
    until_s = time.monotonic() + TIMEOUT_S
    try:
        opened = urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        raise ValueError(f"expected status 200, got {error.code}") from None
    with opened as answer:
        if answer.status != 200:
            raise ValueError(f"expected status 200, got {answer.status}")
        body = b""
        while part := answer.read1(LARGEST + 1 - len(body)):
            body += part
            if len(body) > LARGEST:
                raise ValueError(f"expected at most {LARGEST} bytes, got more")
            if time.monotonic() > until_s:
                raise TimeoutError(f"no whole answer within {TIMEOUT_S:g} s")
        return body
