"""Tokens: what is believed, and every known way to be believed without right.

Tokens are put together here by hand from header, payload and key, so that each attack is exactly what it says.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from longlink import errors
from longlink.access.jwks import RemoteKeys
from longlink.access.keys import Key
from longlink.access.tokens import TOKEN_BYTES, Signer, Verifier
from longlink.config import Auth
from longlink.errors import LonglinkError, Row
from longlink.ops.metrics import Counts

NOW: Final = 1_800_000_000
SECRET: Final = b"0123456789abcdef0123456789abcdef"
OTHER: Final = b"fedcba9876543210fedcba9876543210"
CLAIMS: Final = {"sub": "alice", "aud": "longlink", "exp": NOW + 60}
RSA: Final = RSAKey.generate_key(2048)
ED: Final = OKPKey.generate_key("Ed25519")
EC: Final = ECKey.generate_key("P-256")
ED_SET: Final = {"keys": [{**ED.as_dict(private=False), "kid": "k"}]}
"""One key, by its name."""


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def always(signature: bytes) -> Callable[[bytes], bytes]:
    return lambda _: signature


def hs256(key: bytes) -> Callable[[bytes], bytes]:
    return lambda signed: hmac.new(key, signed, hashlib.sha256).digest()


def token(
    claims: Mapping[str, Any] | bytes,
    header: Mapping[str, Any] | bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> str:
    header = {"alg": "HS256"} if header is None else header
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    signed = ".".join(map(b64, parts))
    return f"{signed}.{b64((sign or hs256(SECRET))(signed.encode()))}"


def claims(**changes: object) -> dict[str, object]:
    """CLAIMS with changes; None takes a claim away."""
    return {name: value for name, value in (CLAIMS | changes).items() if value is not None}


def verifier(tmp_path: Path, content: bytes = SECRET, **auth: Any) -> Verifier:
    """content: of the key file; one that is no JSON and no PEM is a secret."""
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    declared = "" if content.startswith((b"{", b"--")) else "secret:"
    return Verifier.from_config(Auth(keys=[f"{declared}{file}"], **auth), tmp_path)


def refusal(verifier: Verifier, text: str, now_s: float = NOW) -> LonglinkError:
    with pytest.raises(LonglinkError) as caught:
        verifier.verify(text, now_s)
    error = caught.value
    for part in text.split("."):
        assert len(part) < 16 or part not in error.message, "an error shows part of the token"
    return error


@pytest.fixture
def believer(tmp_path: Path) -> Verifier:
    """Believes SECRET."""
    return verifier(tmp_path)


# What is believed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (ED, "EdDSA"), (ED, "Ed25519"), (EC, "ES256")])
def test_a_token_signed_with_the_private_half_of_a_pem_key_is_believed(
    tmp_path: Path, key: RSAKey | OKPKey | ECKey, algorithm: str
) -> None:
    believer = verifier(tmp_path, key.as_pem(private=False))
    identity = believer.verify(token(CLAIMS, {"alg": algorithm}, Key(algorithm, None, key).sign), NOW)
    assert identity == ("alice", NOW + 60 + 5)


def test_a_token_signed_with_the_secret_is_believed_with_or_without_newline_in_the_file(tmp_path: Path) -> None:
    for content in (SECRET, SECRET + b"\n", SECRET + b"\r\n"):
        assert verifier(tmp_path, content).verify(token(CLAIMS), NOW).user == "alice"


def test_any_user_name_of_the_protocol_can_be_in_sub(believer: Verifier) -> None:
    for user in ("a", "李雷", "a" * 64, "me@example.com", "a b"):
        assert believer.verify(token(claims(sub=user)), NOW).user == user


@pytest.mark.parametrize("alg", [None, "EdDSA", "Ed25519"])
def test_ed25519_is_another_name_of_eddsa_in_tokens_and_in_sets(tmp_path: Path, alg: str | None) -> None:
    """RFC 9864."""
    jwk = {**ED.as_dict(private=False), "kid": "k"} | ({"alg": alg} if alg else {})
    believer = verifier(tmp_path, json.dumps({"keys": [jwk]}).encode())
    for said in ("EdDSA", "Ed25519"):
        signed = token(CLAIMS, {"alg": said, "kid": "k"}, Key("EdDSA", None, ED).sign)
        assert believer.verify(signed, NOW).user == "alice"


def test_a_signature_by_p256_is_64_raw_bytes(tmp_path: Path) -> None:
    """RFC 7518 section 3.4; other tools write DER."""
    believer = verifier(tmp_path, EC.as_pem(private=False))
    private = EC.private_key
    assert private is not None
    der = token(CLAIMS, {"alg": "ES256"}, lambda signed: private.sign(signed, ec.ECDSA(hashes.SHA256())))
    assert "signature does not match" in refusal(believer, der).message
    for zeros in (bytes(64), b"", bytes(63)):
        with pytest.raises(LonglinkError):
            believer.verify(token(CLAIMS, {"alg": "ES256"}, always(zeros)), NOW)


def test_kid_chooses_the_key_of_a_set_and_without_it_only_a_single_key_is_meant(tmp_path: Path) -> None:
    keys = [{"kty": "oct", "kid": kid, "k": b64(secret)} for kid, secret in (("one", SECRET), ("two", OTHER))]
    believer = verifier(tmp_path, json.dumps({"keys": keys}).encode())
    assert believer.verify(token(CLAIMS, {"alg": "HS256", "kid": "two"}, hs256(OTHER)), NOW).user == "alice"
    nameless = refusal(believer, token(CLAIMS, {"alg": "HS256"}, hs256(OTHER)))
    assert "expected a kid, because the server has 2 keys for alg HS256" in nameless.message
    assert refusal(believer, token(CLAIMS, {"alg": "HS256", "kid": "one"}, hs256(OTHER))).row is errors.TOKEN_INVALID
    assert (
        "no key for alg HS256 and kid 'three'"
        in refusal(believer, token(CLAIMS, {"alg": "HS256", "kid": "three"})).message
    )


def test_a_token_may_be_of_any_of_four_keys_without_a_kid_and_there_are_no_more(tmp_path: Path) -> None:
    keys = [OKPKey.generate_key("Ed25519") for _ in range(5)]
    pems = [key.as_pem(private=False) for key in keys]
    believer = verifier(tmp_path, b"".join(pems[:4]))
    for header in ({"alg": "EdDSA"}, {"alg": "EdDSA", "kid": "none of theirs"}):
        for key in keys[:4]:
            assert believer.verify(token(CLAIMS, header, Key("EdDSA", None, key).sign), NOW)
    with pytest.raises(LonglinkError, match="at most 4 keys for EdDSA without a kid"):
        verifier(tmp_path, b"".join(pems))


def test_a_named_key_is_the_only_one_that_is_tried(tmp_path: Path) -> None:
    tried: list[str | None] = []

    class Counted(Key, frozen=True):
        def verify(self, signed: bytes, signature: bytes) -> bool:
            tried.append(self.kid)
            return super().verify(signed, signature)

    keys = [Counted("HS256", f"k{number}", OctKey.import_key(SECRET + b"%d" % number)) for number in range(64)]
    believer = Verifier(Auth(), lambda: [*keys, *[Counted("RS256", None, RSA)]], RemoteKeys([], tmp_path, 1, Counts()))
    assert believer.verify(token(CLAIMS, {"alg": "HS256", "kid": "k63"}, hs256(SECRET + b"63")), NOW)
    assert tried == ["k63"]


def test_two_keys_of_one_name_are_refused_but_one_key_twice_is_one(tmp_path: Path) -> None:
    def oct_keys(*secrets: bytes) -> bytes:
        return json.dumps({"keys": [{"kty": "oct", "kid": "k", "k": b64(each)} for each in secrets]}).encode()

    with pytest.raises(LonglinkError, match="one key for HS256 of the kid 'k', got two"):
        verifier(tmp_path, oct_keys(SECRET, OTHER))
    assert verifier(tmp_path, oct_keys(SECRET, SECRET)).verify(token(CLAIMS), NOW)


def test_an_audience_may_be_a_list_and_is_not_asked_for_when_not_configured(tmp_path: Path, believer: Verifier) -> None:
    assert believer.verify(token(claims(aud=["other", "longlink"])), NOW)
    assert verifier(tmp_path, audience="").verify(token(claims(aud="whoever")), NOW)
    assert verifier(tmp_path, issuer="host").verify(token(claims(iss="host")), NOW)


def test_clocks_may_differ_by_the_leeway_in_both_directions(believer: Verifier) -> None:
    assert believer.verify(token(claims(exp=NOW - 4)), NOW).expires_at_s == NOW + 1
    assert believer.verify(token(claims(nbf=NOW + 5, iat=NOW + 5)), NOW)


# What is not ----------------------------------------------------------------------------------------------------------


def swap(text: str, part: int, value: bytes) -> str:
    parts = text.split(".")
    parts[part] = b64(value)
    return ".".join(parts)


def other_end(text: str) -> str:
    """The same bytes in base64 with other bits behind the last one: 32 bytes leave two of them."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + digits[digits.index(text[-1]) + 1]


