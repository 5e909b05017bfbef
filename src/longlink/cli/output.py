"""What a command prints about something that is done already: when it cannot be printed, it is still done.

A script decides by the exit code whether to repeat a command, so a full disk or a closed pipe behind standard output
must not turn a success into a failure. A command whose output is all that it is for writes as usual, and fails.
"""

from __future__ import annotations

import sys

from longlink.cli import NotOpenError, complain, discard


def report(text: str) -> bool:
    """Print the outcome of what was done, a line; if that fails, say so on standard error. Returns whether it did."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except (OSError, NotOpenError) as error:
        complain(f"longlink: done ({text}), but it could not be printed: {error}")
        discard()
        return False
    return True
