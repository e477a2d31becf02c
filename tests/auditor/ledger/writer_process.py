"""A process that appends until it is killed and prints what was acknowledged. Run by the crash tests."""

import sys

from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger
from auditor.records.wire import write


def main(path: str, source: str, count: int) -> None:
    ledger = SqliteLedger(path)
    for number in range(count):
        message = b'{"role":"user","content":"%d"}' % number
        ref = ledger.put_split(b"[" + message + b"]", [(1, 1 + len(message))])
        stored = ledger.append([Entry(kind="exchange", source=source, body={"n": number, "request": write(ref)})])
        print(stored[0].id, number, flush=True)
    ledger.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
