"""Inspect AI evaluation logs: `.json`, or `.eval`, which is a zip of JSON files. One run per sample and epoch.

Of a zip only members with the names Inspect gives them are read, into memory and up to a limit each; no name is ever
used as a path. Texts that a log keeps apart (`attachment://…`) are put back where they stood.
"""

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.capture.dialects.openai_parts import message
from auditor.capture.exact import NotJson, exact, parse_json
from auditor.capture.importers.imported import Imported
from auditor.capture.importers.rows import MOST_FILE, Progress, Source, a_list, an_object, opened, silent
from auditor.errors import BadInput

FORMAT = "inspect"
WHAT = "an Inspect log (.json or .eval)"
MOST_SAMPLE = 2**27
"""Bytes of one sample."""
MOST_MEMBERS = 100_000
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError, KeyError,
           struct.error, OverflowError, IndexError)  # fmt: skip
"""What the standard library's reader raises for a zip that is none."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those Inspect writes and this version of the standard library reads without a dictionary of any size."""
_SAMPLE = re.compile(r"samples/[^/\\]+_epoch_\d+\.json")
_ATTACHMENT = "attachment://"
_FACTS = ("target", "scores", "metadata", "error", "limit", "model_usage", "total_time", "choices")


def read(source: Source, progress: Progress = silent) -> Iterator[Imported]:
    """Runs of a log; BadInput names the sample and field that are wrong."""
    file, total = opened(source, WHAT)
    with file:
        if file.read(2) == b"PK":
            file.seek(0)
            try:
                with zipfile.ZipFile(file) as archive:
                    yield from _zip(archive, total, progress)
            except _BROKEN as fault:
                fix = "convert it with: inspect log convert --to json"
                raise BadInput("file", f"cannot be unzipped: {fault}", fix) from fault
            return
        file.seek(0)
        data = file.read(MOST_FILE + 1)
    if len(data) > MOST_FILE:
        raise BadInput("file", f"has more than {MOST_FILE} bytes", "convert it with: inspect log convert --to eval")
    log = _parsed(data, "file")
    samples = a_list(log, "samples", "file", f"{WHAT} with its samples")
    for number, sample in enumerate(samples):
        yield _run(an_object(sample, f"samples.{number}", WHAT), _header(log), f"samples.{number}")
        progress(total * (number + 1) // len(samples), total)


def _zip(archive: zipfile.ZipFile, total: int, progress: Progress) -> Iterator[Imported]:
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise BadInput("file", f"has more than {MOST_MEMBERS} members", "split the evaluation")
    names = {one.filename: one for one in members}
    head = names.get("header.json") or names.get("_journal/start.json")
    if head is None:
        raise BadInput("header.json", "is not in the file", f"give {WHAT}")
    header = _header(_member(archive, head))
    samples = [one for one in members if _SAMPLE.fullmatch(one.filename)]
    done = 0
    for one in samples:
        yield _run(_member(archive, one), header, one.filename)
        done += one.compress_size
        progress(min(done, total), total)


def _member(archive: zipfile.ZipFile, one: zipfile.ZipInfo) -> dict[str, Any]:
    """A member's JSON object; what its directory says of its size is not believed."""
    if one.compress_type not in _METHODS:
        fix = "convert it with: inspect log convert --to json"
        raise BadInput(one.filename, f"is compressed in a way that is not read here ({one.compress_type})", fix)
    with archive.open(one) as file:
        data = file.read(MOST_SAMPLE + 1)
    if len(data) > MOST_SAMPLE:
        raise BadInput(one.filename, f"has more than {MOST_SAMPLE} bytes", f"give {WHAT}")
    return _parsed(data, one.filename)


def _header(log: Mapping[str, Any]) -> dict[str, Any]:
    return an_object(log.get("eval"), "eval", WHAT)


def _run(sample: dict[str, Any], header: Mapping[str, Any], where: str) -> Imported:
    rows = a_list(sample, "messages", where, WHAT)
    attachments = sample.get("attachments")
    kept = attachments if isinstance(attachments, dict) else {}
    own, epoch = sample.get("id"), sample.get("epoch")
    if isinstance(own, bool) or not isinstance(own, (str, int)):
        raise BadInput(f"{where}.id", "is missing, and neither text nor number", f"give {WHAT}")
    names: dict[str, str] = {}
    task, model, run = (header.get(name) for name in ("task", "model", "run_id"))
    facts: dict[str, object] = {name: sample[name] for name in _FACTS if sample.get(name) not in (None, {}, [])}
    return Imported(
        format=FORMAT, model=model if isinstance(model, str) and model else "unknown",
        run="/".join(str(part) for part in (FORMAT, task or "task", run or "run", own, epoch or 1)),
        messages=tuple(message(_chat(_whole(row, kept)), names) for row in rows),
        facts={"task": task if isinstance(task, str) else "unknown", "sample": own, "epoch": epoch or 1, **facts},
    )  # fmt: skip


def _chat(row: Any) -> Any:
    """A message in OpenAI's chat form."""
    if not isinstance(row, dict):
        return row
    form = {key: row[key] for key in ("role", "content", "tool_call_id") if row.get(key) is not None}
    if row.get("role") == "tool" and isinstance(row.get("function"), str):
        form["name"] = row["function"]
    if isinstance(form.get("content"), list):
        form["content"] = [_content(piece) for piece in form["content"]]
    calls = row.get("tool_calls")
    if isinstance(calls, list):
        form["tool_calls"] = [_tool_call(one) for one in calls]
    for name in ("error", "model", "source"):
        if row.get(name) is not None:
            form[name] = row[name]
    return form


def _content(piece: Any) -> Any:
    if isinstance(piece, dict) and piece.get("type") == "reasoning":
        # Hidden reasoning stands where its words would be, and is the provider's token.
        words = piece.get("reasoning")
        if piece.get("redacted"):
            return {"type": "redacted_thinking", "data": words}
        return {"type": "thinking", "thinking": words, "signature": piece.get("signature")}
    return piece


def _tool_call(one: Any) -> Any:
    if not isinstance(one, dict) or not isinstance(one.get("function"), str):
        return one
    given = one.get("arguments")
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, separators=(",", ":"))
    return {"id": one.get("id"), "type": "function", "function": {"name": one["function"], "arguments": text}}


def _whole(value: Any, attachments: Mapping[str, Any]) -> Any:
    """A value with its attachments back in place; at most exact.MOST_DEPTH deep, as all that was parsed."""
    if isinstance(value, str):
        if value.startswith(_ATTACHMENT) and isinstance(held := attachments.get(value[len(_ATTACHMENT) :]), str):
            return held
        return value
    if isinstance(value, list):
        return [_whole(one, attachments) for one in value]
    if isinstance(value, dict):
        return {key: _whole(one, attachments) for key, one in value.items()}
    return value


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    try:
        return an_object(exact(parse_json(data)), where, WHAT)
    except NotJson as fault:
        raise BadInput(where, f"is no JSON: {fault}", f"give {WHAT}") from fault
