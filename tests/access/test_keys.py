"""Key files: what can be read from them, what is refused, and how our own key is made."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey, RSAKey

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


def write(tmp_path: Path, content: bytes | str | dict[str, Any]) -> Path:
    file = tmp_path / "key"
    data = json.dumps(content) if isinstance(content, dict) else content
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    file.chmod(0o600)
    return file


def refusal(file: Path) -> LonglinkError:
    with pytest.raises(LonglinkError) as caught:
        read_keys(file)
    assert caught.value.row is errors.CONFIG_INVALID
    assert str(file) in caught.value.message
    return caught.value


def test_a_set_gives_every_key_that_is_for_signatures_of_ours_and_passes_over_others(tmp_path: Path) -> None:
    rsa = RSAKey.generate_key(2048).as_dict(private=False)
    ed = OKPKey.generate_key("Ed25519").as_dict(private=False)
    keys = [
        {**rsa, "kid": "a", "use": "sig", "alg": "RS256"},
        {**ed, "kid": "b"},
        {"kty": "oct", "k": SECRET, "kid": "c"},
        {**rsa, "kid": "d", "use": "enc"},
        {**rsa, "kid": "e", "alg": "PS256"},
        {**rsa, "kid": "f", "key_ops": ["encrypt"]},
        {"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "kid": "g"},
        {"kty": "OKP", "crv": "X25519", "x": "x", "kid": "h"},
        {"kty": "AKP", "kid": "i"},
    ]
    found = read_keys(write(tmp_path, {"keys": keys}))
    assert [(key.kid, key.algorithm) for key in found] == [("a", "RS256"), ("b", "EdDSA"), ("c", "HS256")]


def test_one_key_need_not_be_in_a_set(tmp_path: Path) -> None:
    assert [key.algorithm for key in read_keys(write(tmp_path, {"kty": "oct", "k": SECRET}))] == ["HS256"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"short", "a secret of at least 32 bytes, got 5"),
        (b"", "a secret of at least 32 bytes, got 0"),
        ({"kty": "oct", "k": "c2hvcnQ"}, "a secret of at least 32 bytes, got 5"),
        ({"keys": []}, "at least one key"),
        ({"keys": {}}, '"keys" to be a list'),
        ({"keys": [1]}, "every key of the set to be an object"),
        ({"keys": [{"kty": "oct", "k": SECRET}] * 65}, "at most 64 keys"),
        ({"kty": "oct"}, "got something else (KeyError)"),
        (b"{", "got something else (JSONDecodeError)"),
        (b"-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----\n", "got something else"),
        (RSA_1024, "an RSA key of at least 2048 bits, got 1024"),
        (OKPKey.generate_key("Ed448").as_pem(private=False), "the curve Ed25519, got Ed448"),
        (OKPKey.generate_key("Ed25519").as_pem(private=True), "a public key, got a private key"),
        (OKPKey.generate_key("Ed25519").as_dict(private=True), "public keys, got a private key"),
        (b"x" * 300_000, "at most 262144 bytes"),
    ],
)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_what_is_no_good_key_is_refused_without_showing_it(
    tmp_path: Path, content: bytes | dict[str, Any], said: str
) -> None:
    error = refusal(write(tmp_path, content))
    assert said in error.message
    assert "nonsense" not in error.message
    assert SECRET not in error.message


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


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_data_key_that_others_can_read_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    make_data_key(tmp_path)
    (tmp_path / DATA_KEY).chmod(mode)
    with pytest.raises(LonglinkError, match=f"its mode is {mode:04o}; chmod 600") as caught:
        read_data_key(tmp_path)
    assert caught.value.row is errors.DATA_UNUSABLE


def test_without_a_data_key_the_way_to_one_is_said(tmp_path: Path) -> None:
    with pytest.raises(LonglinkError, match="made by the first start of `longlink serve --data"):
        read_data_key(tmp_path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LonglinkError, match="cannot make the secret") as caught:
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
