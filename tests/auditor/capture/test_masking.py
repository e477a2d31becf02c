"""Compressed bodies on their way to the spool."""

import gzip
import hashlib
import random

import pytest
import zstandard

from auditor.capture import masking
from auditor.capture.encoding import decode
from auditor.capture.masking import BodyMask
from auditor.capture.redact import compile_rules

SECRET = b" sk-abcdefghijklmnopqrstuvwx "
PACKED = {"zstd": zstandard.ZstdCompressor(level=1).compress, "gzip": gzip.compress}


def fingerprint(value: bytes) -> str:
    return "hmac-sha256:" + hashlib.sha256(value).hexdigest()[:32]


def stored(data: bytes, encoding: str, piece: int = 5000) -> tuple[bytes, BodyMask]:
    mask = BodyMask(compile_rules(("keys",)), fingerprint, "response", encoding)
    pieces = [mask.feed(data[place : place + piece]) for place in range(0, len(data), piece)]
    return b"".join([*pieces, mask.close()]), mask


def noise(size: int) -> bytes:
    """Text that hardly compresses."""
    return random.Random(4).randbytes(size // 2).hex().encode()


@pytest.mark.parametrize("encoding", PACKED)
def test_a_large_body_without_a_secret_stays_as_it_came(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = PACKED[encoding](noise(2**21))
    for most in (2**25, 2**20):  # looked into whole, and given up half-way
        monkeypatch.setattr(masking, "MOST_DECODED", most)
        kept, mask = stored(packed, encoding)
        assert mask.plain_from is None
        assert kept == packed


@pytest.mark.parametrize("encoding", PACKED)
def test_a_secret_late_in_a_large_body_is_masked_and_the_rest_joins(encoding: str) -> None:
    text = noise(2**21)
    kept, mask = stored(PACKED[encoding](text + SECRET + text[:999]), encoding)
    assert mask.plain_from
    whole = decode(kept[: mask.plain_from], encoding) + kept[mask.plain_from :]
    assert whole.startswith(text + b" [redacted:keys:") and whole.endswith(b"] " + text[:999])
    assert SECRET.strip() not in whole


@pytest.mark.parametrize("encoding", PACKED)
def test_what_is_masked_and_grows_too_large_ends_with_a_note(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "MOST_DECODED", 2**20)
    text = noise(2**19) + SECRET + noise(2**21)
    kept, mask = stored(PACKED[encoding](text), encoding)
    assert mask.plain_from is not None
    whole = decode(kept[: mask.plain_from], encoding) + kept[mask.plain_from :]
    assert whole.endswith(b"\n[not recorded from here on: the decoded body is too large to be looked into]")
    assert b" [redacted:keys:" in whole and SECRET.strip() not in whole
    whole[: whole.rindex(b"\n")].decode("ascii")
