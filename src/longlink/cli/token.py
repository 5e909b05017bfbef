"""`longlink token USER`: a token signed with the data folder's own key, for development and for tools.

In production the host's own server signs tokens; see docs on auth.keys. Read next: ../access/tokens.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from longlink.cli.serve import add_settings, settings

SUMMARY = "sign a token for a user with the key of the data folder"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="the user that the token is for (claim sub)")
    parser.add_argument(
        "--days", metavar="N", type=_days, default=30.0, help="how long the token is valid, in days (default: 30)"
    )
    add_settings(parser, "--data")


def run(options: argparse.Namespace) -> int:
    from longlink.access.tokens import Signer

    config = settings(options)
    signer = Signer.from_data(Path(config.data.dir))
    token = signer.sign(options.user, days=options.days, audience=config.auth.audience, issuer=config.auth.issuer)
    sys.stdout.write(token + "\n")
    return 0


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= 36_500:
        raise argparse.ArgumentTypeError(f"expected a number of days above 0 and at most 36500, got {text!r}")
    return days
