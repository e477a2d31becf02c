"""What every ledger store must do. A new store adds its opener to STORES and gets the whole suite."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor.errors import BadValue, NotFound
from auditor.ledger.open import open_ledger
from auditor.ledger.protocol import Entry, Ledger
from auditor.records.canonical import sha256_hex
from auditor.records.exchange import Payload

Opener = Callable[[], Ledger]
STORES = ["sqlite"]


@pytest.fixture(params=STORES)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same, at first empty, store as often as it is called."""
    opened: list[Ledger] = []

    def opener() -> Ledger:
        opened.append(open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}"))
        return opened[-1]

    yield opener
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(reopen: Opener) -> Ledger:
    return reopen()


def gap(why: str, *, run: str | None = None, claim: str | None = None, source: str = "api", **more: str) -> Entry:
    return Entry(kind="gap", source=source, body={"what": "x", "why": why, "run": run, "claim": claim}, **more)


def test_an_empty_ledger_has_no_records(ledger: Ledger) -> None:
    assert list(ledger.records()) == []
    assert ledger.head().position == -1
    assert ledger.head().chain == "0" * 64
    assert list(ledger.append([])) == []


def test_records_come_back_in_order_as_they_were_appended(ledger: Ledger, reopen: Opener) -> None:
    stored = [*ledger.append([gap("a"), gap("b")]), *ledger.append([gap("c", project="other")])]
    assert [one.position for one in stored] == [0, 1, 2]
    assert [one.record.seq for one in stored] == [0, 1, 0]
    again = list(reopen().records())
    assert again == stored
    for one in again:
        assert one.id == one.record.record_id()
        assert ledger.record(one.id) == one
    assert ledger.head().chain == stored[-1].chain


def test_records_are_filtered(ledger: Ledger) -> None:
    for number in range(600):
        kind = "verdict" if number % 3 == 0 else "gap"
        body = {"n": number, "run": f"r{number % 2}", "claim": f"c{number % 5}"}
        ledger.submit([Entry(kind=kind, source="judge", body=body, project="p" if number < 300 else "q")])
    ledger.append([])

    def found(**filters: object) -> list[object]:
        return [one.record.body["n"] for one in ledger.records(**filters)]  # type: ignore[arg-type]

    assert found() == list(range(600))
    assert found(after=590) == list(range(591, 600))
    assert found(kinds=["verdict"], run="r0") == list(range(0, 600, 6))
    assert found(kinds=["verdict"], claim="c0") == list(range(0, 600, 15))
    assert found(project="q", limit=3) == [300, 301, 302]
    assert found(newest_first=True, limit=2) == [599, 598]
    assert found(newest_first=True, after=100) == list(range(599, 100, -1))
    assert found(kinds=[]) == []


def test_an_unknown_record_or_payload_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        ledger.record("0" * 64)
    with pytest.raises(NotFound):
        ledger.payload("0" * 64)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, "\ud800", b"bytes", {1: "a"}])
def test_what_json_cannot_say_is_refused_and_nothing_is_appended(ledger: Ledger, value: object) -> None:
    with pytest.raises(BadValue):
        ledger.append([gap("fine"), Entry(kind="gap", source="api", body={"value": value})])
    assert ledger.head().position == -1


def test_a_body_that_changes_after_submit_is_stored_as_it_was(ledger: Ledger) -> None:
    body = {"list": [1]}
    future = ledger.submit([Entry(kind="gap", source="api", body=body)])
    body["list"].append(2)
    assert future.result()[-1].record.body == {"list": [1]}
    assert next(ledger.records()).record.body == {"list": [1]}


def test_a_payload_is_readable_at_once_and_stored_once(ledger: Ledger, reopen: Opener) -> None:
    data = b"\x00\xff" * 5000
    address = ledger.put(data)
    assert ledger.payload(address) == data
    assert ledger.put(data) == address
    ledger.append([gap("x")])
    other = reopen()
    assert other.payload(address) == data
    assert other.put(data) == address


def test_the_address_tells_nothing_about_the_bytes(ledger: Ledger) -> None:
    assert ledger.put(b"4111 1111 1111 1111") != sha256_hex(b"4111 1111 1111 1111")


def test_a_fence_that_raises_stops_the_append(ledger: Ledger) -> None:
    def refuse(_connection: object) -> None:
        raise LookupError("lease lost")

    kept = ledger.submit([gap("before")])
    refused = ledger.submit([gap("never")], refuse)
    after = ledger.submit([gap("after")])
    assert kept.result()[0].position == 0
    with pytest.raises(LookupError, match="lease lost"):
        refused.result()
    assert after.result()[0].position == 1
    assert after.result()[0].record.seq == 1
    assert [one.record.body["why"] for one in ledger.records()] == ["before", "after"]


def test_watch_wakes_for_this_and_for_another_writer(ledger: Ledger, reopen: Opener) -> None:
    assert not ledger.watch(-1, 0.05)
    other = reopen()
    for writer in (ledger, other):
        after = ledger.head().position
        timer = threading.Timer(0.1, writer.append, ([gap("news")],))
        timer.start()
        started = time.monotonic()
        assert ledger.watch(after, 5)
        assert time.monotonic() - started < 2
        timer.join()
    assert ledger.watch(0, 0)


