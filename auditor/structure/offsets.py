"""Places of one text in characters and in UTF-8 bytes."""

_STRIDE = 6
"""Every 64th character's byte offset is kept; what lies between is encoded when asked for."""


class Offsets:
    """Character index → UTF-8 byte offset of one text. Lone surrogates count three bytes, as where they are stored."""

    def __init__(self, text: str) -> None:
        self._table: list[int] | None = None
        if not text.isascii():
            self._text = text
            table, at = [0], 0
            for start in range(0, len(text), 1 << _STRIDE):
                at += len(text[start : start + (1 << _STRIDE)].encode("utf-8", "surrogatepass"))
                table.append(at)
            self._table = table

    def __getitem__(self, index: int) -> int:
        if self._table is None:
            return index
        whole = index >> _STRIDE
        rest = self._text[whole << _STRIDE : index]
        if rest.isascii():
            return self._table[whole] + len(rest)
        return self._table[whole] + len(rest.encode("utf-8", "surrogatepass"))
