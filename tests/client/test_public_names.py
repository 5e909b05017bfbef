"""What `import longlink` offers."""

from __future__ import annotations

import inspect
import subprocess
import sys

import longlink
from longlink.client.connect import connect
from longlink.client.options import Options


def test_every_public_name_is_there_and_the_list_is_sorted() -> None:
    assert longlink.__all__ == sorted(longlink.__all__)
    for name in longlink.__all__:
        assert getattr(longlink, name) is not None
        assert name in dir(longlink)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(longlink, "no_such_name")


def test_importing_longlink_loads_nothing_else() -> None:
    code = "import sys, longlink; print([m for m in sys.modules if m.startswith('longlink.') or m == 'asyncio'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_option_of_connect_is_explained() -> None:
    for name in inspect.signature(connect).parameters:
        assert f"{name}:" in (connect.__doc__ or ""), name


def test_a_token_is_not_shown_when_options_are_printed() -> None:
    client = connect("ws://127.0.0.1:7700", token="secret-token")
    assert isinstance(client._options, Options)
    assert "secret-token" not in repr(client._options)
