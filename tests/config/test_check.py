"""Settings that contradict one another stop the start."""

from __future__ import annotations

import pytest

from longlink import errors
from longlink.config import load
from longlink.config.check import LARGEST_MESSAGE
from longlink.errors import LonglinkError
from longlink.parts import build_core
from longlink.protocol.frames import Content, Frame, Message
from longlink.protocol.text import encode_text


def refusal(**environ: str) -> LonglinkError:
    with pytest.raises(LonglinkError) as caught:
        load(None, {f"LONGLINK_{name}": value for name, value in environ.items()}, {})
    return caught.value


def accept(**environ: str) -> None:
    load(None, {f"LONGLINK_{name}": value for name, value in environ.items()}, {})


@pytest.mark.parametrize("address", ["127.0.0.1:7700", "127.9.9.9:0", "localhost:7700", "[::1]:65535"])
def test_loopback_needs_no_tls(address: str) -> None:
    accept(LISTEN_ADDRESS=address)


@pytest.mark.parametrize("address", ["0.0.0.0:7700", "[::]:7700", "192.0.2.1:7700", "chat.example:7700"])
def test_other_addresses_without_tls_are_insecure_unless_a_proxy_is_in_front(address: str) -> None:
    error = refusal(LISTEN_ADDRESS=address)
    assert error.row is errors.INSECURE
    assert "listen.address (LONGLINK_LISTEN_ADDRESS)" in error.message
    accept(LISTEN_ADDRESS=address, LISTEN_BEHIND_PROXY="true")
    accept(LISTEN_ADDRESS=address, LISTEN_TLS_CERTIFICATE="c.pem", LISTEN_TLS_KEY="k.pem")


def test_the_http_address_is_held_to_the_same_rule() -> None:
    assert refusal(LISTEN_HTTP="0.0.0.0:7701").row is errors.INSECURE


@pytest.mark.parametrize(
    "address",
    [
        *("", "7700", ":7700", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:-1", "127.0.0.1:7 "),
        *("::1:7700", "127.0.0.1:٣", "[]:1", "[127.0.0.1]:1", " 127.0.0.1:1"),
    ],
)
def test_an_address_must_be_host_and_port(address: str) -> None:
    error = refusal(LISTEN_ADDRESS=address)
    assert error.row is errors.CONFIG_INVALID
    assert "expected host:port" in error.message


@pytest.mark.parametrize("networks", ["10.0.0.0/8,192.0.2.7", "fd00::/8", "10.1.2.3/8", ""])
def test_trusted_proxies_are_networks_and_the_core_takes_what_is_accepted(networks: str) -> None:
    accept(LISTEN_TRUSTED_PROXIES=networks)
    config = load(None, {"LONGLINK_LISTEN_TRUSTED_PROXIES": networks}, {}).config
    build_core(config).stop()


@pytest.mark.parametrize(
    "network", ["proxy.example", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "fe80::1%eth0", "10.0.0.0/", "10.0.0.0/+8"]
)
def test_what_is_no_network_is_named(network: str) -> None:
    error = refusal(LISTEN_TRUSTED_PROXIES=f"10.0.0.0/8,{network}")
    assert error.row is errors.CONFIG_INVALID
    assert error.message.startswith("listen.trusted_proxies (LONGLINK_LISTEN_TRUSTED_PROXIES): expected networks")
    assert error.message.endswith(f"got {network!r}")


def test_proxies_are_bounded_and_the_proxy_protocol_needs_some() -> None:
    many = ",".join(["10.0.0.0/8"] * 1_001)
    assert "expected at most 1000 networks, got 1001" in refusal(LISTEN_TRUSTED_PROXIES=many).message
    assert "listen.proxy_protocol is set" in refusal(LISTEN_PROXY_PROTOCOL="true").message
    accept(LISTEN_PROXY_PROTOCOL="true", LISTEN_TRUSTED_PROXIES="10.0.0.0/8")


@pytest.mark.parametrize(("given", "missing"), [("CERTIFICATE", "tls_key"), ("KEY", "tls_certificate")])
def test_certificate_and_key_come_together(given: str, missing: str) -> None:
    assert f"listen.{missing}: expected a file" in refusal(**{f"LISTEN_TLS_{given}": "x.pem"}).message


def test_the_idle_timeout_is_more_than_two_heartbeats_or_off() -> None:
    accept(CONNECTION_HEARTBEAT_MS="100", CONNECTION_IDLE_TIMEOUT_MS="201")
    accept(CONNECTION_HEARTBEAT_MS="100", CONNECTION_IDLE_TIMEOUT_MS="0")
    error = refusal(CONNECTION_HEARTBEAT_MS="100", CONNECTION_IDLE_TIMEOUT_MS="200")
    assert "expected more than twice connection.heartbeat_ms, 2 x 100, or 0 for off, got 200" in error.message
    error = refusal(CONNECTION_HEARTBEAT_LEAST_MS="300", CONNECTION_HEARTBEAT_MOST_MS="299")
    assert error.message == "connection.heartbeat_most_ms: expected at least heartbeat_least_ms (300), got 299"


def test_the_largest_message_fits_a_record_also_in_the_json_twin() -> None:
    large = {"CONNECTION_QUEUE_BYTES": "100000000"}
    accept(**large, CONNECTION_MAX_MESSAGE_BYTES="2097152")
    error = refusal(**large, CONNECTION_MAX_MESSAGE_BYTES="2097153")
    assert error.message == "connection.max_message_bytes: expected at most 2097152, got 2097153"
    worst = Frame(message=Message(content=Content(text="\x01" * LARGEST_MESSAGE)))
    assert len(encode_text(worst)) < 2**24


def test_the_largest_message_fits_the_queues_that_it_must_pass() -> None:
    assert "connection.queue_bytes" in refusal(CONNECTION_QUEUE_BYTES="262143").message
    assert "connection.total_queue_bytes" in refusal(CONNECTION_TOTAL_QUEUE_BYTES="262143").message
    assert "connection.ring_bytes" in refusal(CONNECTION_RING_BYTES="65535").message
    assert "storage.queue: expected at least storage.batch (1024), got 1023" in refusal(STORAGE_QUEUE="1023").message


def test_a_text_that_no_file_name_can_hold_is_refused_with_its_name() -> None:
    with pytest.raises(LonglinkError, match=r"data\.dir .*without NUL") as caught:
        load(None, {}, {"--data": "a\0b"})
    assert caught.value.row is errors.CONFIG_INVALID


def test_workers_fit_into_eight_bits() -> None:
    accept(SERVER_WORKERS="255")
    assert "server.workers: expected at most 255, got 256" in refusal(SERVER_WORKERS="256").message


def test_a_number_of_this_machine_fits_into_ten_bits() -> None:
    accept(SERVER_NUMBER="1023")
    assert "server.number: expected at most 1023, got 1024" in refusal(SERVER_NUMBER="1024").message


def test_a_process_hangs_after_some_beats_at_least_or_never() -> None:
    for given in ("0", "4000"):
        accept(SERVER_HANG_TIMEOUT_MS=given)
    message = refusal(SERVER_HANG_TIMEOUT_MS="3999").message
    assert message == "server.hang_timeout_ms: expected 0 or at least 4000, got 3999"


@pytest.mark.parametrize(("key", "most"), [("coalesce_ms", 1_000), ("stream_heartbeat_ms", 86_400_000)])
def test_what_the_core_would_refuse_is_refused_with_the_settings(key: str, most: int) -> None:
    given = {f"CONNECTION_{key.upper()}": str(most + 1)}
    assert refusal(**given).message == f"connection.{key}: expected at most {most}, got {most + 1}"
