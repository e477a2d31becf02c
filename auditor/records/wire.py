"""Values <-> JSON. The only module of this room that validates: all that is read from disk or network passes here."""

from dataclasses import is_dataclass
from functools import cache
from typing import Any, TypeVar

import pydantic

from auditor.errors import BadInput

T = TypeVar("T")


@cache
def _adapter(form: Any) -> "pydantic.TypeAdapter[Any]":
    return pydantic.TypeAdapter(form)


def read(form: type[T], value: object) -> T:
    """Build a frozen value of type `form` from JSON data; BadInput names the first field that is wrong."""
    try:
        return _adapter(form).validate_python(value)  # type: ignore[no-any-return, arg-type, unused-ignore]
    except pydantic.ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        field = ".".join(str(place) for place in first["loc"]) or form.__name__
        raise BadInput(field, first["msg"], f"send a valid {form.__name__}") from fault


def write(value: object) -> dict[str, Any]:
    """JSON data of a frozen value; unset fields are written as null, never left out."""
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"{type(value).__name__} is not a record value")
    return _adapter(type(value)).dump_python(value, mode="json")  # type: ignore[no-any-return]
