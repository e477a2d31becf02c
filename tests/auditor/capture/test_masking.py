"""Compressed bodies on their way to the spool."""

import gzip
import hashlib
import json
import random
import zlib

import brotli
import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from auditor.access.protocol import Admission
from auditor.capture import flight, masking
from auditor.capture.encoding import NotDecoded, decode
from auditor.capture.flight import Unrecorded
from auditor.capture.headers import Vault
from auditor.capture.masking import BodyMask
from auditor.capture.redact import compile_rules
from auditor.records.exchange import Joins

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
def test_a_large_body_without_a_secret_stays_as_it_came(encoding: str) -> None:
    packed = PACKED[encoding](noise(2**21))
    kept, mask = stored(packed, encoding)
    assert mask.plain_from is None and not mask.found
    assert kept == packed


@pytest.mark.parametrize("encoding", PACKED)
def test_what_nobody_looked_into_is_not_stored(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the record could decode it."""
    monkeypatch.setattr(masking, "MOST_DECODED", 2**20)
    text = noise(2**21)
    kept, mask = stored(PACKED[encoding](text + SECRET), encoding)
    (cut,) = mask.found
    assert cut.rule == "not-recorded" and "too large" in cut.hash
    packed = kept if mask.plain_from is None else kept[: mask.plain_from]
    whole = decode(packed, encoding) + kept[len(packed) :]
    assert len(whole) > 2**19 and text.startswith(whole.partition(b"\n[not recorded")[0])


@pytest.mark.parametrize("piece", [1, 100])
def test_a_secret_in_bytes_that_decode_to_nonsense_is_not_stored(piece: int) -> None:
    """A raw deflate stream by accident, with the secret in clear among its bytes."""
    body = b"\x0b\x0e\x98 sk-abcdefghijklmnopqrstuvwx \x03"
    assert SECRET.strip() not in decode(body, "deflate")
    kept, mask = stored(body, "deflate", piece)
    assert SECRET.strip() not in kept and kept.startswith(b"\x0b\x0e\x98 [redacted:keys:")
    assert {one.rule for one in mask.found} == {"keys", "not-recorded"}


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_can_be_read_from_what_is_stored_holds_no_secret(data: st.DataObject) -> None:
    """Bodies that are damaged, stacked, cut and sent in any pieces, under the header of this or another encoding."""
    pack = {"gzip": gzip.compress, "zstd": zstandard.compress, "deflate": zlib.compress, "br": brotli.compress,
            "raw": lambda text: zlib.compress(text, wbits=-15), "skip": lambda _: SKIPPED, "plain": bytes,
            "json": lambda text: b'{"choices":["' + text + b'"]}'}  # fmt: skip
    names = ["gzip", "zstd", "deflate", "br"]
    body = b"".join(
        pack[data.draw(st.sampled_from(sorted(pack)))](data.draw(st.sampled_from([SECRET, b"hello", noise(9000)])))
        for _ in range(data.draw(st.integers(1, 3)))
    )
    if data.draw(st.booleans()) and body:
        place = data.draw(st.integers(0, len(body) - 1))
        body = body[:place] + bytes([body[place] ^ data.draw(st.integers(1, 255))]) + body[place + 1 :]
    assume(SECRET.strip() not in stored(body, "identity")[0])  # a letter before it makes it another word
    encoding = data.draw(st.sampled_from(names))
    kept, mask = stored(body, encoding, data.draw(st.sampled_from([1, 7, 100, 2048, 100_000])))
    packed = kept if mask.plain_from is None else kept[: mask.plain_from]
    for name in (encoding, "deflate"):
        try:
            plain = decode(packed, name)
        except NotDecoded:
            plain = b""
        assert SECRET.strip() not in plain + kept


SKIPPED = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"


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
    cut, *masked = mask.found
    assert (cut.rule, cut.where, cut.count) == ("not-recorded", "response", 1) and "too large" in cut.hash
    assert [one.rule for one in masked] == ["keys"]


class Told(Unrecorded):
    """A spool of which the last frame is kept: how the call ended."""

    frame = b""

    def add(self, kind: int, stream: int, payload: bytes) -> bool:
        self.frame = payload
        return True


def test_a_record_says_that_a_masked_body_was_cut_however_much_was_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "MOST_DECODED", 2**17)
    monkeypatch.setattr(flight, "MOST_TOLD", 3)
    spool = Told()
    call = flight.Flight(
        spool=spool, vault=Vault(b"k" * 32), admission=Admission(redaction=("keys",)), method="POST", path="/v1/x",
        route="/v1/x", request_headers={}, joins=Joins(), started=1,
    )  # fmt: skip
    call.begin()
    secrets = b"".join(b" sk-proj-%020d " % number for number in range(9))
    call.asked(secrets, last=True)
    call.answered(200, {"content-encoding": "gzip"})
    call.gave(gzip.compress(SECRET + noise(2**18)))
    call.end()
    first, *others = json.loads(spool.frame)["redacted"]
    assert (first[0], first[1], first[3]) == ("not-recorded", "response", 1) and "too large" in first[2]
    assert [row[0] for row in others] == ["keys", "keys", "more"]


HIDDEN = {
    "zstd, another frame": ("zstd", zstandard.compress(b"a") + zstandard.compress(SECRET)),
    "zstd, plain": ("zstd", zstandard.compress(b"a") + SECRET),
    "zstd, a frame to skip": (
        "zstd", b"\x50\x2a\x4d\x18" + len(SECRET).to_bytes(4, "little") + SECRET + zstandard.compress(b"a"),
    ),
    "gzip, another member": ("gzip", gzip.compress(b"a") + gzip.compress(SECRET)),
    "gzip, plain": ("gzip", gzip.compress(b"a") + SECRET),
    "deflate, plain": ("deflate", zlib.compress(b"a") + SECRET),
    "br, plain": ("br", brotli.compress(b"a") + SECRET),
}  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("piece", [1, 9, 5000])
def test_behind_the_end_of_a_compressed_body_nothing_hides(name: str, piece: int) -> None:
    encoding, body = HIDDEN[name]
    kept, mask = stored(body, encoding, piece)
    assert SECRET.strip() not in kept
    assert mask.found[0].rule == "not-recorded" or b"[redacted:keys:" in kept


@pytest.mark.parametrize("piece", [1, 5000])
@pytest.mark.parametrize("encoding", ["gzip", "zstd", "deflate", "identity, gzip", "deflate, gzip", "gzip, deflate"])
def test_a_few_bytes_behind_the_end_do_not_keep_a_secret(encoding: str, piece: int) -> None:
    """What came out before them is looked at; stored compressed, anybody could unpack it."""
    pack = {"gzip": gzip.compress, "zstd": zstandard.compress, "deflate": zlib.compress, "identity": bytes}
    packed = SECRET
    for name in encoding.split(", "):
        packed = pack[name](packed)
    kept, mask = stored(packed + b"\r\n", encoding, piece)
    assert mask.found and mask.plain_from is not None
    whole = decode(kept[: mask.plain_from], encoding) + kept[mask.plain_from :]
    assert whole.startswith(b" [redacted:keys:") and b"] \n[not recorded from here on: " in whole
    assert SECRET.strip() not in whole and packed[:-8] not in kept


@pytest.mark.parametrize("level", [1, 19])
@pytest.mark.parametrize("checked", [True, False])
def test_blocks_of_zstd_go_on_as_soon_as_they_have_ended(level: int, checked: bool) -> None:
    """Raw, repeated and compressed blocks, empty ones, several frames: whatever was flushed is stored at once."""
    long = [noise(2**12), b"y" * 3000, random.Random(1).randbytes(999), noise(2**18)]
    texts = [b"data: hello\n\n", b"", *(text + b"\n" for text in long)]  # no secret begins with a line's end
    mask = BodyMask(compile_rules(("keys",)), fingerprint, "response", "zstd")
    came = kept = b""
    for _ in range(2):
        frame = zstandard.ZstdCompressor(level=level, write_checksum=checked).compressobj()
        for text in texts:
            packed = frame.compress(text) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
            for place in range(0, len(packed), 777):
                came += packed[place : place + 777]
                kept += mask.feed(packed[place : place + 777])
            assert kept == came, "a flushed text waits for nothing"
        last = frame.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
        came, kept = came + last, kept + mask.feed(last)
    assert kept + mask.close() == came and mask.plain_from is None
    assert decode(came, "zstd") == b"".join(texts) * 2


def test_part_of_a_zstd_block_waits() -> None:
    packed = zstandard.ZstdCompressor(level=1).compress(SECRET.replace(b"sk-", b"not-") * 9)
    mask = BodyMask(compile_rules(("keys",)), fingerprint, "response", "zstd")
    assert mask.feed(packed[:-9]) in (b"", packed[:9]), "nobody knows yet what the block says"
    assert mask.feed(packed[-9:]) + mask.close() != b"" and not mask.found
