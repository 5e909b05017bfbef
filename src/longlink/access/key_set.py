"""The keys that are trusted now, found by algorithm and kid in one look-up, and the families that they are of.

A token that names no kid may be of a key without a name, of which there are at most UNNAMED for each algorithm, or of
the only key of its algorithm. So no token costs more than UNNAMED verifications. Immutable. Read next: tokens.py.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from joserfc.jwk import OctKey

from longlink import errors
from longlink.access.keys import Key
from longlink.errors import LonglinkError

UNNAMED: Final = 4
"""Most keys of one algorithm without a kid: two for a rotation, twice."""
SECRETS: Final = "secrets (HS256)"
PUBLIC: Final = "public keys"


class KeySet:
    """Raises CONFIG_INVALID for two keys of one name, and for more than UNNAMED without one."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._named: dict[tuple[str, str], Key] = {}
        self._unnamed: dict[str, list[Key]] = {}
        for key in keys:
            self._add(key)
        self._counts = collections.Counter([*(name for name, _ in self._named), *self._each_unnamed()])
        self._only = {algorithm: (key,) for (algorithm, _), key in self._named.items() if self._counts[algorithm] == 1}

    @property
    def families(self) -> frozenset[str]:
        """What the keys are: SECRETS, which sign and verify, PUBLIC, which only verify, or both."""
        return frozenset(SECRETS if algorithm == "HS256" else PUBLIC for algorithm in self._counts)

    def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """The keys that may have signed a token that names this algorithm and kid; at most UNNAMED."""
        unnamed = self._unnamed.get(algorithm, ())
        if kid:
            named = self._named.get((algorithm, kid))
            return unnamed if named is None else (named,)
        return unnamed or self._only.get(algorithm, ())

    def count(self, algorithm: str) -> int:
        """How many keys there are of this algorithm."""
        return self._counts[algorithm]

    def secret(self) -> Key | None:
        """A key that can sign, if there is one; with a name, if there is one of those."""
        named = [key for (algorithm, _), key in self._named.items() if algorithm == "HS256"]
        return next(iter([*named, *self._unnamed.get("HS256", [])]), None)

    def _each_unnamed(self) -> Iterator[str]:
        for algorithm, keys in self._unnamed.items():
            yield from [algorithm] * len(keys)

    def _add(self, key: Key) -> None:
        if key.kid is not None:
            known = self._named.setdefault((key.algorithm, key.kid), key)
            if _bytes(known) != _bytes(key):
                raise _invalid(f"expected one key for {key.algorithm} of the kid {key.kid[:64]!a}, got two")
            return
        unnamed = self._unnamed.setdefault(key.algorithm, [])
        if all(_bytes(known) != _bytes(key) for known in unnamed):
            unnamed.append(key)
        if len(unnamed) > UNNAMED:
            raise _invalid(
                f"expected at most {UNNAMED} keys for {key.algorithm} without a kid, got more; "
                "give them names: a JWKS with a kid for each key, and tokens that say it"
            )


def _bytes(key: Key) -> dict[str, object]:
    return dict(key.native.as_dict(private=isinstance(key.native, OctKey)))


def _invalid(message: str) -> LonglinkError:
    return LonglinkError(errors.CONFIG_INVALID, f"auth.keys: {message}")
