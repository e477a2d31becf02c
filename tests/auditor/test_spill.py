"""Tables of keys behave like dicts, however few values stay in memory."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.spill import Spill

NAMES = st.sampled_from(["a", "b", "", "\ud800", "naïve", "x\0y"])
KEYS = st.tuples(NAMES, NAMES)
WHAT = st.sampled_from(["set", "append", "pop", "delete", "look"])
STEPS = st.lists(st.tuples(WHAT, KEYS, st.integers()), max_size=60)


@settings(deadline=None)
@given(STEPS, st.integers(1, 5))
def test_a_table_is_a_dict(steps: list[tuple[str, tuple[str, str], int]], near: int) -> None:
    with TemporaryDirectory() as folder:
        table, plain = Spill(Path(folder), near).table(), dict[Any, Any]()
        for step, key, number in steps:
            if step == "set":
                table[key], plain[key] = [number], [number]
            elif step == "append":
                table.setdefault(key, []).append(number)
                plain.setdefault(key, []).append(number)
            elif step == "pop":
                assert table.pop(key, None) == plain.pop(key, None)
            elif step == "delete" and key not in plain:
                with pytest.raises(KeyError):
                    del table[key]
            elif step == "delete":
                del table[key], plain[key]
            assert table.get(key) == plain.get(key)
            assert (key in table) == (key in plain)
        assert dict(table) == plain
        assert len(table) == len(plain)


def test_only_a_few_values_stay_in_memory_and_the_file_has_no_name(tmp_path: Path) -> None:
    spill = Spill(tmp_path, near=10)
    one, other = spill.table(), spill.table()
    for number in range(1000):
        one["p", str(number)] = {number}
        other["p", str(number)] = number
    assert len(one._values) < 20
    assert all(one["p", str(number)] == {number} and other["p", str(number)] == number for number in range(1000))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_loses_nothing_and_is_forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spill = Spill(tmp_path, near=10)
    table = spill.table()
    (pages,) = spill._file.execute("PRAGMA max_page_count=12").fetchone()
    assert pages == 12
    for number in range(2000):
        table["p", str(number)] = ["x" * 50, number]
    assert len(table._values) > 500 and "cannot be written" in caplog.text
    spill._file.execute("PRAGMA max_page_count=1000000")
    for number in range(2000, 4000):
        table["p", str(number)] = ["x" * 50, number]
    assert len(table._values) <= 20
    assert all(table["p", str(number)] == ["x" * 50, number] for number in range(4000))