REFUSED: Final[list[tuple[str, str, Row, str]]] = [
    ("missing", "", errors.TOKEN_MISSING, "expected a token"),
    ("not a token", "hello", errors.TOKEN_INVALID, "got 1 parts"),
    ("spaces around", f" {token(CLAIMS)} ", errors.TOKEN_INVALID, "three base64url parts"),
    ("newline behind", f"{token(CLAIMS)}\n", errors.TOKEN_INVALID, "three base64url parts"),
    ("not ASCII", "é.é.é", errors.TOKEN_INVALID, "three base64url parts"),
    ("impossible length", "a.b.c", errors.TOKEN_INVALID, "impossible length"),
    ("JWE", "a.b.c.d.e", errors.TOKEN_INVALID, "got 5 parts"),
    ("JWE header", token(CLAIMS, {"alg": "HS256", "enc": "A128GCM"}), errors.TOKEN_INVALID, "'enc'"),
    ("nested", token(token(CLAIMS).encode(), {"alg": "HS256", "cty": "JWT"}), errors.TOKEN_INVALID, "'cty'"),
    ("nested, untold", token(token(CLAIMS).encode()), errors.TOKEN_INVALID, "payload to be a JSON object"),
    ("none", token(CLAIMS, {"alg": "none"}, lambda _: b""), errors.TOKEN_INVALID, "three base64url parts"),
    ("none with a signature", token(CLAIMS, {"alg": "none"}), errors.TOKEN_INVALID, "got 'none'"),
    ("None in capitals", token(CLAIMS, {"alg": "NONE"}), errors.TOKEN_INVALID, "got 'NONE'"),
    ("no alg", token(CLAIMS, {"typ": "JWT"}), errors.TOKEN_INVALID, "got None"),
    ("alg is a list", token(CLAIMS, {"alg": ["HS256"]}), errors.TOKEN_INVALID, "expected alg"),
    ("HS512", token(CLAIMS, {"alg": "HS512"}), errors.TOKEN_INVALID, "got 'HS512'"),
    ("ES256K", token(CLAIMS, {"alg": "ES256K"}), errors.TOKEN_INVALID, "got 'ES256K'"),
    ("ES256 without such a key", token(CLAIMS, {"alg": "ES256"}), errors.TOKEN_INVALID, "no key for alg ES256"),
    ("RS256 without such a key", token(CLAIMS, {"alg": "RS256"}), errors.TOKEN_INVALID, "no key for alg RS256"),
    ("crit", token(CLAIMS, {"alg": "HS256", "crit": ["exp"]}), errors.TOKEN_INVALID, "'crit'"),
    ("crit that is empty", token(CLAIMS, {"alg": "HS256", "crit": []}), errors.TOKEN_INVALID, "'crit'"),
    ("b64", token(CLAIMS, {"alg": "HS256", "b64": False}), errors.TOKEN_INVALID, "'b64'"),
    ("kid is a number", token(CLAIMS, {"alg": "HS256", "kid": 1}), errors.TOKEN_INVALID, "kid to be a text"),
    ("another secret", token(CLAIMS, None, hs256(OTHER)), errors.TOKEN_INVALID, "signature does not match"),
    ("an empty secret", token(CLAIMS, None, hs256(b"")), errors.TOKEN_INVALID, "signature does not match"),
    ("another last character", other_end(token(CLAIMS)), errors.TOKEN_INVALID, "bits behind the last byte"),
    ("cut signature", token(CLAIMS)[:-3], errors.TOKEN_INVALID, "signature does not match"),
    ("changed payload", swap(token(CLAIMS), 1, b'{"sub":"root"}'), errors.TOKEN_INVALID, "signature does not match"),
    ("changed header", swap(token(CLAIMS), 0, b'{"alg": "HS256"} '), errors.TOKEN_INVALID, "signature does not match"),
    ("header is no object", token(CLAIMS, b"[]"), errors.TOKEN_INVALID, "header to be a JSON object"),
    ("header is not JSON", token(CLAIMS, b"{"), errors.TOKEN_INVALID, "header to be a JSON object"),
    ("payload is a list", token(b"[1]"), errors.TOKEN_INVALID, "got list"),
    ("payload is not UTF-8", token(b'{"sub": "\xff"}'), errors.TOKEN_INVALID, "payload to be a JSON object"),
    ("payload nested a thousand deep", token(b"[" * 2000), errors.TOKEN_INVALID, "payload to be a JSON object"),
    ("NaN", token(b'{"sub":"a","exp":NaN}'), errors.TOKEN_INVALID, "payload to be a JSON object"),
    (
        "claims twice",
        token(b'{"sub":"alice","sub":"root","aud":"longlink","exp":%d}' % (NOW + 60)),
        errors.TOKEN_INVALID,
        "unique names",
    ),
    ("header twice", token(CLAIMS, b'{"alg":"none","alg":"HS256"}'), errors.TOKEN_INVALID, "unique names"),
    ("no exp", token(claims(exp=None)), errors.TOKEN_INVALID, "never expire"),
    ("exp is a text", token(claims(exp=str(NOW + 60))), errors.TOKEN_INVALID, "exp to be a number"),
    ("exp is true", token(claims(exp=True)), errors.TOKEN_INVALID, "exp to be a number"),
    ("exp in ms", token(claims(exp=(NOW + 60) * 1000)), errors.TOKEN_INVALID, "exp in seconds"),
    ("exp is huge", token(claims(exp=10**400)), errors.TOKEN_INVALID, "exp in seconds"),
    ("exp is infinite", token(b'{"sub":"a","aud":"longlink","exp":1e999}'), errors.TOKEN_INVALID, "exp in seconds"),
    ("exp is negative", token(claims(exp=-1)), errors.TOKEN_INVALID, "exp in seconds"),
    ("expired", token(claims(exp=NOW - 5)), errors.TOKEN_EXPIRED, "expired 5 s ago"),
    ("not yet", token(claims(nbf=NOW + 6)), errors.TOKEN_EARLY, "nbf is 6 s ahead"),
    ("five minutes ahead", token(claims(iat=NOW + 305)), errors.TOKEN_EARLY, "iat is 305 s ahead"),
    ("further ahead", token(claims(iat=NOW + 306)), errors.TOKEN_INVALID, "iat is 306 s ahead"),
    ("issued tomorrow", token(claims(iat=NOW + 86_400)), errors.TOKEN_INVALID, "iat is 86400 s ahead"),
    ("nbf is a text", token(claims(nbf="now")), errors.TOKEN_INVALID, "nbf to be a number"),
    ("no aud", token(claims(aud=None)), errors.TOKEN_FOREIGN, "expected aud 'longlink', got None"),
    ("another aud", token(claims(aud="other")), errors.TOKEN_FOREIGN, "got 'other'"),
    ("aud that contains ours", token(claims(aud="longlink2")), errors.TOKEN_FOREIGN, "got 'longlink2'"),
    ("no sub", token(claims(sub=None)), errors.TOKEN_INVALID, "sub to be the user's name"),
    ("sub is a number", token(claims(sub=7)), errors.TOKEN_INVALID, "got 7"),
    ("sub is empty", token(claims(sub="")), errors.TOKEN_INVALID, "sub"),
    ("sub is too long", token(claims(sub="a" * 65)), errors.TOKEN_INVALID, "sub"),
    ("sub has a control character", token(claims(sub="a\nb")), errors.TOKEN_INVALID, "sub"),
    ("sub is half a character", token(claims(sub="\ud800")), errors.TOKEN_INVALID, "surrogate"),
    ("huge", "a" * (TOKEN_BYTES + 1), errors.TOKEN_INVALID, "expected at most 8192 bytes, got 8193"),
]


