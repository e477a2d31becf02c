"""One call while it is relayed: what is known of it, and its frames in the spool."""

import logging
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson

from auditor.access.protocol import Admission
from auditor.capture.headers import SHORT, Vault
from auditor.capture.masking import CUT, BodyMask
from auditor.capture.redact import Where, compile_rules, mask_text, merged
from auditor.capture.spool import END, NOTE, REQUEST, RESPONSE, STATUS, Spool
from auditor.records.exchange import Joins, Outcome, Redaction
from auditor.records.times import time_text

LOG = logging.getLogger("auditor.capture")
_TIME = struct.Struct("<Q")
MOST_TOLD = 1000
"""Masked values that a record tells apart; the rest are counted together."""
_REFUSED = "the spool could not be written, or what there is to say of the call is too long"
_FROM_OUTSIDE = {"run", "step", "tags", "purpose", "traceparent", "session"}
"""Joins that are the client's own words."""


class Unrecorded:
    """Stands for the spool where a caller was turned away at the door: nothing of it is kept."""

    def begin(self, meta: bytes) -> int:
        return 1

    def add(self, kind: int, stream: int, payload: bytes) -> bool:
        return True

    def lose(self, gap: bytes) -> None:
        pass

    def trouble(self) -> list[str]:
        return []


def _harmless(step: Callable[..., None]) -> Callable[..., None]:
    """Whatever goes wrong with recording makes the call a gap; it never reaches the call itself."""

    @wraps(step)
    def taken(flight: "Flight", *arguments: Any, **options: Any) -> None:
        try:
            step(flight, *arguments, **options)
        except Exception as fault:  # noqa: BLE001 - the user's call goes on; what was lost is said
            LOG.exception("a call could not be recorded")
            flight.lost(f"{type(fault).__name__}: {fault}")

    return taken


@lru_cache(8192)
def _may_hold(names: tuple[str, ...], patterns: tuple[tuple[str, str], ...], text: str) -> bool:
    """Whether a project's rules may match in a SHORT text; most paths and header values of most calls are alike."""
    return compile_rules(names, patterns).may_hold(text.encode("utf-8", "surrogatepass"))


