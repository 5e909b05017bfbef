"""Logs: one event a line with its fields, over the standard library, readable on a terminal and JSON elsewhere.

    log = logs.get("gateway")
    log.info("connected", user="alice", connection=17)

An event is a constant, so equal events can be counted and limited: a flood of one event leaves LINES_PER_SECOND lines
and a number. Tokens and fields with the name of a secret are never written. Never raises into the caller and never
waits for the reader of the log. Read next: line_writer.py, metrics.py.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

from longlink.config import Log
from longlink.ops.line_writer import LineWriter

STDERR: Final = 2
FLUSH_S: Final = 1.0
"""How long the end of a process may wait for lines that are still to be written."""
LINES_PER_SECOND: Final = 20
"""Of one event; what is over is counted, and the next line of that event says how many."""
EVENTS_KNOWN: Final = 512
"""Events that are limited one by one; all others share one allowance."""
LONGEST_VALUE: Final = 1_000
"""Characters of one field's value; the rest is cut."""
SECRETS: Final = frozenset({"token", "secret", "password", "key", "authorization", "cookie"})
HIDDEN: Final = "[hidden]"
RESERVED: Final = frozenset({"time", "level", "logger", "event", "exception", "suppressed"})

_TOKEN = re.compile(r"eyJ[\w-]{5,}(\.[\w-]*){1,4}")
_PLAIN = re.compile(r"[\w.:/@+,\[\]()-]+", re.ASCII)
_COLOURS: Final = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}


class Logger:
    """Structured calls over one logging.Logger. exc_info: an exception whose traceback is to be shown."""

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    @property
    def shows_debug(self) -> bool:
        """For lines whose fields cost something to find out."""
        return self._logger.isEnabledFor(logging.DEBUG)

    def debug(self, event: str, /, **fields: object) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, /, *, exc_info: BaseException | None = None, **fields: object) -> None:
        self._write(logging.ERROR, event, fields, exc_info)

    def exception(self, event: str, /, **fields: object) -> None:
        """An error with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, event, fields, sys.exc_info()[1])

    def _write(self, level: int, event: str, fields: dict[str, object], failure: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, exc_info=failure, extra={"fields": fields})


def get(name: str) -> Logger:
    """The logger of one module; name is what the line shows, without the package."""
    return Logger(logging.getLogger(f"longlink.{name}"))


def setup(settings: Log, stream: TextIO | None = None, *, worker: str = "") -> None:
    """Send the logs of this process where [log] says. Calling it again replaces what was set up before.

    stream: written to directly; None: to standard error, by a thread, so that no caller waits for its reader.
    worker: which process of a server of several writes; a field of every line.
    """
    terminal = os.isatty(STDERR) if stream is None else stream.isatty()
    as_text = settings.format == "text" or (settings.format == "auto" and terminal)
    colour = terminal and "NO_COLOR" not in os.environ
    formatter = Readable(worker, colour=colour) if as_text else JsonLines(worker)
    handler = _Unblocked(formatter) if stream is None else logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(Limit())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, (Readable, JsonLines))]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.captureWarnings(True)
    set_level(settings.level)
    for noisy in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if stream is None:
        atexit.unregister(flush)
        atexit.register(flush)
        # Python would write these to standard error by itself, and wait for its reader.
        sys.unraisablehook = lambda failed: get("python").error("unraisable", exc_info=failed.exc_value)
        threading.excepthook = lambda failed: get("python").error("thread_failed", exc_info=failed.exc_value)


def set_level(level: str) -> None:
    """level: as the setting log.level has it."""
    logging.getLogger("longlink").setLevel(level.upper())


def flush(wait_s: float = FLUSH_S) -> None:
    """Wait until every line is written, at most so long. Python calls it at the end of a process; see os._exit."""
    for writer in _writers():
        writer.flush(wait_s)


def lost() -> int:
    """Lines of this process that were not written, because nobody read them or the disk was full."""
    return sum(writer.lost for writer in _writers())


def _writers() -> list[LineWriter]:
    return [handler.writer for handler in logging.getLogger().handlers if isinstance(handler, _Unblocked)]


class _Unblocked(logging.Handler):
    """Hands lines to a LineWriter for standard error."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.writer = LineWriter(STDERR, lambda count: formatter.format(_lost_lines(count)))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.writer.lose()
        else:
            self.writer.put(line)


def _lost_lines(count: int) -> logging.LogRecord:
    record = logging.LogRecord("longlink.logs", logging.WARNING, "", 0, "lines_dropped", None, None)
    record.__dict__["fields"] = {"lines": count}
    return record


class Limit(logging.Filter):
    """Lets LINES_PER_SECOND lines of each event through; counts the others onto the next one that passes."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._events: dict[tuple[str, str], list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))
        if key not in self._events and len(self._events) >= EVENTS_KNOWN:
            key = ("", "")
        now = self._now_s()
        window = self._events.setdefault(key, [now, 0, 0])
        begun, written, suppressed = window
        if now - begun >= 1.0:
            window[:] = [now, 1, 0]
        elif written < LINES_PER_SECOND:
            window[1] += 1
            suppressed = 0
        else:
            window[2] += 1
            return False
        if suppressed:
            record.suppressed = int(suppressed)
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC, ms), level, logger, worker if there is one, event, then the fields."""

    def __init__(self, worker: str = "") -> None:
        super().__init__()
        self._origin = {"worker": worker} if worker else {}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix("longlink."),
            **self._origin,
            "event": _text(record.getMessage().strip()),
        }
        for name, value in _fields(record).items():
            line[name + "_" if name in RESERVED or name in self._origin else name] = value
        return json.dumps(line | _extras(record), default=_text)


class Readable(logging.Formatter):
    """Time, level, logger and event in columns, then name=value; a traceback follows on lines of its own."""

    def __init__(self, worker: str = "", *, colour: bool) -> None:
        super().__init__()
        self._worker = f"{worker:<10} " if worker else ""
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        shown = f"{_COLOURS.get(level, '')}{level:<7}\x1b[0m" if self._colour else f"{level:<7}"
        clock = _time(record).astimezone().strftime("%H:%M:%S.%f")[:-3]
        name = record.name.removeprefix("longlink.")
        extras = _extras(record)
        failure = extras.pop("exception", None)
        fields = " ".join(f"{name}={_quoted(value)}" for name, value in (_fields(record) | extras).items())
        event = _text(record.getMessage().strip())
        line = f"{clock} {shown} {self._worker}{name:<8} {event if event.isprintable() else json.dumps(event)}"
        line = f"{line:<40} {fields}".rstrip()
        return f"{line}\n{failure}" if failure else line


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: Mapping[str, object] = getattr(record, "fields", {})
    return {name: HIDDEN if name in SECRETS else _value(value) for name, value in fields.items()}


def _extras(record: logging.LogRecord) -> dict[str, object]:
    extras: dict[str, object] = {}
    if suppressed := getattr(record, "suppressed", 0):
        extras["suppressed"] = suppressed
    if record.exc_info and record.exc_info[1] is not None:
        extras["exception"] = _TOKEN.sub(HIDDEN, "".join(traceback.format_exception(record.exc_info[1])).rstrip())
    return extras


def _value(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, float)) else _text(value)


def _text(value: object) -> str:
    """At most LONGEST_VALUE characters, with no token in it."""
    text = _TOKEN.sub(HIDDEN, str(value))
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "..."


def _quoted(value: object) -> str:
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