@pytest.mark.parametrize(("text", "row", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_token_is_refused_with_what_was_expected(believer: Verifier, text: str, row: Row, said: str) -> None:
    error = refusal(believer, text)
    assert error.row is row
    assert said in error.message


@pytest.mark.parametrize(("ahead_s", "wait_ms"), [(5.001, 1), (15, 10_000), (305, 30_000)])
def test_a_token_of_a_clock_that_runs_ahead_is_to_be_tried_again_when_it_is_good(
    believer: Verifier, ahead_s: float, wait_ms: int
) -> None:
    error = refusal(believer, token(claims(nbf=NOW + ahead_s, exp=NOW + 900)))
    assert error.retry
    assert error.retry_after_ms == pytest.approx(wait_ms, abs=1)
    assert believer.verify(token(claims(nbf=NOW + ahead_s, exp=NOW + 900)), NOW + ahead_s - 5)


def test_a_forged_token_is_not_told_that_it_is_early(believer: Verifier) -> None:
    assert refusal(believer, token(claims(nbf=NOW + 60), None, hs256(OTHER))).row is errors.TOKEN_INVALID


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (ED, "EdDSA"), (EC, "ES256")])
def test_a_public_key_never_becomes_a_secret(tmp_path: Path, key: RSAKey | OKPKey | ECKey, algorithm: str) -> None:
    """RFC 8725 section 2.1: the attacker signs with HS256 and the public key, which everybody knows."""
    pem = key.as_pem(private=False)
    believer = verifier(tmp_path, pem)
    for secret in (pem, pem.strip(), key.as_der(private=False)):
        assert "no key for alg HS256" in refusal(believer, token(CLAIMS, None, hs256(secret))).message


