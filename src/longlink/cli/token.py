"""`longlink token USER`: a token signed with a secret that the server trusts, for development and for tools.

In production the host's own back end signs tokens: docs/guides/authentication.md. Read next: account.py.
"""

from __future__ import annotations

import argparse
import sys

from longlink.cli.account import sign
from longlink.cli.serve import add_settings, loaded

SUMMARY = "sign a token for a user with a secret of the server"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="the user that the token is for (claim sub)")
    parser.add_argument(
        "--days", metavar="N", type=_days, default=30.0, help="how long the token is valid, in days (default: 30)"
    )
    add_settings(parser, "--data")


def run(options: argparse.Namespace) -> int:
    sys.stdout.write(sign(loaded(options), options.user, days=options.days) + "\n")
    return 0


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= 36_500:
        raise argparse.ArgumentTypeError(f"expected a number of days above 0 and at most 36500, got {text!r}")
    return days
