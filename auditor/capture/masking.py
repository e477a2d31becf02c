"""A body on its way to the spool: masked, and looked into where it is compressed."""

from auditor.capture.decoding import Broken, Decoder, is_text, open_decoder
from auditor.capture.redact import Fingerprint, Masker, Rules, Where
from auditor.records.exchange import Redaction

MOST_WAITING = 2**16
"""Bytes of a compressed body that wait for what they mean; beyond, the body is stored decoded."""
MOST_LAGGING = 2**19
"""The same where the decoder itself holds back."""
MOST_DECODED = 2**25
"""Bytes a compressed body is looked into; what follows is masked as it came."""

CUT = "not-recorded"
"""In place of a rule's name: a masked body is not recorded to its end; `hash` says why."""


class BodyMask:
    """What `feed` and `close` give is to be stored.

    A compressed body is decoded beside it. While nothing is found it is stored as it came, each piece as soon as it is
    known to hold no beginning of a secret. From the first find on it is stored decoded: `plain_from` is then how many
    of the stored bytes are still compressed; decoding those and appending the rest gives the masked body.
    """

    def __init__(self, rules: Rules, fingerprint: Fingerprint, where: Where, encoding: str | None = None) -> None:
        self._masker = Masker(rules, fingerprint, where)
        self._raw = Masker(rules, fingerprint, where)
        """Of compressed bytes that are stored as they came: what decodes to nonsense may hold a secret in clear."""
        self._decoder: Decoder | None = open_decoder(encoding, MOST_DECODED) if encoding else None
        self._came: list[bytes] = []
        self._plain: list[bytes] = []
        self._clean: list[bool] = []
        """Whether behind each of those pieces no beginning of a secret was held."""
        self._waiting = 0
        self._given = 0
        self._any = False
        """Whether anything was decoded."""
        self._cut: str | None = None
        """Set once nothing more is stored: why."""
        self.plain_from: int | None = None

    @property
    def found(self) -> tuple[Redaction, ...]:
        """What was masked so far, and, where that took the rest of the body with it, that it did (rule CUT)."""
        found = (*self._masker.found, *self._raw.found)
        if self._cut is None:
            return found
        return (Redaction(rule=CUT, where=self._masker.where, hash=self._cut, count=1), *found)

    @property
    def distinct(self) -> int:
        """How many entries `found` has."""
        return self._masker.distinct + self._raw.distinct + (self._cut is not None)

    def feed(self, data: bytes) -> bytes:
        if self._cut is not None:
            return b""
        if self._decoder is None:
            return self._masker.feed(data)
        return self._decoded(self._decoder, data)

    def close(self) -> bytes:
        """The body has ended, or is broken off."""
        rest = self._masker.close()
        if self._decoder is None or self.plain_from is not None:
            return rest
        if self._cut is not None:
            return b""
        self._plain.append(rest)
        if self.found:
            return self._become_plain()
        return self._as_it_came() + self._raw.close()

    # --- inside

    def _decoded(self, decoder: Decoder, data: bytes) -> bytes:
        try:
            plain = self._masker.feed(decoder.feed(data))
        except Broken as fault:
            self._decoder = None
            return self._cannot_look(data, fault)
        self._any = self._any or bool(plain) or self._masker.holds > 0
        if self.plain_from is not None:
            return plain
        self._came.append(data)
        self._plain.append(plain)
        self._waiting += len(data)
        self._clean.append(not self._masker.holds)
        if self._masker.found or self._waiting > (MOST_WAITING if decoder.lag is None else MOST_LAGGING):
            return self._become_plain()
        if decoder.lag is not None and not self._masker.holds:
            return self._what_came_out(decoder.lag)
        if decoder.eager and not self._masker.holds:
            return self._as_it_came()
        return b""

    def _cannot_look(self, data: bytes, fault: Broken) -> bytes:
        """The body is not what its header says, broken, or too large. Bytes nobody looked into are not stored: whoever
        reads them later might be able to decode what could not be decoded here."""
        came = b"".join((*self._came, data))
        if not self._given and not self._any and not fault.plain and is_text(came):
            self._came, self._plain, self._clean, self._waiting = [], [], [], 0
            self.plain_from = 0  # it was never compressed
            return self._masker.feed(came)
        self._plain.append(self._masker.whole(fault.plain))
        self._cut = f"not recorded from here on: {fault}"
        if self.plain_from is None and not any(self._plain):
            return b""
        # What is stored goes on decoded; compressed bytes behind that would be read as text. So it ends here.
        return (self._become_plain() if self.plain_from is None else self._plain.pop()) + f"\n[{self._cut}]".encode()

    def _what_came_out(self, lag: int) -> bytes:
        """As it came, the pieces of which every byte is decoded by now and held nothing."""
        after, count = self._waiting, 0
        for place, piece in enumerate(self._came):
            after -= len(piece)
            if after < lag:
                break
            if self._clean[place]:
                count = place + 1
        came = b"".join(self._came[:count])
        del self._came[:count], self._plain[:count], self._clean[:count]
        self._waiting -= len(came)
        return self._stored(came)

    def _as_it_came(self) -> bytes:
        came = b"".join(self._came)
        self._came, self._plain, self._clean, self._waiting = [], [], [], 0
        return self._stored(came)

    def _stored(self, came: bytes) -> bytes:
        """Compressed bytes. Where they hold something themselves, that ends it: masked, they cannot be decoded."""
        kept = self._raw.feed(came)
        if self._raw.found:
            self._cut = "not recorded from here on: the compressed bytes themselves hold what a rule finds"
            kept += self._raw.close()
        self._given += len(kept)
        return kept

    def _become_plain(self) -> bytes:
        held = self._raw.close()
        self.plain_from = self._given + len(held)
        plain = b"".join(self._plain)
        self._came, self._plain, self._clean, self._waiting = [], [], [], 0
        return held + plain
