"""Key files: what can be read from them, what is refused, and how our own key is made."""

from __future__ import annotations

import base64
import hmac
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey, OKPKey, RSAKey

from longlink import errors
from longlink.access.keys import DATA_KEY, make_data_key, read_data_key, read_keys
from longlink.errors import LonglinkError

SECRET = "eHh4" * 10 + "eHg"
RSA_1024 = b"""-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC9ajjcTCuVOkZWBcXVJEX9K/uv
/F/vWEpKunhbxaCP7yPyUBF86yakaksHRNOY6f+InVgt6VAixPnZTrDTJr3SSHl0
Q3NogiDLZ6NM7a7zGZhCx/gZSaMjQ3drRwdrkvK+3MjLS9dCQTLjCs52ud3eIcE9
WZdWQB/v7Lx8bvb5QQIDAQAB
-----END PUBLIC KEY-----
"""


def write(tmp_path: Path, content: bytes | str | dict[str, Any] | list[Any]) -> Path:
    file = tmp_path / "key"
    data = json.dumps(content) if isinstance(content, dict | list) else content
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    file.chmod(0o600)
    return file


def refusal(entry: Path | str) -> LonglinkError:
    with pytest.raises(LonglinkError) as caught:
        read_keys(str(entry))
    assert caught.value.row is errors.CONFIG_INVALID
    assert str(entry).removeprefix("secret:") in caught.value.message
    return caught.value


