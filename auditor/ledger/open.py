"""One door to the stores: an address in, a ledger out."""

from pathlib import Path

from auditor.errors import BadSetup
from auditor.ledger.protocol import Ledger
from auditor.ledger.sqlite import SqliteLedger


def open_ledger(url: str) -> Ledger:
    """Open the ledger at `sqlite:///relative/path` or `sqlite:////absolute/path`; it is created when missing.

    Raises BadSetup for any other address, or when the file cannot be used.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        # An address is a file only with three slashes; two would silently read the first folder as a host.
        if not rest.startswith("///") or len(rest) <= 3:
            raise BadSetup("AUDITOR_LEDGER", f"{url!r} names no file", "write sqlite:///path or sqlite:////absolute/path")
        return SqliteLedger(Path(rest[3:]))
    raise BadSetup("AUDITOR_LEDGER", f"{url!r} is no ledger store", "write sqlite:///path")
