"""Which payloads may be stored already: a Bloom filter (Bloom 1970) over hashes, so that new ones cost no look-up."""

import struct

BITS = 2**25
MOST = 2_000_000
"""Hashes beyond which the filter says yes too often (1.5 % at this size, 0.03 % at half a million)."""
_PLACES = struct.Struct("<4I")


class Seen:
    """4 MiB, whatever it holds. `in` is never wrong when it says no about what was added here."""

    def __init__(self) -> None:
        self._bits = bytearray(BITS // 8)

    def add(self, digest: bytes) -> None:
        """`digest`: a SHA-256; its first 16 bytes choose four bits."""
        for place in _PLACES.unpack_from(digest):
            place %= BITS
            self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, digest: bytes) -> bool:
        bits = self._bits
        for place in _PLACES.unpack_from(digest):
            place %= BITS
            if not bits[place >> 3] & 1 << (place & 7):
                return False
        return True