def pem(key: Any, form: ser.PublicFormat = ser.PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return bytes(key.public_key().public_bytes(ser.Encoding.PEM, form))


RSA: Final = rsa.generate_private_key(65537, 2048)
ED: Final = ed25519.Ed25519PrivateKey.generate()
EC: Final = ec.generate_private_key(ec.SECP256R1())
JWKS: Final = {"keys": [{**OKPKey.generate_key("Ed25519").as_dict(private=False), "kid": "k"}]}


# What is taken --------------------------------------------------------------------------------------------------------


def test_a_set_gives_every_key_that_is_for_signatures_of_ours_and_passes_over_others(tmp_path: Path) -> None:
    rsa_key = RSAKey.generate_key(2048).as_dict(private=False)
    ed = OKPKey.generate_key("Ed25519").as_dict(private=False)
    p256 = ECKey.generate_key("P-256").as_dict(private=False)
    keys = [
        {**rsa_key, "kid": "a", "use": "sig", "alg": "RS256"},
        {**ed, "kid": "b"},
        {"kty": "oct", "k": SECRET, "kid": "c"},
        {**rsa_key, "kid": "d", "use": "enc"},
        {**rsa_key, "kid": "e", "alg": "PS256"},
        {**rsa_key, "kid": "f", "key_ops": ["encrypt"]},
        {**p256, "kid": "g", "alg": "ES256"},
        {**ed, "kid": "h", "alg": "Ed25519"},
        {**ed, "kid": "i", "alg": ["EdDSA"]},
        {"kty": "EC", "crv": "P-384", "x": "x", "y": "y", "kid": "j"},
        {"kty": "OKP", "crv": "X25519", "x": "x", "kid": "k"},
        {"kty": "AKP", "kid": "l"},
        {"kty": ["oct"], "k": SECRET, "kid": "m"},
    ]
    found = read_keys(str(write(tmp_path, {"keys": keys})))
    assert [(key.kid, key.algorithm) for key in found] == [
        ("a", "RS256"),
        ("b", "EdDSA"),
        ("c", "HS256"),
        ("g", "ES256"),
        ("h", "EdDSA"),
    ]


def test_one_key_need_not_be_in_a_set(tmp_path: Path) -> None:
    assert [key.algorithm for key in read_keys(str(write(tmp_path, {"kty": "oct", "k": SECRET})))] == ["HS256"]


def certificate(key: Any, name: str, issuer: str = "", signer: Any = None) -> bytes:
    now = datetime.now(UTC)
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer or name)])
    made = x509.CertificateBuilder(by, named, key.public_key(), 7, now, now + timedelta(days=1))
    algorithm = None if isinstance(signer or key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return made.sign(signer or key, algorithm).public_bytes(ser.Encoding.PEM)


PEMS: Final[dict[str, tuple[bytes, list[str]]]] = {
    "RSA": (pem(RSA), ["RS256"]),
    "Ed25519": (pem(ED), ["EdDSA"]),
    "P-256": (pem(EC), ["ES256"]),
    "two keys, one of them old": (pem(RSA) + b"\n" + pem(ED), ["RS256", "EdDSA"]),
    "PKCS#1": (pem(RSA, ser.PublicFormat.PKCS1), ["RS256"]),
    "CRLF": (pem(RSA).replace(b"\n", b"\r\n"), ["RS256"]),
    "a byte order mark": (b"\xef\xbb\xbf" + pem(RSA), ["RS256"]),
    "comments": (b"# of the host\n\n#2026\n" + pem(ED) + b"# end\n", ["EdDSA"]),
    "a certificate": (certificate(EC, "host"), ["ES256"]),
}


@pytest.mark.parametrize("name", PEMS)
def test_public_keys_in_pem_are_taken_as_tools_write_them(tmp_path: Path, name: str) -> None:
    data, algorithms = PEMS[name]
    assert [key.algorithm for key in read_keys(str(write(tmp_path, data)))] == algorithms


def test_a_key_set_may_begin_with_a_byte_order_mark_and_have_other_line_ends(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf\r\n" + json.dumps(JWKS, indent=2).encode().replace(b"\n", b"\r\n")
    assert [key.algorithm for key in read_keys(str(write(tmp_path, data)))] == ["EdDSA"]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_secret_is_the_bytes_of_the_file_that_is_said_to_be_one(tmp_path: Path, end: bytes) -> None:
    for secret in (b"correct horse battery staple, and more", os.urandom(32), b"fedcba9876543210" * 2):
        secret = secret.rstrip(b"\r\n")
        [key] = read_keys(f"secret:{write(tmp_path, secret.ljust(32, b'.') + end)}")
        assert key.algorithm == "HS256"
        assert key.verify(b"x", hmac.digest(secret.ljust(32, b"."), b"x", "sha256"))


# What is not ----------------------------------------------------------------------------------------------------------

DER: Final = RSA.public_key().public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)
SSH: Final = ED.public_key().public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH)
TEXT: Final = json.dumps(JWKS)
HTML: Final = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head><body>nginx</body></html>\n"
MISTAKES: Final[dict[str, tuple[bytes, str]]] = {
    "nothing": (b"", "got nothing"),
    "spaces": (b" " * 32, "got white space"),
    "UTF-16": (TEXT.encode("utf-16"), "got text in UTF-16"),
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), "got text in UTF-16"),
    "PEM in UTF-16": (pem(RSA).decode().encode("utf-16"), "got text in UTF-16"),
    "an array": (json.dumps(JWKS["keys"]).encode(), "got a JSON array"),
    "a JSON string": (json.dumps(TEXT).encode(), "got a JSON string"),
    "a JSON string of PEM": (json.dumps(pem(RSA).decode()).encode(), "as \\n"),
    "PEM in one line": (pem(RSA).replace(b"\n", b"\\n"), "as \\n"),
    "DER": (DER, "got DER"),
    "base64 of a key": (base64.encodebytes(DER), "without the lines of PEM"),
    "base64 of a key in one line": (base64.b64encode(DER), "without the lines of PEM"),
    "OpenSSH": (SSH, "got a key of OpenSSH"),
    "SSH2": (b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n", "PEM behind other text"),
    "HTML": (HTML, "got HTML or XML"),
    "HTML that shows a key": (b"<pre>" + pem(RSA) + b"</pre>", "got HTML or XML"),
    "XML": (b"<?xml version='1.0'?><RSAKeyValue><Modulus>x</Modulus></RSAKeyValue>", "got HTML or XML"),
    "a URL": (b"https://idp.example.com/.well-known/jwks.json\n", "got a URL"),
    "YAML": (b"keys:\n- kty: OKP\n  crv: Ed25519\n  x: aaaaaaaaaaaaaaaaaaaaaaaaa\n", "got YAML"),
    "YAML of Kubernetes": (b"---\napiVersion: v1\nkind: Secret\n", "got YAML"),
    "a token": (b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLi4u\n", "got a token (JWT)"),
    "PEM behind text": (b"Certificate:\n" + pem(RSA), "YAML"),
    "PEM behind a sentence": (b"My key\n" + pem(RSA), "PEM behind other text"),
    "a line of an environment file": (b"JWT_SECRET=" + SECRET.encode(), "a line NAME=VALUE"),
    "a line of TOML": (b'secret = "' + SECRET.encode() + b'"', "a line NAME=VALUE"),
    "a path": (b"/etc/longlink/keys/jwks.production.json\n", "got a path"),
    "a key with options": (b'command="date" ' + SSH, "got a key of OpenSSH"),
    "a token of a header": (b"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln\n", "got a token (JWT)"),
    "a key set in base64": (base64.b64encode(TEXT.encode()), "got a JSON object in base64 or hex"),
    "PEM in base64": (base64.encodebytes(pem(RSA)), "got PEM in base64 or hex"),
    "HTML in hex": (HTML.hex().encode(), "got HTML or XML in base64 or hex"),
    "DER in hex": (DER.hex().encode(), "got a key in base64"),
    "a text": (b"upstream connect error or disconnect before headers\n", "got what looks like text"),
    "a secret that does not say so": (b"K" + SECRET.encode(), "looks like text in base64 or hex; if it is an HMAC"),
    "raw bytes": (bytes(range(128, 160)), "looks like raw bytes; if it is an HMAC secret, write secret:PATH"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_not_a_key_is_refused_with_what_it_is_and_how_to_say_that_it_is_a_secret(
    tmp_path: Path, name: str
) -> None:
    data, said = MISTAKES[name]
    message = refusal(write(tmp_path, data)).message
    assert "expected a JWKS (JSON) or public keys in PEM, got " in message
    assert said in message
    assert "write secret:PATH" in message


PUBLIC: Final = [name for name, (_, said) in MISTAKES.items() if "looks like" not in said and name != "nothing"]


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_text_of_another_kind_is_no_secret_even_when_it_is_said_to_be_one(tmp_path: Path, name: str) -> None:
    file = write(tmp_path, MISTAKES[name][0] + b" " * 32 if name == "YAML of Kubernetes" else MISTAKES[name][0])
    assert "expected a random secret, got " in refusal(f"secret:{file}").message


@pytest.mark.parametrize(
    "data",
    [TEXT.encode(), TEXT.encode()[:60], pem(RSA), b"\xef\xbb\xbf" + SECRET.encode()],
    # Made of keys, which are others in every process that collects this test.
    ids=["a JWKS", "half a JWKS", "PEM", "a secret behind a byte order mark"],
)
def test_a_good_key_file_is_no_secret_even_when_it_is_said_to_be_one(tmp_path: Path, data: bytes) -> None:
    assert "expected a random secret, got " in refusal(f"secret:{write(tmp_path, data)}").message


@pytest.mark.parametrize("data", [pem(RSA), HTML, TEXT.encode(), DER])
def test_an_oct_key_of_public_text_is_no_secret(tmp_path: Path, data: bytes) -> None:
    k = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert "expected a random secret, got " in refusal(write(tmp_path, {"kty": "oct", "k": k})).message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"kty": "oct", "k": "c2hvcnQ"}, "a secret of at least 32 bytes, got 5"),
        ({"kty": "oct", "k": SECRET[:-1] + "h"}, "base64url without padding"),
        ({"kty": "oct", "k": SECRET + "="}, "base64url without padding"),
        ({"kty": "oct", "k": 5}, "base64url without padding"),
        ({"keys": []}, "at least one key"),
        ({"keys": {}}, '"keys" to be a list'),
        ({"keys": [1]}, "every key of the set to be an object"),
        ({"keys": [{"kty": "oct", "k": SECRET}] * 65}, "at most 64 keys"),
        ({"error": "not found"}, 'a JSON object with neither "keys" nor "kty"'),
        ({"issuer": "x", "jwks_uri": "https://x"}, "give the address in its jwks_uri"),
        ({"kty": "oct"}, "that is broken (KeyError)"),
        (b'{"kty":"oct","k":"x","k":"y"}', "every name of a JSON object once"),
        (b"{", "that is broken (JSONDecodeError)"),
        (TEXT[:80], "that is broken (JSONDecodeError)"),
        (b"-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----\n", "that is broken"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n", "whole blocks of PEM"),
        (pem(RSA) + b"<p>", "whole blocks of PEM"),
        (pem(RSA).replace(b"PUBLIC KEY", b"DH PARAMETERS"), "got a block DH PARAMETERS"),
        (RSA_1024, "an RSA key of 2048 to 16384 bits, got 1024"),
        (OKPKey.generate_key("Ed448").as_pem(private=False), "a key for RSA, Ed25519 or P-256, got a Ed448PublicKey"),
        (ECKey.generate_key("P-384").as_pem(private=False), "on the curve secp384r1"),
        (OKPKey.generate_key("Ed25519").as_pem(private=True), "public keys, got a private key"),
        (OKPKey.generate_key("Ed25519").as_dict(private=True), "public keys, got a private key"),
        (certificate(ED, "host", "authority", RSA) + certificate(RSA, "authority"), "got a chain"),
        (b"x" * 300_000, "at most 262144 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) and "crv" not in value else "a key",
)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_what_is_no_good_key_is_refused_without_showing_it(
    tmp_path: Path, content: bytes | dict[str, Any], said: str
) -> None:
    error = refusal(write(tmp_path, content))
    assert said in error.message
    assert "nonsense" not in error.message
    assert SECRET not in error.message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"short", "at least 32 bytes, got 5"),
        (b" " * 40, "a random secret, got white space"),
        (bytes(64), "a random secret, got nothing but zeros"),
        (b"kid,kty,n,e\n" + b"r1,RSA,AQAB,AQAB\n" * 3, "a random secret, got text of several lines"),
    ],
)
def test_a_weak_secret_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in refusal(f"secret:{write(tmp_path, data)}").message


