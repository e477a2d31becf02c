"""Ids in addresses: run ids may contain anything, slashes too, raw or percent-encoded."""

import base64
import binascii
from typing import Annotated
from urllib.parse import unquote

from fastapi import Path, Query
from pydantic import AfterValidator
from starlette.types import ASGIApp, Receive, Scope, Send

from auditor.errors import BadInput


class RawPath:
    """Routes by the address as it was sent, so that `%2F` inside an id is not taken for a separator.

    Servers decode the path before routing; the undecoded one is in `raw_path`. Ids are decoded once, by `Id` below.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path")
        if scope["type"] == "http" and raw:
            scope = {**scope, "path": raw.split(b"?", 1)[0].decode("latin-1")}
        await self._app(scope, receive, send)


Id = Annotated[str, Path(min_length=1, max_length=3000), AfterValidator(unquote)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Largest number of items on the page.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before; none for the first page.")]


def encode_cursor(place: int) -> str:
    return base64.urlsafe_b64encode(f"p{place}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> int | None:
    """The place a cursor stands for; BadInput when it is not one of ours."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        if text[:1] == "p" and text[1:].isdecimal():
            return int(text[1:])
    except (binascii.Error, UnicodeDecodeError, ValueError):
        pass
    raise BadInput("cursor", "this cursor was not given by this server", "start again without a cursor")
