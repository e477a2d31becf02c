"""One call while it is relayed: what is known of it, and its frames in the spool."""

import struct
import time
from dataclasses import dataclass, field

import orjson

from auditor.access.protocol import Admission
from auditor.capture.spool import END, REQUEST, RESPONSE, STATUS, Spool
from auditor.records.exchange import Joins, Outcome
from auditor.records.times import time_text

_TIME = struct.Struct("<Q")


@dataclass(kw_only=True, slots=True)
class Flight:
    """Times are nanoseconds since 1970. `begin` first; nothing is kept in memory but counts."""

    spool: Spool
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

    def begin(self) -> None:
        """The call is known; from here a crash leaves a record."""
        meta = orjson.dumps({
            "project": self.admission.project, "method": self.method, "path": self.path, "route": self.route,
            "headers": self.request_headers, "joins": {k: v for k, v in vars(self.joins).items() if v is not None},
            "started": self.started,
        })  # fmt: skip
        self._stream = self.spool.begin(meta)

    def asked(self, data: bytes) -> None:
        """Bytes of the request."""
        self.sent += len(data)
        self._add(REQUEST, data)

    def answered(self, status: int, headers: dict[str, str]) -> None:
        """Status and headers of the answer."""
        self.status = status
        head = {"status": status, "headers": headers, "at": time.time_ns(), "upstream": self.upstream}
        self._add(STATUS, orjson.dumps(head))

    def gave(self, data: bytes) -> None:
        """Bytes the client was sent."""
        self.relayed += len(data)
        now = _TIME.pack(time.time_ns())
        for cut in range(0, len(data), 2**17):
            self._add(RESPONSE, now + data[cut : cut + 2**17])

    def end(self) -> None:
        """The call is over, however it ended."""
        end = {"outcome": self.outcome, "upstream": self.upstream, "at": time.time_ns(), "relayed": self.relayed}
        self.spool.add(END, self._stream, orjson.dumps(end))
        if self._broken:
            gap = {
                "what": f"exchange {self.method} {self.path} begun {time_text(self.started)}",
                "why": f"could not be recorded: {'; '.join(self.spool.trouble()) or 'the spool could not be written'}",
                "run": self.joins.run, "project": self.admission.project,
            }  # fmt: skip
            self.spool.lose(orjson.dumps(gap))

    def _add(self, kind: int, payload: bytes) -> None:
        if not self._broken and not self.spool.add(kind, self._stream, payload):
            self._broken = True
