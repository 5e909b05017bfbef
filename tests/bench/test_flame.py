"""bench/flame.py: samples become stacks, stacks a picture whose widths are times."""

from __future__ import annotations

from xml.etree import ElementTree

from bench import flame

SVG = "{http://www.w3.org/2000/svg}"
SCRIPT = """\
longlink-io-0 12219
    ffffffff8201eba7 tcp_ack ([kernel.kallsyms])
              10aba4 __libc_send (inlined)
               a8568 longlink_core::transport::write (/somewhere/longlink/_core.abi3.so)

longlink-io-0 12219
               a8568 longlink_core::transport::write (/somewhere/longlink/_core.abi3.so)

python 12200
              192aef _PyEval_EvalFrameDefault (/somewhere/libpython3.11.so.1.0)
               891f4 [unknown] (/memfd:a (deleted))

"""


def test_a_sample_becomes_a_stack_from_the_thread_to_the_function_that_ran() -> None:
    stacks = flame.fold(SCRIPT.splitlines())
    assert stacks.total() == 3
    assert next(iter(stacks)) == (
        ("longlink-io-0", "libraries"),
        ("transport::write", "core"),
        ("__libc_send", "libraries"),
        ("tcp_ack", "kernel"),
    )


def test_shares_are_those_of_the_functions_that_ran_and_not_of_their_callers() -> None:
    assert flame.shares(flame.fold(SCRIPT.splitlines())) == {"kernel": 1 / 3, "core": 1 / 3, "Python": 1 / 3}


def test_the_last_sample_counts_without_an_empty_line_behind_it() -> None:
    assert flame.fold(SCRIPT.rstrip().splitlines()).total() == 3


def test_the_picture_is_well_formed_and_widths_are_times() -> None:
    picture = flame.draw(flame.fold(SCRIPT.splitlines()), "a <title> & more")
    boxes = {
        (box.findtext(f"{SVG}title") or ""): float(box.get("width", "0"))
        for box in ElementTree.fromstring(picture).iter(f"{SVG}rect")
    }
    assert boxes["transport::write"] > 1.9 * boxes["_PyEval_EvalFrameDefault"]
    assert boxes["longlink-io-0"] >= boxes["transport::write"]
