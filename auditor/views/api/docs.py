"""The audit API's documentation as one self-contained page: no script, nothing from the internet."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--line:#d5dae3;--soft:#f4f6fa;--ink:#18202e;--dim:#526073;--link:#3349c4;--page:#fff}
@media(prefers-color-scheme:dark){
:root{--line:#323b4d;--soft:#1a2130;--ink:#e6eaf2;--dim:#a3afc2;
--link:#9fb0ff;--page:#11161f}}
body{font:15px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:62rem;margin:2rem auto;
padding:0 1rem}
code,pre{font:13px/1.5 ui-monospace,monospace}pre{background:var(--soft);padding:.7rem;overflow:auto;border-radius:6px}
details{border:1px solid var(--line);border-radius:8px;margin:.5rem 0;padding:.5rem .9rem}summary{cursor:pointer}
summary code{font-weight:600}a{color:var(--link)}table{border-collapse:collapse;width:100%}
td,th{text-align:left;border-bottom:1px solid var(--line);padding:.3rem .6rem .3rem 0;vertical-align:top}
.dim{color:var(--dim)}
"""


def docs_page(schema: Mapping[str, Any]) -> str:
    """HTML that lists every operation of an OpenAPI document with its parameters, answer fields and an example call."""
    sections: dict[str, list[str]] = {}
    for path, operations in schema["paths"].items():
        for verb, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[-1]
            sections.setdefault(tag, []).append(_operation(path, verb, operation, schema))
    body = "".join(f'<h2 id="{escape(tag)}">{escape(tag)}</h2>{"".join(parts)}' for tag, parts in sections.items())
    info = schema["info"]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><main>'
        f"<h1>{escape(info['title'])} <small class=dim>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info.get('description', ''))}</p>"
        '<p>Machine-readable: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'
        f"{body}</main></body></html>"
    )


def _operation(path: str, verb: str, operation: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(item['name'])}</code></td><td class=dim>{escape(item['in'])}</td>"
        f"<td>{escape(item.get('description') or item.get('schema', {}).get('type', ''))}</td></tr>"
        for item in operation.get("parameters", ())
    )
    table = f"<table><tr><th>parameter<th>in<th>meaning</tr>{rows}</table>" if rows else ""
    call = f"curl -s{'' if verb == 'get' else f' -X {verb.upper()}'} http://127.0.0.1:8787/api{path}"
    answer: Mapping[str, Any] = next(
        (item for code, item in operation["responses"].items() if code.startswith("2")), {}
    )
    form = answer.get("content", {}).get("application/json", {}).get("schema", {})
    return (
        f"<details><summary><code>{verb.upper()} /api{escape(path)}</code> "
        f"{escape(operation.get('summary', ''))}</summary>"
        f"{table}<p>Example</p><pre>{escape(call)}</pre>{_fields(form, schema)}</details>"
    )


def _fields(form: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    name = str(form.get("$ref", "")).rpartition("/")[2]
    if not name:
        return ""
    found = schema["components"]["schemas"][name]
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{escape(_type(item))}</td>"
        f"<td>{escape(item.get('description', ''))}</td></tr>"
        for field, item in found.get("properties", {}).items()
    )
    examples = "".join(
        f"<pre>{escape(json.dumps(item, indent=1, ensure_ascii=False))}</pre>" for item in found.get("examples", ())
    )
    return f"<p>Answer: <b>{escape(name)}</b></p><table>{rows}</table>{examples}"


def _type(item: Mapping[str, Any]) -> str:
    if "$ref" in item:
        return str(item["$ref"]).rpartition("/")[2]
    if "anyOf" in item:
        return " or ".join(_type(part) for part in item["anyOf"])
    if item.get("type") == "array":
        return f"list of {_type(item.get('items', {}))}"
    return str(item.get("type", "any"))
