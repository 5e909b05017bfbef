"""Makes the reference pages of the protocol from the code: errors.md, frames.md, and the states in proto/SPEC.md.

Run it after a change of errors.py, longlink.proto or session.py; the output is committed. With --check it writes
nothing and fails when a page is stale. Needs the dev dependencies (the schema's comments come from the compiler).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from longlink.errors import LOCAL, TABLE, Row
from longlink.protocol import session
from longlink.protocol.frames import EVENTS, REPLIES, REQUESTS
from longlink.protocol.session import State

ROOT: Final = Path(__file__).resolve().parents[1]
SPEC: Final = ROOT / "proto" / "SPEC.md"
ERRORS: Final = ROOT / "docs" / "reference" / "errors.md"
FRAMES: Final = ROOT / "docs" / "reference" / "frames.md"
NOTE: Final = "<!-- Made by docs/generate.py; do not edit. -->"
BEGIN: Final = "<!-- states: made by docs/generate.py from session.TABLE; do not edit -->"
END: Final = "<!-- end of states -->"
INTRO: Final = """\
One number space for error replies, close codes and HTTP. Below 4500 the same request or connection may succeed later;
from 4500 on it fails again until something is changed. A client decides by this one comparison, also for codes that it
does not know. Close codes below 4000 are those of RFC 6455; [SPEC.md](../../proto/SPEC.md) lists them."""
STEPS: Final = (
    ("[*]", State.NEW.value, "upgrade or preface"),
    (State.CONNECTING.value, State.CONNECTED.value, "Connected is sent"),
    (State.CONNECTING.value, State.NEW.value, "the key is refused"),
    (State.NEW.value, State.CLOSED.value, "any other error, 10 s"),
    (State.CONNECTING.value, State.CLOSED.value, "any other error, 10 s"),
    (State.CONNECTED.value, State.CLOSED.value, "close by either side"),
    (State.CLOSED.value, "[*]", ""),
)
"""What moves a connection beside requests."""


# Errors --------------------------------------------------------------------------------------------------------------


def errors_page() -> str:
    rows = sorted(TABLE.values(), key=lambda row: row.code)
    parts = [NOTE, "# Errors", "", INTRO, ""]
    parts += ["## Temporary errors (retry)", "", *_errors([row for row in rows if row.retry])]
    final = [row for row in rows if not row.retry and row.code < LOCAL]
    parts += ["", "## Permanent errors (do not retry unchanged)", "", *_errors(final)]
    own = [row for row in rows if row.code >= LOCAL]
    parts += ["", "## Local errors, never sent over a connection", "", *_errors(own)]
    return "\n".join(parts) + "\n"


def _errors(rows: list[Row]) -> list[str]:
    lines = ["| code | name | HTTP | what to do |", "|---|---|---|---|"]
    return lines + [f"| {row.code} | `{row.name}` | {row.http} | {row.remedy} |" for row in rows]


# Frames --------------------------------------------------------------------------------------------------------------


class Schema:
    """The compiled schema with its comments, by the paths of descriptor.proto's SourceCodeInfo."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self.messages = {message.name: (4, index) for index, message in enumerate(file.message_type)}
        self.file = file
        self._comments = {
            tuple(place.path): " ".join(place.leading_comments.split()) for place in file.source_code_info.location
        }

    def comment(self, *path: int) -> str:
        return self._comments.get(path, "")

    def message(self, name: str) -> DescriptorProto:
        return self.file.message_type[self.messages[name][1]]


def read_schema() -> Schema:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "schema.bin"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={ROOT / 'proto'}"]
        command += ["--include_source_info", f"--descriptor_set_out={out}", "longlink.proto"]
        subprocess.run(command, check=True)  # noqa: S603
        return Schema(FileDescriptorSet.FromString(out.read_bytes()).file[0])


def frames_page() -> str:
    schema = read_schema()
    bodies = {field.name: field for field in schema.message("Frame").field}
    groups: dict[str, tuple[str, ...]] = {
        "Requests, client to server": REQUESTS,
        "Replies, server to client": REPLIES,
        "Events, server to client": EVENTS,
    }
    lines = [
        NOTE,
        "# Frames",
        "",
        "Every body of `longlink.v1.Frame`. The rules are in [SPEC.md](../../proto/SPEC.md).",
    ]
    for title, names in groups.items():
        lines += ["", f"## {title}"]
        for name in names:
            lines += _message(schema, bodies[name].type_name.rpartition(".")[2], f"`{name}`, {bodies[name].number}")
    lines += ["", "## Values"]
    shown = {"Frame", *(body.type_name.rpartition(".")[2] for body in bodies.values())}
    for value in [name for name in schema.messages if name not in shown]:
        lines += _message(schema, value, "")
    return "\n".join(lines) + "\n"


def _message(schema: Schema, name: str, body: str) -> Iterator[str]:
    message, path = schema.message(name), schema.messages[name]
    yield from ("", f"### {name}" + (f" ({body})" if body else ""), "")
    if comment := schema.comment(*path):
        yield from (comment, "")
    yield from ("| field | number | type | |", "|---|---|---|---|")
    for index, field in enumerate(message.field):
        comment = schema.comment(*path, 2, index).replace("|", "\\|")
        yield f"| `{field.name}` | {field.number} | {_type(field)} | {comment} |"
    for kind in message.enum_type:
        yield from ("", _enum(kind))


def _type(field: FieldDescriptorProto) -> str:
    plain = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = field.type_name.rpartition(".")[2] or plain
    return f"list of {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name


def _enum(kind: EnumDescriptorProto) -> str:
    return f"{kind.name}: " + ", ".join(f"`{value.name}` = {value.number}" for value in kind.value) + "."


# States --------------------------------------------------------------------------------------------------------------


def states() -> str:
    """The diagram and the table of session.TABLE, as Markdown."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    for begin, end, why in [*STEPS, *_allowed()]:
        lines.append(f"    {begin} --> {end}" + (f": {why}" if why else ""))
    lines += ["```", "", f"| request | {' | '.join(state.value for state in State)} |", "|---" * (len(State) + 1) + "|"]
    lines += [f"| `{name}` | {' | '.join(_cell(state, name) for state in State)} |" for name in REQUESTS]
    return "\n".join(lines)


def _allowed() -> Iterator[tuple[str, str, str]]:
    for state, row in session.TABLE.items():
        for target in State:
            names = [name for name, step in row.items() if step is target]
            if names:
                yield state.value, target.value, ", ".join(names)


def _cell(state: State, name: str) -> str:
    step = {str(request): step for request, step in session.TABLE[state].items()}[name]
    return step.name if isinstance(step, Row) else f"**{step.value}**"


def spec_page() -> str:
    """SPEC.md with its generated part made anew. Raises ValueError when the marks are gone."""
    before, begin, rest = SPEC.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{SPEC} has lost the marks around the states")
    return f"{before}{BEGIN}\n{states()}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description="make the reference pages of the protocol")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a page is stale")
    check = parser.parse_args().check
    pages = {ERRORS: errors_page(), FRAMES: frames_page(), SPEC: spec_page()}
    old = [path for path, text in pages.items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in old:
        if check:
            sys.stderr.write(f"stale: {path.relative_to(ROOT)}; run python docs/generate.py\n")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(pages[path], "utf-8")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
