"""The models file: matching, digests, and errors that name the line."""

from pathlib import Path

import pytest

from auditor.errors import BadSetup
from auditor.models import read_models, weights_digest


def folder(tmp_path: Path) -> Path:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    (weights / "model.safetensors").write_bytes(b"abc")
    return weights


def test_a_recorded_name_matches_its_entry_with_or_without_revision(tmp_path: Path) -> None:
    weights = folder(tmp_path)
    (tmp_path / "models.toml").write_text('[[model]]\nname = "*/tool_user"\nweights = "weights"\n')
    table = read_models(tmp_path / "models.toml")
    found = table.match("/somewhere/tool_user@main")
    assert found is not None
    assert found.digest == weights_digest(weights)
    assert table.match("gpt-4o") is None
    assert table.match(None) is None


def test_the_digest_follows_every_file_that_decides_what_the_model_says(tmp_path: Path) -> None:
    weights = folder(tmp_path)
    before = weights_digest(weights)
    (weights / "notes.txt").write_text("ignored")
    assert weights_digest(weights) == before
    (weights / "chat_template.jinja").write_text("x")
    assert weights_digest(weights) != before


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('# table\n\n[[model]]\nname = "a"\nweights = "missing"\n', 5),
        ('[[model]]\nname = "a"\n', 1),
        ('[[model]]\nname = "a"\nweights = "weights"\n[[model]]\nname = "b"\nweights = "gone"\n', 6),
        ('[[model]]\nname = "a"\nweights = "weights"\ncolour = "red"\n', 4),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, line: int) -> None:
    folder(tmp_path)
    file = tmp_path / "models.toml"
    file.write_text(text)
    with pytest.raises(BadSetup) as fault:
        read_models(file)
    assert f"models.toml:{line}" in str(fault.value)


@pytest.mark.parametrize(
    "data",
    [
        b"model = 1", b"model = [1]", b"[model]\nname = 'a'", b"[[model]]\nname = 1\nweights = 'w'", b"\xff",
        b"[[model]]\nname = 'a'\nweights = 'weights'\ndtype = 3", b'[[model]]\nname = "a"\nweights = "we\\u0000ights"',
        b"model = [{name = 'a', weights = 'gone'}]", b"x = " + b"9" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_models_file_is_refused_in_words(tmp_path: Path, data: bytes) -> None:
    folder(tmp_path)
    file = tmp_path / "models.toml"
    file.write_bytes(data)
    with pytest.raises(BadSetup) as fault:
        read_models(file)
    assert fault.value.fix and "models.toml" in str(fault.value)
