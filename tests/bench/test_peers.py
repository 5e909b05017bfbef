"""The comparison with rivals: what is said to them, what is counted, that who is missing is named. Installs nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from bench.peers import __main__ as bench_peers
from bench.peers import figures, install, report
from bench.peers.dialects import Centrifugo, Dialect, Mqtt, Nchan, Room, Script
from bench.peers.figures import FIGURES, FULL, QUICK, Plan
from bench.peers.load import MASK, Crowd, frame
from bench.peers.probe import Sizes
from bench.peers.report import Outcome
from bench.peers.running import Command
from bench.peers.table import FLOOR, OURS, PEERS, Peer
from tests.bench.double import Link, double

from longlink.bench.floor import floor

TINY = Plan("tiny", 1, 5, 20, 10, 0.0, 0.1, 0.1, 0.05, 0.1, 3, 5)
DIALECTS: list[Dialect] = [Room(), Nchan(), Centrifugo(), Mqtt(), Mqtt("any@localhost")]
ROW = dict.fromkeys(FIGURES, 2.0)


def peer(name: str, command: Sequence[str] = ("true",)) -> Peer:
    return Peer(name, f"the {name}", lambda: "1.0", lambda: None, lambda home: Command(list(command)), Room())


def cannot_be_had() -> None:
    raise install.MissingError("no such tool here")


# The table ------------------------------------------------------------------------------------------------------------


def test_the_floor_and_ours_come_first_and_names_are_unique() -> None:
    names = [each.name for each in PEERS]
    assert names[:2] == [FLOOR, OURS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("each", PEERS, ids=lambda each: each.name)
def test_a_row_says_what_it_is(each: Peer) -> None:
    assert each.title
    assert each.version()


def test_every_server_in_the_folder_is_told_in_the_readme() -> None:
    readme = (install.SERVERS.parent / "README.md").read_text()
    untold = [path.name for path in install.SERVERS.iterdir() if f"servers/{path.name}" not in readme]
    assert [name for name in untold if not name.startswith("__")] == []


# What is said ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: type(dialect).__name__)
def test_all_connections_say_equally_much(dialect: Dialect) -> None:
    def size(script: Script) -> tuple[int, ...]:
        return (len(script.path), *map(len, script.hello), len(script.echo))

    assert len({size(dialect.member(number)) for number in (0, 9, 12_345)}) == 1
    assert len({size(dialect.alone(number, b"payload")) for number in (0, 9, 12_345)}) == 1


def test_mqtt_is_as_its_specification_says() -> None:
    connect, subscribe = Mqtt().member(7).hello
    assert connect == b"\x10\x13\0\4MQTT\4\2\x02\x58\0\7c000007"
    assert subscribe == b"\x82\x09\0\1\0\4room\0"
    assert Mqtt().publish(b"x" * 200) == b"\x30\xce\1\0\4room" + b"x" * 200


def test_centrifugo_is_told_in_protocol_buffers() -> None:
    (hello,) = Centrifugo().member(0).hello
    assert hello == b"\x04\x08\1\x22\0" + b"\x0a\x08\2\x2a\x06\x0a\x04room"
    assert Centrifugo().publish(b"hi") == b"\x0e\x08\3\x3a\x0a\x0a\x04room\x12\2hi"


@pytest.mark.parametrize("size", [0, 5, 125, 126, 1_000])
def test_a_frame_is_masked(size: int) -> None:
    made = frame(b"z" * size)
    assert made[0] == 0x82
    header = 2 if size < 126 else 4
    assert made[header : header + 4] == MASK
    payload = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(made[header + 4 :]))
    assert payload == b"z" * size


# What is counted ------------------------------------------------------------------------------------------------------


def test_payload_is_counted_however_frames_are_cut() -> None:
    whole = b"\x82\x03abc" + b"\x82\x7e\x01\x00" + b"d" * 256 + b"\x82\x00" + b"\x82\x02ef"

    def by_bytes(link: Link, message: bytes) -> None:
        for part in [b"\x82\x01?"] if message == b"?" else [bytes((byte,)) for byte in whole]:
            link._write(part)

    with double(by_bytes) as port, contextlib.closing(Crowd(port, Room())) as crowd:
        crowd.connect([Room().publisher()], 1)
        crowd.publish(b"=", crowd, 261, 3)
        assert crowd.received == 3 * 261


def test_a_server_that_ends_a_connection_ends_the_measurement() -> None:
    with (
        double(lambda link, _: link.close(1001)) as port,
        contextlib.closing(Crowd(port, Room())) as crowd,
        pytest.raises(RuntimeError, match="control frame 0x8"),
    ):
        crowd.connect([Room().member(0)], 1)


def test_every_figure_of_the_floor_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = floor()
    if made is None:
        pytest.skip("no C compiler")
    monkeypatch.setattr(install, "HOME", tmp_path)
    measured = peer(FLOOR, [made.program])
    numbers = figures.measure(measured, TINY, Sizes(joined=1, alone=1, echo=100, publisher=1, delivery=100))
    assert numbers.keys() == FIGURES.keys()
    assert min(numbers["connect_us"], numbers["echo_us"], numbers["fanout_few_us"], numbers["fanout_many_us"]) > 0


# Who is missing -------------------------------------------------------------------------------------------------------


def test_who_cannot_be_had_or_does_not_start_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = floor()
    if made is None:
        pytest.skip("no C compiler")
    monkeypatch.setattr(install, "HOME", tmp_path)
    peers = [
        peer("absent")._replace(prepare=cannot_be_had),
        peer("mute"),
        peer(FLOOR, [made.program]),
    ]
    missing: dict[str, str] = {}
    assert bench_peers.prepare(peers, missing) == {FLOOR: Sizes(joined=1, alone=1, echo=100, publisher=1, delivery=100)}
    assert missing == {
        "the absent": "no such tool here",
        "the mute": "expected the server to say a line that ends with its port, got ''",
    }


def test_who_breaks_in_a_round_is_left_out_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []

    def measure(each: Peer, *_: object) -> dict[str, float]:
        turns.append(each.name)
        if each.name == "weak" and turns.count("weak") == 2:
            raise RuntimeError("5 of 9 pings were answered")
        return ROW

    monkeypatch.setattr(figures, "measure", measure)
    peers, missing = [peer(FLOOR), peer("weak"), peer("strong")], dict[str, str]()
    sizes = dict.fromkeys([FLOOR, "weak", "strong"], Sizes(1, 1, 1, 1, 1))
    rounds = bench_peers.measure(peers, FULL, sizes, missing)
    assert {name: len(seen) for name, seen in rounds.items()} == {FLOOR: 3, "strong": 3}
    assert missing == {"the weak": "5 of 9 pings were answered"}
    assert [turns[0], turns[3], turns[6]] == [FLOOR, "weak", "strong"]


def test_the_page_shows_ratios_of_the_same_round_and_names_who_is_missing() -> None:
    rounds = {FLOOR: [ROW, dict.fromkeys(FIGURES, 4.0)], "rival": [ROW, dict.fromkeys(FIGURES, 8.0)]}
    outcome = Outcome({"date": "today"}, QUICK, [peer(FLOOR), peer("rival")], rounds, {"the other": "no Go here"})
    page = report.page(outcome)
    assert "| the rival | 5 (2 - 8) | 1.50 (1.00 - 2.00) |" in page
    assert "delivery to 2,000" in page
    assert "- the other: no Go here" in page
    assert report.flat(rounds)["rival.echo_us_to_floor"] == 1.5


def test_a_run_without_the_floor_still_shows_numbers() -> None:
    page = report.page(Outcome({}, QUICK, [peer("rival")], {"rival": [ROW]}, {}))
    assert "| the rival | 2 | - |" in page