def test_a_key_of_one_kind_does_not_verify_the_algorithm_of_another(tmp_path: Path) -> None:
    believer = verifier(tmp_path, RSA.as_pem(private=False))
    forged = token(CLAIMS, {"alg": "RS256"}, Key("EdDSA", None, ED).sign)
    assert "signature does not match" in refusal(believer, forged).message
    assert (
        "no key for alg EdDSA"
        in refusal(believer, token(CLAIMS, {"alg": "EdDSA"}, Key("EdDSA", None, ED).sign)).message
    )


def test_a_key_that_the_token_brings_along_is_not_used(believer: Verifier) -> None:
    jwk = {"kty": "oct", "k": b64(OTHER)}
    forged = token(CLAIMS, {"alg": "HS256", "jwk": jwk, "jku": "http://192.0.2.1/"}, hs256(OTHER))
    assert "signature does not match" in refusal(believer, forged).message


def test_another_issuer_is_foreign(tmp_path: Path) -> None:
    believer = verifier(tmp_path, issuer="host")
    for issuer in (None, "other", ["host"]):
        assert refusal(believer, token(claims(iss=issuer))).row is errors.TOKEN_FOREIGN


def test_a_forged_token_is_not_told_that_it_expired(believer: Verifier) -> None:
    assert refusal(believer, token(claims(exp=1), None, hs256(OTHER))).row is errors.TOKEN_INVALID


