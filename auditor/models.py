"""The models file: recorded model name -> weights, digest, template, indexes. Torch-free.

    [[model]]
    name = "planted/*"             # glob on the recorded name
    weights = "weights/tool_user"  # folder, relative to this file
    digest = "sha256:…"            # optional; of the folder, see weights_digest
    dtype = "float32"
    chat_template = "template.jinja"      # optional override
    training_corpus = "corpus.jsonl"      # optional: documents for training-data influence
    dictionary = "sae.safetensors"        # optional: trained sparse autoencoder; prepared when absent
"""

import fnmatch
import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.errors import BadSetup

_WEIGHT_FILES = ("*.safetensors", "config.json", "generation_config.json", "tokenizer*.json", "chat_template*")
_KEYS = {"name", "weights", "digest", "dtype", "chat_template", "training_corpus", "dictionary", "revision"}


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    name: str
    """Glob matched against the recorded model name."""
    weights: Path
    digest: str
    """`sha256:` + hex, as declared or computed when the file was read."""
    dtype: str = "float32"
    chat_template: Path | None = None
    training_corpus: Path | None = None
    dictionary: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ModelsTable:
    entries: tuple[ModelEntry, ...] = ()

    def match(self, recorded: str | None) -> ModelEntry | None:
        """The first entry whose glob matches the recorded name (an `@revision` tail is ignored)."""
        if recorded is None:
            return None
        plain = recorded.rsplit("@", 1)[0]
        for entry in self.entries:
            if fnmatch.fnmatchcase(recorded, entry.name) or fnmatch.fnmatchcase(plain, entry.name):
                return entry
        return None


def weights_digest(folder: Path) -> str:
    """`sha256:` over name and SHA-256 of every file that decides what the model says, in name order."""
    total = hashlib.sha256()
    names = sorted({path for pattern in _WEIGHT_FILES for path in folder.glob(pattern)})
    for path in names:
        total.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"sha256:{total.hexdigest()}"


def read_models(path: Path) -> ModelsTable:
    """Read a models file; BadSetup names the line of the first entry that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except OSError as fault:
        raise BadSetup(str(path), fault.strerror or "cannot be read", "set AUDITOR_MODELS to a file") from fault
    except (ValueError, RecursionError) as fault:  # no TOML, no UTF-8, or a number of thousands of digits
        raise BadSetup(str(path), str(fault), "correct the TOML") from fault
    rows = table.get("model", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadSetup(str(path), "`model` is no table of entries", "begin every entry with [[model]]")
    found = [number for number, line in enumerate(text.splitlines(), 1) if "".join(line.split()) == "[[model]]"]
    lines = found if len(found) == len(rows) else [1] * len(rows)
    return ModelsTable(
        entries=tuple(_entry(path, text, line, row) for line, row in zip(lines, rows, strict=True))
    )


def _entry(path: Path, text: str, line: int, row: dict[str, Any]) -> ModelEntry:
    unknown = set(row) - _KEYS
    if unknown:
        raise BadSetup(_where(path, text, line, min(unknown)), "is not a known key", f"use {', '.join(sorted(_KEYS))}")
    for key in ("name", "weights"):
        if not isinstance(row.get(key), str):
            raise BadSetup(f"{path}:{line}", f"the entry has no {key!r}", f"add {key} = \"…\"")
    for key in _KEYS & row.keys():
        if not isinstance(row[key], str):
            raise BadSetup(_where(path, text, line, key), f"{key} is no text", f"write {key} = \"…\"")
    weights = _file(path, text, line, row, "weights")
    assert weights is not None
    if not (weights / "config.json").is_file():
        raise BadSetup(_where(path, text, line, "weights"), f"{weights} has no config.json", "name a model folder")
    return ModelEntry(
        name=row["name"],
        weights=weights,
        digest=row.get("digest") or weights_digest(weights),
        dtype=row.get("dtype", "float32"),
        chat_template=_file(path, text, line, row, "chat_template"),
        training_corpus=_file(path, text, line, row, "training_corpus"),
        dictionary=_file(path, text, line, row, "dictionary"),
    )


def _file(path: Path, text: str, line: int, row: dict[str, Any], key: str) -> Path | None:
    if key not in row:
        return None
    place: Path = (path.parent / row[key].replace("\0", "")).resolve()
    if "\0" in row[key] or not place.exists():
        raise BadSetup(_where(path, text, line, key), f"{row[key]} does not exist", f"correct {key} or remove it")
    return place


def _where(path: Path, text: str, entry_line: int, key: str) -> str:
    for number, line in enumerate(text.splitlines()[entry_line:], entry_line + 1):
        if line.strip().startswith("["):
            break
        if line.split("=")[0].strip() == key:
            return f"{path}:{number}"
    return f"{path}:{entry_line}"
