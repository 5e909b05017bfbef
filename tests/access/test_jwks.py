"""Key sets by address: a real HTTP server on loopback, a clock of our own, and every way for a fetch to go wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from joserfc.jwk import OKPKey

from longlink import errors
from longlink.access import jwks
from longlink.access.jwks import GAP_S, RETRY_S, RemoteKeys, check_address, fetch_https, shown
from longlink.access.keys import Key
from longlink.access.tokens import Verifier
from longlink.config import Auth
from longlink.errors import LonglinkError
from longlink.ops.metrics import Counts

from .test_tokens import CLAIMS, NOW, token

ADDRESS: Final = "https://idp.example.com/jwks.json?client=abc"
ONE: Final = OKPKey.generate_key("Ed25519")
TWO: Final = OKPKey.generate_key("Ed25519")


def key_set(**keys: OKPKey) -> bytes:
    return json.dumps({"keys": [{**key.as_dict(private=False), "kid": kid} for kid, key in keys.items()]}).encode()


def signed(kid: str, key: OKPKey) -> str:
    return token(CLAIMS, {"alg": "EdDSA", "kid": kid}, Key("EdDSA", kid, key).sign)


class Provider:
    """What an address answers, and how often it was asked. body: bytes, or the exception that the fetch is."""

    def __init__(self, body: bytes | Exception) -> None:
        self.body = body
        self.asked = 0
        self.now_s = 1_000.0
        self.counts = Counts()

    def fetch(self, _: str) -> bytes:
        self.asked += 1
        if isinstance(self.body, Exception):
            raise self.body
        return self.body

    def remote(self, folder: Path, refresh_s: float = 300.0) -> RemoteKeys:
        return RemoteKeys([ADDRESS], folder, refresh_s, self.counts, fetch=self.fetch, now_s=lambda: self.now_s)

    def verifier(self, folder: Path) -> Verifier:
        remote = self.remote(folder)
        remote.load(lambda _: None)
        return Verifier(Auth(keys=[ADDRESS]), list, remote)


def run_once(remote: RemoteKeys, changed: Callable[[], None] = lambda: None) -> None:
    """What the thread does when a fetch is due, in this thread."""
    ends = iter([True, False])
    remote._wait = lambda: next(ends)  # type: ignore[method-assign]
    remote._begun_s = remote._now_s()
    remote._run(changed)
    del remote._wait


def test_the_keys_of_an_address_are_trusted_and_a_copy_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    provider = Provider(key_set(a=ONE))
    assert provider.verifier(tmp_path).verify(signed("a", ONE), NOW).user == "alice"
    [copy] = tmp_path.iterdir()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.read_bytes() == provider.body


def test_a_start_without_copy_tries_three_times_and_says_what_is_wrong_without_the_query(tmp_path: Path) -> None:
    provider = Provider(TimeoutError("timed out"))
    pauses: list[float] = []
    with pytest.raises(LonglinkError) as caught:
        provider.remote(tmp_path).load(pauses.append)
    assert caught.value.row is errors.CONFIG_INVALID
    assert "cannot get the keys of https://idp.example.com/jwks.json: timed out" in caught.value.message
    assert "abc" not in caught.value.message
    assert (provider.asked, pauses) == (3, [0.0, 0.5, 1.0])
    assert (provider.counts.jwks_fetches, provider.counts.jwks_failures) == (3, 3)


def test_a_start_goes_on_from_the_copy_of_before_after_one_try(tmp_path: Path) -> None:
    Provider(key_set(a=ONE)).verifier(tmp_path)
    later = Provider(ConnectionRefusedError())
    assert later.verifier(tmp_path).verify(signed("a", ONE), NOW).user == "alice"
    assert later.asked == 1


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"{}", b'{"keys":[{"kty":"oct","k":"x"}]}'])
def test_a_copy_that_broke_is_no_copy(tmp_path: Path, content: bytes) -> None:
    Provider(key_set(a=ONE)).verifier(tmp_path)
    [copy] = tmp_path.iterdir()
    copy.write_bytes(content)
    with pytest.raises(LonglinkError, match="there is no copy of before"):
        Provider(ConnectionRefusedError()).remote(tmp_path).load(lambda _: None)


OCT: Final = json.dumps({"keys": [{"kty": "oct", "kid": "s", "k": "c2VjcmV0" * 6}]}).encode()
PRIVATE: Final = json.dumps({"keys": [ONE.as_dict(private=True)]}).encode()
BAD: Final[dict[str, tuple[bytes | Exception, str]]] = {
    "a secret": (OCT, "got a secret (oct), which is public now"),
    "a private key": (PRIVATE, "got a private key"),
    "a page": (b"<html>503</html>", "not a JWKS"),
    "nothing": (b"", "not a JWKS"),
    "an empty set": (b'{"keys":[]}', "at least one key"),
    "an array": (b"[]", "not a JWKS"),
    "text in UTF-16": (key_set(a=ONE).decode().encode("utf-16"), "not a JWKS"),
    "a status": (ValueError("expected status 200, got 503"), "got 503"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_fetch_that_brings_no_keys_leaves_those_of_before_and_is_counted(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider = Provider(key_set(a=ONE))
    verifier = provider.verifier(tmp_path)
    provider.body, said = BAD[name]
    run_once(verifier._remote, verifier.reload)
    assert verifier.verify(signed("a", ONE), NOW)
    assert provider.counts.jwks_failures == 1
    [record] = [each for each in caplog.records if each.message == "jwks_failed"]
    assert said in record.__dict__["fields"]["error"]
    assert verifier._remote._due_s == provider.now_s + RETRY_S, "it is tried again soon"


def test_a_key_that_was_added_or_taken_away_counts_from_the_next_fetch_on(tmp_path: Path) -> None:
    provider = Provider(key_set(a=ONE))
    verifier = provider.verifier(tmp_path)
    provider.body = key_set(b=TWO)
    verifier._remote.start(lambda: None)
    verifier._remote.stop()
    run_once(verifier._remote, lambda: verifier._trust(verifier._local))
    assert verifier.verify(signed("b", TWO), NOW)
    with pytest.raises(LonglinkError):
        verifier.verify(signed("a", ONE), NOW)


def refused(verifier: Verifier, kid: str = "b") -> LonglinkError:
    with pytest.raises(LonglinkError) as caught:
        verifier.verify(signed(kid, TWO), NOW)
    return caught.value


def test_an_unknown_kid_is_early_until_a_fetch_has_not_brought_it(tmp_path: Path) -> None:
    provider = Provider(key_set(a=ONE))
    verifier = provider.verifier(tmp_path)
    provider.now_s += 4
    error = refused(verifier)
    assert (error.row, error.retry_after_ms) == (errors.TOKEN_EARLY, int(GAP_S - 4) * 1000)
    assert verifier._remote._due_s == provider.now_s - 4 + GAP_S, "one fetch in ten seconds"
    provider.now_s += 6
    provider.body = OSError()
    run_once(verifier._remote)
    assert refused(verifier).row is errors.TOKEN_EARLY, "a fetch that failed says nothing of the kid"
    provider.now_s += 20
    provider.body = key_set(a=ONE)
    run_once(verifier._remote)
    assert refused(verifier).row is errors.TOKEN_INVALID
    assert refused(verifier, "c").row is errors.TOKEN_EARLY


def test_a_flood_of_unknown_kids_brings_one_fetch_and_keeps_few_of_them(tmp_path: Path) -> None:
    provider = Provider(key_set(a=ONE))
    verifier = provider.verifier(tmp_path)
    for number in range(1_000):
        assert refused(verifier, f"kid {number}").row is errors.TOKEN_EARLY
    assert len(verifier._remote._unknown) == jwks.UNKNOWN_KIDS
    assert verifier._remote._due_s == provider.now_s + GAP_S
    assert provider.asked == 1


def test_without_addresses_an_unknown_kid_is_invalid(tmp_path: Path) -> None:
    verifier = Verifier(Auth(), lambda: [Key("EdDSA", "a", ONE)], RemoteKeys([], tmp_path, 1, Counts()))
    assert refused(verifier).row is errors.TOKEN_INVALID


# Addresses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "http://idp.example.com/jwks.json",
        "ftp://127.0.0.1/jwks.json",
        "file:///etc/passwd",
        "https://",
        "https://user:password@idp.example.com/",
        "https://idp.example.com/#keys",
        "https://idp.example.com:x/",
        "https://[::1/",
    ],
)
def test_an_address_that_could_be_read_or_changed_on_the_way_is_refused(address: str) -> None:
    with pytest.raises(LonglinkError) as caught:
        check_address(address)
    assert caught.value.row is errors.CONFIG_INVALID
    assert "password" not in caught.value.message


def test_https_and_loopback_are_addresses() -> None:
    for address in (ADDRESS, "http://127.0.0.1:8080/k", "http://localhost/k", "http://[::1]:1/k"):
        check_address(address)
    assert shown(ADDRESS) == "https://idp.example.com/jwks.json"


# HTTP -----------------------------------------------------------------------------------------------------------------


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def saying(status: int, body: bytes, **fields: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **fields}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_the_body_of_an_answer_is_fetched() -> None:
    with serving(saying(200, key_set(a=ONE))) as address:
        assert fetch_https(address) == key_set(a=ONE)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (saying(503, b"sorry"), "503"),
        (saying(204, b""), "got 204"),
        (saying(200, b"x" * 65_537), "at most 65536 bytes"),
        (saying(302, b"", Location="ftp://127.0.0.1/"), "the address of a JWKS as https"),
        (saying(302, b"", Location="http://192.0.2.1/"), "expected https"),
        (saying(302, b"", Location="file:///etc/passwd"), "got 302"),
        (saying(302, b"", Location="/jwks.json"), "302"),
    ],
)
def test_an_answer_that_is_no_key_set_or_leads_elsewhere_is_refused(
    answer: Callable[[BaseHTTPRequestHandler], None], said: str
) -> None:
    with serving(answer) as address, pytest.raises((OSError, ValueError, LonglinkError)) as caught:
        fetch_https(address)
    assert said in jwks._reason(caught.value)


def test_a_redirect_on_the_same_host_is_followed() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        here = handler.path == "/new"
        (saying(200, b"{}") if here else saying(301, b"", Location="/new"))(handler)

    with serving(answer) as address:
        assert fetch_https(address) == b"{}"


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "TIMEOUT_S", 0.2)
    ended = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while not ended.wait(0.05):
                handler.wfile.write(b" ")
        except OSError:
            pass

    with serving(answer) as address:
        begun_s = time.monotonic()
        with pytest.raises(TimeoutError):
            fetch_https(address)
        assert time.monotonic() - begun_s < 2
        ended.set()


def test_the_thread_fetches_when_it_is_asked_and_ends_when_it_is_told(tmp_path: Path) -> None:
    changed = threading.Event()
    provider = Provider(key_set(a=ONE))
    remote = provider.remote(tmp_path)
    remote.load(lambda _: None)
    provider.body = key_set(b=TWO)
    provider.now_s += GAP_S
    remote.start(changed.set)
    remote.ask()
    assert changed.wait(5)
    assert [key.kid for key in remote.keys] == ["b"]
    remote.stop()
    assert remote._thread is not None
    remote._thread.join(5)
    assert not remote._thread.is_alive()