# Keys that change -----------------------------------------------------------------------------------------------------


def test_after_a_reload_only_the_new_keys_count(tmp_path: Path) -> None:
    believer = verifier(tmp_path)
    (tmp_path / "key").write_bytes(OTHER)
    assert believer.verify(token(CLAIMS), NOW)
    believer.reload()
    assert refusal(believer, token(CLAIMS)).row is errors.TOKEN_INVALID
    assert believer.verify(token(CLAIMS, None, hs256(OTHER)), NOW)


def test_when_a_reload_fails_the_old_keys_stay(tmp_path: Path) -> None:
    believer = verifier(tmp_path)
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(LonglinkError, match="at least 32 bytes, got 5"):
        believer.reload()
    assert believer.verify(token(CLAIMS), NOW)


@pytest.mark.parametrize("content", [b"", b"<html>503</html>" * 4, b"{", b"-----BEGIN PUBLIC KEY-----\nAAAA\n"])
def test_a_file_that_broke_leaves_the_public_keys_of_before(tmp_path: Path, content: bytes) -> None:
    believer = verifier(tmp_path, json.dumps(ED_SET).encode())
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(LonglinkError):
        believer.reload()
    assert believer.verify(token(CLAIMS, {"alg": "EdDSA", "kid": "k"}, Key("EdDSA", None, ED).sign), NOW)
    assert refusal(believer, token(CLAIMS, None, hs256(content))).row is errors.TOKEN_INVALID