@dataclass(kw_only=True, slots=True)
class Flight:
    """Times are nanoseconds since 1970. `begin` first; nothing is kept in memory but counts, and what might be the
    beginning of a secret. Everything passes the project's rules before it reaches the spool."""

    spool: "Spool | Unrecorded"
    vault: Vault
    admission: Admission
    method: str
    path: str
    """Path and query as recorded: without project prefix and credentials."""
    route: str
    """Path alone."""
    request_headers: dict[str, str]
    joins: Joins
    started: int
    upstream: str = "none"
    status: int | None = None
    sent: int = 0
    relayed: int = 0
    outcome: Outcome = "crashed"
    """`crashed` until it ends in another way."""
    _stream: int = 0
    _broken: bool = field(default=False)
    _why: str = ""
    _request: BodyMask | None = None
    _response: BodyMask | None = None
    _found: tuple[Redaction, ...] = ()
    _noted: tuple[str, ...] = ()
    _told: int = 0
    """Masked values that the spool was told of so far, counted per body."""
    _told_of: frozenset[tuple[str, str, str]] = frozenset()

    @_harmless
    def begin(self) -> None:
        """The call is known; from here a crash leaves a record."""
        self.path, route = self._masked_path(self.path), self._masked(self.route, "path")
        self.request_headers = self._masked_headers(self.request_headers)
        joins = {k: v for k, v in vars(self.joins).items() if v is not None}
        for name in _FROM_OUTSIDE & joins.keys():
            joins[name] = self._masked(joins[name], "header")
        meta = orjson.dumps({
            "project": self.admission.project, "method": self.method, "path": self.path, "route": route,
            "headers": self.request_headers, "joins": joins, "started": self.started,
        })  # fmt: skip
        self._request = self._mask("request", self.request_headers)
        self._stream = self.spool.begin(meta)
        self._broken = self._stream == 0
        self._tell_masked()

    @_harmless
    def asked(self, data: bytes, *, last: bool = False) -> None:
        """Bytes of the request; after the `last` none are held back."""
        self.sent += len(data)
        assert self._request is not None, "begin() comes first"
        kept = self._request.feed(data)
        if last:
            kept += self._request.close()
        self._keep_request(kept)

    @_harmless
    def answered(self, status: int, headers: dict[str, str]) -> None:
        """Status and headers of the answer."""
        self.status = status
        headers = self._masked_headers(headers)
        if self._response is None:
            self._response = self._mask("response", headers)
        self._tell_masked()
        head = {"status": status, "headers": headers, "at": time.time_ns(), "upstream": self.upstream}
        self._add(STATUS, orjson.dumps(head))

    @_harmless
    def gave(self, data: bytes) -> None:
        """Bytes the client gets next."""
        self.relayed += len(data)
        if self._response is None:
            self._response = self._mask("response", {})
        self._keep_response(self._response.feed(data))

    def end(self) -> None:
        """The call is over, however it ended."""
        self._close()
        end: dict[str, object] = {
            "outcome": self.outcome, "upstream": self.upstream, "at": time.time_ns(), "relayed": self.relayed,
        }  # fmt: skip
        self._say_masked(end)
        if not self.spool.add(END, self._stream, orjson.dumps(end)):
            self._broken = True
        if self._broken:
            gap = {
                "what": f"exchange {self.method} {self.path} begun {time_text(self.started)}",
                "why": f"could not be recorded: {self._why or '; '.join(self.spool.trouble()) or _REFUSED}",
                "run": self.joins.run, "project": self.admission.project, "whole": self._stream == 0,
            }  # fmt: skip
            self.spool.lose(orjson.dumps(gap))

    def lost(self, why: str) -> None:
        """Part of this call is not recorded."""
        self._broken, self._why = True, why

    def masked(self, data: bytes, where: Where) -> bytes:
        """Bytes that will be recorded in another form than they came in."""
        mask = self._mask(where, {})
        kept = mask.feed(data) + mask.close()
        self._found = merged(self._found, mask.found)
        return kept

    # --- inside

    @_harmless
    def _close(self) -> None:
        """What was held back."""
        if self._request is not None:
            self._keep_request(self._request.close())
        if self._response is not None:
            self._keep_response(self._response.close())

    def _mask(self, where: Where, headers: dict[str, str]) -> BodyMask:
        rules = compile_rules(self.admission.redaction, self.admission.patterns)
        return BodyMask(rules, self.vault.fingerprint, where, headers.get("content-encoding"))

    def _masked(self, text: str, where: Where) -> str:
        if len(text) <= SHORT and not _may_hold(self.admission.redaction, self.admission.patterns, text):
            return text
        rules = compile_rules(self.admission.redaction, self.admission.patterns)
        kept, found = mask_text(rules, self.vault.fingerprint, text, where)
        if found:
            self._found = merged(self._found, found)
        return kept

    def _masked_path(self, path: str) -> str:
        """Path and query, also where the query writes a secret in its own escapes."""
        head, mark, query = self._masked(path, "path").partition("?")
        if "%" not in query and "+" not in query:
            return head + mark + query
        pairs = [(name, value, self._masked(value, "path")) for name, value in parse_qsl(query, keep_blank_values=True)]
        if all(value == kept for _, value, kept in pairs):
            return head + mark + query
        return f"{head}?{urlencode([(self._masked(name, 'path'), kept) for name, _, kept in pairs])}"

    def _masked_headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {name: self._masked(value, "header") for name, value in headers.items()}

    def _keep_request(self, data: bytes) -> None:
        if data:
            self._note("request", self._request)
            self._tell_masked()
            self._add(REQUEST, data)

    def _note(self, name: str, body: BodyMask | None) -> None:
        """Before the first decoded bytes of a compressed body: where they begin."""
        if body is not None and body.plain_from is not None and name not in self._noted:
            self._noted += (name,)
            self._add(NOTE, orjson.dumps({f"{name}_plain_from": body.plain_from}))

    def _keep_response(self, data: bytes) -> None:
        if data:
            self._note("response", self._response)
            self._tell_masked()
        now = _TIME.pack(time.time_ns())
        for cut in range(0, len(data), 2**17):
            self._add(RESPONSE, now + data[cut : cut + 2**17])

    def _tell_masked(self) -> None:
        """Before the frame that holds something masked: what it is, so that a crash leaves that too."""
        request, response = self._request, self._response
        count = len(self._found)
        if request is not None:
            count += request.distinct
        if response is not None:
            count += response.distinct
        if count == self._told or len(self._told_of) >= MOST_TOLD:
            return
        bodies = [body for body in (request, response) if body is not None]
        self._told = count
        new = {(one.rule, one.where, one.hash): one.count
               for found in (self._found, *(body.found for body in bodies)) for one in found
               if (one.rule, one.where, one.hash) not in self._told_of}  # fmt: skip
        self._told_of |= new.keys()
        rows = [[*key, count] for key, count in new.items()][:MOST_TOLD]
        if rows:
            self._add(NOTE, orjson.dumps({"masked": rows}))

    def _say_masked(self, end: dict[str, object]) -> None:
        for body in (self._request, self._response):
            if body is not None and body.found:
                self._found = merged(self._found, body.found)
        if self._found:
            found = sorted(self._found, key=lambda one: one.rule != CUT)  # that must be told, however many there are
            told, rest = found[:MOST_TOLD], found[MOST_TOLD:]
            end["redacted"] = [[one.rule, one.where, one.hash, one.count] for one in told]
            if rest:
                end["redacted"] += [["more", "request", f"{len(rest)} more values", sum(one.count for one in rest)]]  # type: ignore[operator]

    def _add(self, kind: int, payload: bytes) -> None:
        if not self._broken and not self.spool.add(kind, self._stream, payload):
            self._broken = True