def test_two_openings_append_to_one_chain(ledger: Ledger, reopen: Opener) -> None:
    other = reopen()

    def work(writer: Ledger, name: str) -> None:
        for number in range(100):
            writer.append([gap(f"{name}{number}", source=name), gap("shared", source="both")])

    threads = [threading.Thread(target=work, args=pair) for pair in ((ledger, "a"), (other, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = list(ledger.records())
    assert [one.position for one in stored] == list(range(400))
    both = [one.record.seq for one in stored if one.record.source == "both"]
    assert both == list(range(200))


def test_a_tally_counts_by_kind_project_and_run(ledger: Ledger) -> None:
    rows = [("gap", "p", "r1"), ("gap", "p", "r1"), ("gap", "p", None), ("gap", "q", "r1"), ("span", "p", "r1")]
    ledger.append([
        Entry(kind=kind, source="s", project=project, body={"n": n} | ({"run": run} if run else {}))
        for n, (kind, project, run) in enumerate(rows)
    ])  # fmt: skip
    assert sorted(ledger.tally(-1, 4, ["gap"]), key=str) == [
        ("gap", "p", "r1", 2), ("gap", "p", None, 1), ("gap", "q", "r1", 1)
    ]  # fmt: skip
    assert ledger.tally(0, 3, ["gap", "span"]) and sum(row[3] for row in ledger.tally(0, 3, ["gap", "span"])) == 3
    assert ledger.tally(3, 4, ["span"]) == [("span", "p", "r1", 1)]


# --- bodies cut at their messages


def test_a_split_body_is_rebuilt_byte_for_byte(ledger: Ledger, reopen: Opener) -> None:
    body = b'{"messages": [ {"a":1} ,\n{"b": 2},{"c":3}], "model":"m"}'
    spans = [(body.index(b'{"a"'), body.index(b" ,\n")), *_ranges(body, b'{"b": 2}', b'{"c":3}')]
    ref = ledger.put_split(body, spans)
    assert ref.messages == 3
    assert ref.size == len(body)
    assert ledger.payload(ref) == body
    ledger.append([gap("x")])
    assert reopen().payload(ref) == body


def _ranges(body: bytes, *pieces: bytes) -> list[tuple[int, int]]:
    return [(body.index(piece), body.index(piece) + len(piece)) for piece in pieces]


def test_pieces_are_one_body_again(ledger: Ledger) -> None:
    ref = ledger.put_pieces(iter([b"one ", b"two ", b"two ", b"three"]))
    assert (ref.size, ref.messages) == (17, 4)
    ledger.append([])
    assert ledger.payload(ref) == b"one two two three"
    nothing = ledger.put_pieces([])
    assert (nothing.size, ledger.payload(nothing)) == (0, b"")


@pytest.mark.parametrize("spans", [[], [(5, 2)], [(0, 3), (2, 5)], [(0, 99)], [(-1, 2)]])
def test_spans_that_are_none_store_the_body_whole(ledger: Ledger, spans: list[tuple[int, int]]) -> None:
    ref = ledger.put_split(b"0123456789", spans)
    assert ref.context is None
    assert ledger.payload(ref) == b"0123456789"


@pytest.fixture(scope="module")
def shared_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('split') / 'ledger.db'}")
    yield ledger
    ledger.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=12))
def test_any_bytes_cut_anywhere_come_back(shared_ledger: Ledger, data: bytes, cuts: list[int]) -> None:
    places = sorted(min(cut, len(data)) for cut in cuts)
    spans = list(zip(places[::2], places[1::2], strict=False))
    assert shared_ledger.payload(shared_ledger.put_split(data, spans)) == data


def test_the_same_prefix_gives_the_same_context(ledger: Ledger) -> None:
    short, long = _conversation(3), _conversation(4)
    a, b = ledger.put_split(*short), ledger.put_split(*long)
    assert a.context != b.context
    assert ledger.put_split(*_conversation(3)) == a
    assert isinstance(b, Payload)


def _conversation(turns: int, size: int = 200) -> tuple[bytes, list[tuple[int, int]]]:
    """A request with a tool schema and `turns` messages of incompressible text, and its spans."""
    texts = ["".join(sha256_hex(b"%d.%d" % (n, i)) for i in range(size // 64)) for n in range(turns)]
    messages = [json.dumps({"role": "user", "content": text}) for text in texts]
    tools = json.dumps([sha256_hex(b"tool%d" % n) for n in range(50)])
    body = ('{"model":"m","messages":[' + ",".join(messages) + '],"tools":' + tools + "}").encode()
    spans, place = [], body.index(b"[") + 1
    for message in messages:
        spans.append((place, place + len(message)))
        place += len(message) + 1
    return body, spans


def test_storage_grows_with_what_is_new_not_with_what_is_resent(tmp_path: Path) -> None:
    def stored(turns: int) -> tuple[int, int]:
        path = tmp_path / f"{turns}.db"
        ledger = open_ledger(f"sqlite:///{path}")
        sent = 0
        for turn in range(1, turns + 1):
            body, spans = _conversation(turn, size=2000)
            sent += len(body)
            ledger.put_split(body, spans)
        ledger.append([])
        ledger.close()
        return sent, path.stat().st_size

    sent_short, short = stored(30)
    sent_long, long = stored(120)
    assert sent_long > 10 * sent_short  # what is resent grows with the square
    assert long < 5 * short  # what is kept grows with the turns (4x), page rounding aside
