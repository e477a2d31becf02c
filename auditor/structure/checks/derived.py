"""Whether a stated number can be worked out from others: a model may add what it read without saying so.

Tried: a sum, difference or product of two numbers of the same text or of what came just before, a sum of several
numbers of the text, and these a whole number of times (2 to 9). Where the label says that the number was worked out
(`Total`, `Remaining balance`), the same over all numbers heard. Everything is exact; bounded by the number of operands.
"""

from collections.abc import Sequence
from fractions import Fraction

_MOST = 60
_LAST = 5
_MOST_TERMS = 12
_TIMES = range(1, 10)
_WORKED_OUT = frozenset({
    "total", "totals", "remaining", "balance", "difference", "additional", "refund", "sum", "due", "rest", "left",
    "overall", "combined", "extra", "amount", "cost", "save", "saved", "savings", "average", "charged", "charge",
    "pay", "paid", "payment", "covered", "subtotal", "altogether", "free", "fare", "fares", "card",
})  # fmt: skip


def says_worked_out(label: Sequence[str]) -> bool:
    """The last words of a label name a result of arithmetic."""
    return any(word in _WORKED_OUT for word in label[-_LAST:])


def derived(wanted: Fraction, near: Sequence[Fraction], far: Sequence[Fraction]) -> bool:
    """Whether numbers near by give it; with `far` not empty, also one step over those."""
    own = list(dict.fromkeys(near))[-_MOST:]
    return _one_step(wanted, own) or _subset(wanted, own) or (bool(far) and _one_step(wanted, [*far][-4 * _MOST :]))


def _one_step(wanted: Fraction, given: Sequence[Fraction]) -> bool:
    known = set(given)
    for times in _TIMES:
        part = wanted / times
        if times > 1 and (part in known or wanted * times in known):
            return True
        if any(part - one in known or one - part in known for one in known if one != 0):
            return True
    return any(one != 0 and wanted / one in known and wanted != one for one in known)


def _subset(wanted: Fraction, given: Sequence[Fraction]) -> bool:
    """A sum of several of the last numbers."""
    reached: set[Fraction] = {Fraction(0)}
    for one in [number for number in given if number != wanted][-_MOST_TERMS:]:
        reached |= {total + one for total in reached}
    return any(wanted == total * times for times in _TIMES for total in (reached - {0}) if total * times == wanted)
