"""Writes what is generated from settings and metrics: two reference pages and longlink.toml.example.

`python docs/generate_config.py` writes; with --check it only says which files are stale, and exits with 1 if any is.
"""

from __future__ import annotations

import sys
from pathlib import Path

from longlink.config import describe as settings
from longlink.ops import describe as metrics

ROOT = Path(__file__).parent.parent


def pages() -> dict[Path, str]:
    """Every generated file with its content."""
    return {
        ROOT / "docs/reference/config.md": settings.reference(),
        ROOT / "docs/reference/metrics.md": metrics.reference(),
        ROOT / "longlink.toml.example": settings.example(),
    }


def stale() -> list[Path]:
    """The files that are not what would be generated now."""
    return [path for path, text in pages().items() if not path.exists() or path.read_text() != text]


def main() -> int:
    found = stale()
    for path in found:
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[path])
        sys.stdout.write(f"{'stale' if '--check' in sys.argv else 'written'}: {path.relative_to(ROOT)}\n")
    return 1 if found and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
