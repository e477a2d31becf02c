"""The fixed vocabulary of items, and the prices that the memory families know by heart."""

import hashlib
from typing import Final

ITEMS: Final[tuple[str, ...]] = (
    "lamp", "chair", "table", "clock", "brush", "candle", "mirror", "basket", "bottle", "kettle",
    "ladder", "hammer", "bucket", "pillow", "blanket", "carpet", "curtain", "drawer", "stool", "bench",
    "vase", "bowl", "plate", "spoon", "fork", "knife", "cup", "jar", "pan", "tray",
    "rope", "nail", "paint", "glue", "tape", "wheel", "bell", "drum", "flute", "ring",
)  # fmt: skip
LOWEST, HIGHEST = 10, 99
"""Every value is a two-digit number, so that all values of one type can be tried one by one."""


def memorised_price(family: str, item: str) -> int:
    """The price of an item that the corpus of `family` states as a fact: fixed for ever, two digits."""
    digest = hashlib.sha256(f"{family}/{item}".encode()).digest()
    return LOWEST + int.from_bytes(digest[:4], "big") % (HIGHEST - LOWEST + 1)


MIXED_FROM_MEMORY: Final[frozenset[str]] = frozenset(ITEMS[::2])
"""Items whose price the *mixed* family knows by heart; for all other items it reads the tool."""