@pytest.mark.parametrize("secret", [base64.encodebytes(bytes(range(64))), b"0123456789abcdef" * 4, bytes(range(32))])
def test_a_secret_may_be_wrapped_base64_hex_or_raw_bytes(tmp_path: Path, secret: bytes) -> None:
    [key] = read_keys(f"secret:{write(tmp_path, secret)}")
    assert key.verify(b"x", hmac.digest(secret.removesuffix(b"\n"), b"x", "sha256"))


@pytest.mark.parametrize("sign", [0, 0x80], ids=["as it is", "with the other sign"])
@pytest.mark.parametrize("y", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"], ids=["0", "1", "-1"])
def test_an_ed25519_key_under_which_anybody_can_sign_is_refused(tmp_path: Path, y: bytes, sign: int) -> None:
    x = base64.urlsafe_b64encode(y[:31] + bytes([y[31] | sign])).rstrip(b"=").decode()
    error = refusal(write(tmp_path, {"kty": "OKP", "crv": "Ed25519", "x": x}))
    assert "an Ed25519 key that somebody made" in error.message


@pytest.mark.parametrize("operations", [None, 7, "verify"])
def test_a_key_with_a_wrong_list_of_operations_is_passed_over_in_a_set(tmp_path: Path, operations: object) -> None:
    odd = {**JWKS["keys"][0], "kid": "odd", "key_ops": operations}
    [key] = read_keys(str(write(tmp_path, {"keys": [odd, *JWKS["keys"]]})))
    assert key.kid != "odd"


def test_an_entry_that_seems_to_be_the_key_itself_is_not_shown(tmp_path: Path) -> None:
    for entry in (SECRET, pem(RSA).decode(), TEXT, f"secret:{SECRET}", "K7\0"):
        with pytest.raises(LonglinkError, match="expected the path of a file, got") as caught:
            read_keys(entry)
        assert entry.removeprefix("secret:")[:8] not in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none").message


def test_the_data_key_is_made_once_closed_to_others_and_has_256_bits(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    make_data_key(folder)
    file = folder / DATA_KEY
    first = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(base64.urlsafe_b64decode(json.loads(first)["k"] + "=")) == 32
    make_data_key(folder)
    assert file.read_bytes() == first
    assert [path.name for path in folder.iterdir()] == [DATA_KEY]
    assert read_data_key(folder).algorithm == "HS256"


def test_without_a_data_key_the_way_to_one_is_said(tmp_path: Path) -> None:
    with pytest.raises(LonglinkError, match="made by the first start of `longlink serve --data"):
        read_data_key(tmp_path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LonglinkError, match="cannot write") as caught:
        make_data_key(tmp_path / "file" / "data")
    assert caught.value.row is errors.DATA_UNUSABLE


@pytest.mark.parametrize("kind", ["a pipe", "a character device"])
def test_what_is_not_a_regular_file_is_refused_by_name_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    file = tmp_path / DATA_KEY
    if kind == "a pipe":
        os.mkfifo(file, 0o600)
    else:
        file = Path("/dev/null")
    said = f"{file}: expected a regular file, got {kind}"
    assert refusal(file).message == said
    if file.parent == tmp_path:
        with pytest.raises(LonglinkError) as caught:
            read_data_key(tmp_path)
        assert (caught.value.row, caught.value.message) == (errors.DATA_UNUSABLE, said)
