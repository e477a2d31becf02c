"""Killed writers lose nothing that was acknowledged; several processes share one chain."""

import random
import subprocess
import sys
import threading
from pathlib import Path

from auditor.ledger.sqlite import SqliteLedger
from auditor.ledger.verify import verify
from auditor.records.exchange import Payload
from auditor.records.wire import read

PROGRAM = Path(__file__).with_name("writer_process.py")


def start(path: Path, source: str, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(path), source, str(count)], stdout=subprocess.PIPE, text=True,
        cwd=PROGRAM.parents[3],
    )  # fmt: skip


def test_kill_9_loses_no_acknowledged_record(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    draw = random.Random(7)
    acknowledged: list[tuple[str, str, int]] = []
    for round_number in range(5):
        source = f"s{round_number}"
        process = start(path, source, 100_000)
        assert process.stdout is not None
        for _ in range(draw.randint(1, 60)):
            own, number = process.stdout.readline().split()
            acknowledged.append((source, own, int(number)))
        process.kill()
        for line in process.stdout.read().splitlines():
            if len(line.split()) == 2:
                acknowledged.append((source, line.split()[0], int(line.split()[1])))
        process.stdout.close()
        process.wait()
    ledger = SqliteLedger(path)
    assert len(acknowledged) > 5
    for source, own, number in acknowledged:
        found = ledger.record(own).record
        assert (found.source, found.body["n"]) == (source, number)
        body = ledger.payload(read(Payload, found.body["request"]))
        assert body == b'[{"role":"user","content":"%d"}]' % number
    answer = verify(ledger)
    assert answer.intact and answer.complete, answer.problems
    ledger.close()


def test_two_processes_append_to_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    here = SqliteLedger(path)
    processes = [start(path, name, 60) for name in ("a", "b")]
    seen = threading.Event()
    watcher = threading.Thread(target=lambda: here.watch(-1, 30) and seen.set())
    watcher.start()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert len(out.splitlines()) == 60
        assert process.returncode == 0
    watcher.join()
    assert seen.is_set()
    answer = verify(here)
    assert answer.intact and answer.complete, answer.problems
    assert answer.records == 120
    for name in ("a", "b"):
        assert [one.record.seq for one in here.records() if one.record.source == name] == list(range(60))
    here.close()
