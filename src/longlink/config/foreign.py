"""Variables that begin as ours do and belong to others: Kubernetes and Docker announce services in the environment.

A Kubernetes Service named `longlink`, or `longlink-http`, gives every container of its namespace LONGLINK_SERVICE_HOST,
LONGLINK_PORT=tcp://..., LONGLINK_PORT_7700_TCP_ADDR and more, or LONGLINK_HTTP_SERVICE_HOST and more. `docker --link`
adds LONGLINK_NAME=/web/longlink and LONGLINK_ENV_*. Where a name alone could be a mistyped setting, the value decides.
Read next: load.py.
"""

from __future__ import annotations

import re
from typing import Final

_SERVICE: Final = r"LONGLINK(?:_\w+?)??"
_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://\S+", re.IGNORECASE)
_ANY_VALUE: Final = re.compile(
    rf"{_SERVICE}_(?:"
    r"SERVICE_HOST"
    r"|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO|START|END|PORT_START|PORT_END))?"
    r"|ENV_\w+"
    r")"
)
_BY_VALUE: Final = (
    (re.compile(rf"{_SERVICE}_PORT"), _ADDRESS),
    (re.compile(rf"{_SERVICE}_SERVICE_PORT(?:_\w+)?"), re.compile(r"\d{1,5}")),
    (re.compile(rf"{_SERVICE}_NAME"), re.compile(r"/.+/.+")),
)


def is_foreign(variable: str, value: str, *, known: bool) -> bool:
    """Whether others have set this variable. known: a setting has this name; only an address as value tells then."""
    if known:
        return variable.endswith("_PORT") and _ADDRESS.fullmatch(value) is not None
    if _ANY_VALUE.fullmatch(variable):
        return True
    return any(name.fullmatch(variable) and form.fullmatch(value) for name, form in _BY_VALUE)
