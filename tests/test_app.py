"""The wiring: addresses, and what is said when the core cannot have what the settings ask for.

The running server is in scenarios/.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from longlink import errors
from longlink.access.http import places
from longlink.app import Server
from longlink.client.connect import connect
from longlink.config import Config, Connection, Data, Listen
from longlink.config import Server as ServerSettings
from longlink.errors import LonglinkError
from longlink.parts import Place, build_core


@pytest.mark.parametrize(("listen", "host"), [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("localhost", "localhost")])
def test_the_addresses_for_clients_can_be_read_by_clients(listen: str, host: str) -> None:
    place = Place(Config(listen=Listen(address=f"{listen}:0", http=f"{listen}:0")), 7700, 7701)
    assert (urlsplit(place.url).hostname, urlsplit(place.url).port) == (host, 7700)
    assert (urlsplit(place.http_url).hostname, urlsplit(place.http_url).port) == (host, 7701)


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (Connection(threads=300), "connection.threads: expected 1 to 255, got 300"),
        (Connection(message_rate=5_000_000), "connection.message_rate: expected 0 to 4000000, got 5000000"),
    ],
)
def test_a_limit_that_the_core_cannot_hold_is_named(connection: Connection, said: str) -> None:
    with pytest.raises(LonglinkError) as caught:
        build_core(Config(connection=connection))
    assert (caught.value.row, caught.value.message) == (errors.CONFIG_INVALID, said)


def test_an_address_that_this_machine_does_not_have_is_a_wrong_setting_and_not_a_taken_port(tmp_path: Path) -> None:
    # Of TEST-NET-1 (RFC 5737), which nobody has.
    listen = Listen(address="192.0.2.1:0", http="127.0.0.1:0", operations="127.0.0.1:0", behind_proxy=True)
    server = Server(Config(listen=listen, data=Data(dir=str(tmp_path / "data"))))
    with pytest.raises(LonglinkError, match=r"cannot listen on 192\.0\.2\.1:0 \(listen\.address\): ") as caught:
        asyncio.run(server.start())
    assert caught.value.row is errors.CONFIG_INVALID


def test_idle_http_connections_cannot_take_the_last_files_of_a_low_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    server = Server(
        Config(
            listen=Listen(address="127.0.0.1:0", http="127.0.0.1:0", operations="127.0.0.1:0"),
            data=Data(dir=str(tmp_path / "d")),
        )
    )

    async def run() -> None:
        await server.start()
        idle = [await asyncio.open_connection("127.0.0.1", server.http_port) for _ in range(17)]
        for reader, _ in idle[: -places.LEAST_SHARE]:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 5) == b"", "an older one gave way to each of these"
        assert not any(reader.at_eof() for reader, _ in idle[-places.LEAST_SHARE :])
        for _, writer in idle:
            writer.close()
        await server.stop()

    asyncio.run(run())


def test_a_server_inside_a_program_is_one_process() -> None:
    with pytest.raises(LonglinkError, match=r"server\.workers: expected 0") as caught:
        Server(Config(server=ServerSettings(workers=2)))
    assert caught.value.row is errors.CONFIG_INVALID


def test_a_program_sends_in_the_name_of_any_user_and_repeats_without_harm(tmp_path: Path) -> None:
    async def story() -> None:
        anywhere = "127.0.0.1:0"
        async with Server(data=tmp_path / "data", listen=anywhere, http=anywhere, operations=anywhere) as server:
            assert [await server.send("system", "alice", "hello", client_id="once") for _ in range(2)] == [1, 1]
            assert await server.send("system", "alice", "and again") == 2
            async with connect(server.url, token=server.token("alice")) as alice:
                chat = await alice.direct("system")
                assert [message.text async for message in chat.history(after=0)] == ["hello", "and again"]
            for sender, text, kind in (("", "hello", errors.FIELD_INVALID), ("system", "", errors.FIELD_INVALID)):
                with pytest.raises(LonglinkError) as caught:
                    await server.send(sender, "alice", text)
                assert caught.value.row is kind
            with pytest.raises(LonglinkError) as caught:
                await server.send("system", "alice", "other words", client_id="once")
            assert caught.value.row is errors.CONTENT_DIFFERS

    asyncio.run(asyncio.wait_for(story(), 30))


def test_settings_given_by_themselves_replace_those_of_the_configuration(tmp_path: Path) -> None:
    server = Server(Config(data=Data(dir="elsewhere")), data=tmp_path, http="127.0.0.1:7799")
    assert (server.config.data.dir, server.config.listen.http) == (str(tmp_path), "127.0.0.1:7799")
    assert server.config.listen.address == Config().listen.address
