"""Where prepared dictionaries and indexes lie, and how they get there whole. Torch-free.

    <cache>/<first 16 digits of the model digest>/dictionary-<key>/dictionary.safetensors, dictionary.json
    <cache>/<first 16 digits of the model digest>/influence-<key>/factors.safetensors, documents.jsonl, index.json

The key covers model digest, corpus digest and recipe, so that a changed model, corpus or recipe is prepared anew.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from auditor.records.canonical import content_id


def place(cache: Path, kind: str, model_digest: str, corpus_digest: str, recipe: Mapping[str, object]) -> Path:
    """Folder of one artefact; `kind` is `dictionary` or `influence`."""
    key = content_id({"model": model_digest, "corpus": corpus_digest, "recipe": dict(recipe)})[:16]
    return cache / model_digest.removeprefix("sha256:")[:16] / f"{kind}-{key}"


def write_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside the target, then rename it: a reader sees all of it or nothing.

    When somebody else finished the same artefact first, theirs is kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        fill(working)
        working.chmod(0o755)
        working.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(working, ignore_errors=True)