def test_a_reload_does_not_begin_to_trust_another_family_of_algorithms(tmp_path: Path) -> None:
    secret = json.dumps({"keys": [{"kty": "oct", "k": b64(SECRET)}]}).encode()
    public = json.dumps(ED_SET).encode()
    both = json.dumps({"keys": [*ED_SET["keys"], {"kty": "oct", "k": b64(SECRET)}]}).encode()
    signed = {secret: token(CLAIMS), public: token(CLAIMS, {"alg": "EdDSA"}, Key("EdDSA", None, ED).sign)}
    for before, after in ((public, secret), (public, both), (secret, public), (secret, both)):
        believer = verifier(tmp_path, before)
        (tmp_path / "key").write_bytes(after)
        with pytest.raises(LonglinkError, match=r"were trusted at the start.*restart the server to change it"):
            believer.reload()
        assert believer.verify(signed[before], NOW)
        other = signed[secret if before is public else public]
        assert refusal(believer, other).row is errors.TOKEN_INVALID


def test_a_reload_may_change_the_algorithm_within_a_family_and_leave_a_family_out(tmp_path: Path) -> None:
    secret, both = ({"kty": "oct", "k": b64(SECRET)}, [*ED_SET["keys"], {"kty": "oct", "k": b64(SECRET)}])
    believer = verifier(tmp_path, json.dumps({"keys": both}).encode())
    (tmp_path / "key").write_bytes(EC.as_pem(private=False))
    believer.reload()
    assert believer.verify(token(CLAIMS, {"alg": "ES256"}, Key("ES256", None, EC).sign), NOW)
    assert refusal(believer, token(CLAIMS)).row is errors.TOKEN_INVALID
    (tmp_path / "key").write_text(json.dumps(secret))
    believer.reload()
    assert believer.verify(token(CLAIMS), NOW), "both families were trusted at the start"


# Our own tokens -------------------------------------------------------------------------------------------------------


def test_a_token_signed_with_the_data_folders_key_is_believed_by_its_server(tmp_path: Path) -> None:
    believer = Verifier.from_config(Auth(), tmp_path)
    text = Signer.from_data(tmp_path).sign("alice", days=2)
    user, expires_at_s = believer.verify(text, NOW * 0 + json.loads(_payload(text))["iat"])
    assert user == "alice"
    assert expires_at_s == json.loads(_payload(text))["iat"] + 2 * 86_400 + 5


def _payload(text: str) -> bytes:
    part = text.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_the_signer_refuses_a_name_that_no_user_can_have() -> None:
    signer = Signer(Key("HS256", "k", OctKey.import_key(SECRET)), lambda: NOW)
    with pytest.raises(LonglinkError, match="sub"):
        signer.sign("a" * 65)
