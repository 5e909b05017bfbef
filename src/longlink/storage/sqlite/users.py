"""Who exists, on SQLite: base.Users over the writer.

Never touches SQLite itself. Read next: plan.py.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, cast

from longlink.storage.sqlite.requests import Remember
from longlink.storage.sqlite.writer import Writer


class SqliteUsers:
    """base.Users."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def remember(self, users: Sequence[str]) -> Coroutine[Any, Any, None]:
        """As base.Users.remember. In the line as soon as it is called."""
        return cast("Coroutine[Any, Any, None]", self._writer.ask(Remember(users)))
