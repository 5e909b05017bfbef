"""A real server against its own description: schemathesis makes requests from it, and judges the answers.

The cases are the same in every run. Formats that JSON Schema does not know are made here: names of users are bounded in
bytes, and a cursor is good only from an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from longlink.access.http.endpoints import OPENAPI
from longlink.testing import RunningServer
from longlink.testing.server import run_server

UNLIMITED = {"LONGLINK_LIMITS_WORK_RATE": "0", "LONGLINK_HTTP_STRANGER_RATE": "0"}

schemathesis.openapi.format("longlink-user", st.from_regex(r"[a-zäß中-龥0-9._-]{1,16}", fullmatch=True))
schemathesis.openapi.format("longlink-cursor", st.just(""))
schema = schemathesis.openapi.from_path(OPENAPI)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server(settings=UNLIMITED) as server:
        yield server


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_the_description_says(case: schemathesis.Case[Any], server: RunningServer) -> None:
    case.call_and_validate(base_url=server.http, headers={"Authorization": f"Bearer {server.token('alice')}"})
