"""Every setting, and how a set of them is read.

Read next: sections.py (what there is), load.py (where values come from).
"""

from longlink.config.check import split_address
from longlink.config.load import DEFAULT_FILE, FLAGS, Loaded, find, load
from longlink.config.reload import Settings
from longlink.config.sections import (
    DEFAULT_OPERATIONS,
    Auth,
    Config,
    Connection,
    Data,
    Drain,
    Http,
    Limits,
    Listen,
    Log,
    Receipts,
    Server,
    Sessions,
    Storage,
)

__all__ = [
    "DEFAULT_FILE",
    "DEFAULT_OPERATIONS",
    "FLAGS",
    "Auth",
    "Config",
    "Connection",
    "Data",
    "Drain",
    "Http",
    "Limits",
    "Listen",
    "Loaded",
    "Log",
    "Receipts",
    "Server",
    "Sessions",
    "Settings",
    "Storage",
    "find",
    "load",
    "split_address",
]
