"""An answer in normal form, so that answers can be counted: values compare, wording does not.

Of an answer's text, first that applies:

1. what is boxed; else its first line where a mark (`Answer:`, `####`) announced it; else what stands behind "the
   answer is"; else its last line;
2. of that, a single value: its normal form (`$1,234.00` is `1234`, `Answer: 5 %` is `5%`);
3. a formula (digits, operators, brackets): itself without blanks, `×` as `*`, `÷` as `/`;
4. several values in a sentence: the last number, which the sentence arrives at;
5. otherwise its words without case and closing stops.

Rules 2 and 4 do not read a sentence with a negation: "there is no way to make 24" does not answer 24. Not seen:
formulas that are equal and written otherwise, numbers in words, negations other than English ones, units.
"""

import re

from auditor.structure.marks import decided
from auditor.structure.values import Value, plain_values

_MOST = 2000
"""Characters of an answer that are read; what is longer is no answer that could be counted."""
_FORMULA = re.compile(r"[0-9.,+\-*/×÷−^=()\[\]{}$€£¥%\s]+")
_NEGATION = re.compile(r"\b(?:no|not|none|never|cannot|unable|impossible)\b|n['’]t\b", re.IGNORECASE)
_AS = str.maketrans({"×": "*", "÷": "/", "−": "-"})
_OUTSIDE = " \t\r*_`#>\"“”"
_STOPS = ".!?。！？।؟"


def normal_answer(text: str, *, marked: bool) -> str | None:
    """Normal form of an answer step's text, or None for a blank one.

    Args:
        marked: a mark announced the text as the answer.
    """
    said = decided(text) if not marked or "boxed" in text else None
    lines = [line for line in (text[slice(*said)] if said else text).splitlines() if line.strip(_OUTSIDE)]
    if not lines:
        return None
    line = lines[0] if marked or said else lines[-1]
    line = line.strip(_OUTSIDE)[:_MOST]
    values = [one for one in plain_values(line) if one.kind != "flag"]
    denies = _NEGATION.search(line) is not None
    if len(values) == 1 and not denies:
        return _value(values[0])
    if _FORMULA.fullmatch(line) and values:
        return "".join(line.translate(_AS).split()).rstrip(_STOPS)
    numbers = [one for one in values if one.number is not None]
    if numbers and not denies:
        return _value(numbers[-1])
    return " ".join(line.casefold().split()).rstrip(_STOPS + _OUTSIDE) or None


def _value(value: Value) -> str:
    return f"{value.normal}%" if value.kind == "percent" else value.normal
