"""The endpoints beside calls: those of operators, and those that clients see, asked in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import httpx2 as httpx
import pytest
from starlette.types import ASGIApp

from longlink import errors
from longlink.access.http import Callers, Proxies, ShortLink, Strangers, build_http, build_operations, endpoints
from longlink.access.jwks import RemoteKeys
from longlink.access.resume import ResumeKeys
from longlink.access.tokens import Verifier
from longlink.config import Auth
from longlink.errors import LonglinkError
from longlink.ops.metrics import Counts
from longlink.routing.calls import Call, Reply
from longlink.routing.rates import Rate
from longlink.routing.work import Accounts


async def is_ready() -> list[str]:
    return []


async def one_number() -> bytes:
    return b"x 1\n"


NO_ADDRESSES = RemoteKeys([], Path(), 1.0, Counts())


async def no_logic(_: Sequence[Call]) -> list[Reply]:
    raise AssertionError("operators ask no logic")


STRANGERS = Strangers(Rate(0, 1, float), Counts(), Proxies())
NOBODY = ShortLink(
    Callers(Verifier(Auth(), list, NO_ADDRESSES), ResumeKeys(b""), float),
    Accounts(0, 1, float),
    no_logic,
    Counts(),
    1,
    STRANGERS,
)


def ask(
    path: str,
    method: str = "GET",
    ready: Callable[[], Awaitable[list[str]]] = is_ready,
    metrics: Callable[[], Awaitable[bytes]] = one_number,
) -> httpx.Response:
    """As an operator."""
    return request(build_operations(ready=ready, metrics=metrics), path, method)


def ask_as_client(
    path: str, ready: Callable[[], Awaitable[list[str]]] = is_ready, headers: dict[str, str] | None = None
) -> httpx.Response:
    app = build_http(ready=ready, short_link=NOBODY, strangers=STRANGERS, counts=Counts(), links_port=7700)
    return request(app, path, "GET", headers)


def request(app: ASGIApp, path: str, method: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async def one() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(one())


def test_healthz_says_that_the_process_lives() -> None:
    answer = ask("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["cache-control"] == "no-store"


def test_readyz_is_200_when_nothing_speaks_against_it() -> None:
    answer = ask("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "reasons": []})


def test_readyz_is_503_with_the_reasons() -> None:
    async def reasons() -> list[str]:
        return ["draining"]

    answer = ask("/readyz", ready=reasons)
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "reasons": ["draining"]})


def test_a_check_that_hangs_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "READY_S", 0.01)

    async def hang() -> list[str]:
        await asyncio.Event().wait()
        return []

    answer = ask("/readyz", ready=hang)
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["the check took longer than 0.01 s"])


def test_numbers_that_cannot_be_had_are_an_error_and_not_a_part_of_the_truth() -> None:
    async def away() -> bytes:
        raise LonglinkError(errors.LOGIC_UNAVAILABLE, "gateway-2 has not answered")

    answer = ask("/metrics", metrics=away)
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "gateway-2 has not answered"


def test_metrics_are_the_text_of_prometheus() -> None:
    answer = ask("/metrics")
    assert answer.content == b"x 1\n"
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_clients_see_whether_the_server_is_ready_and_not_why_it_is_not() -> None:
    async def reasons() -> list[str]:
        return ["the disk at a secret place is full"]

    assert (ask_as_client("/readyz").status_code, ask_as_client("/readyz").json()) == (200, {"status": "ready"})
    answer = ask_as_client("/readyz", ready=reasons)
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready"})
    assert ask_as_client("/healthz").json() == {"status": "ok"}


def test_clients_get_no_metrics_and_read_where_they_are() -> None:
    answer = ask_as_client("/metrics")
    assert (answer.status_code, answer.json()["error"]["name"]) == (404, "path_unknown")
    assert answer.json()["error"]["message"].endswith("metrics are on the address of the setting listen.operations")


def test_an_unknown_path_is_an_error_of_the_table_that_names_those_there_are() -> None:
    for answer, there in (
        (ask("/metric"), "/healthz, /readyz, /metrics"),
        (ask_as_client("/metric"), "/healthz, /readyz, /v1/openapi.json, /v1/frames, "),
    ):
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert (error["code"], error["name"], error["retry"]) == (errors.PATH_UNKNOWN.code, "path_unknown", False)
        assert error["message"].startswith(f"expected one of {there}")
        assert error["message"].endswith(", got '/metric'")
        assert error["remedy"] == errors.PATH_UNKNOWN.remedy


def test_a_method_that_is_not_there_is_an_error_that_names_those_there_are() -> None:
    answer = ask("/healthz", "POST")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.json()["error"]["message"] == "expected one of GET, HEAD for /healthz, got POST"


def test_a_defect_is_told_without_its_details() -> None:
    async def fail() -> bytes:
        raise RuntimeError("at the secret place")

    answer = ask("/metrics", metrics=fail)
    assert answer.status_code == 500
    assert answer.json()["error"]["name"] == "internal"
    assert "secret place" not in answer.text


@pytest.mark.parametrize(("path", "headers"), [("/v1/events", {}), ("/", {"Upgrade": "websocket"})])
def test_a_client_that_looks_for_a_connection_here_reads_on_which_port_they_are(
    path: str, headers: dict[str, str]
) -> None:
    answer = ask_as_client(path, headers=headers)
    assert answer.status_code == 404
    assert "this is the port of the HTTP API" in answer.json()["error"]["message"]
    assert answer.json()["error"]["message"].endswith("are on port 7700")
