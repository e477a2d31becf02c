"""`auditor keys` and `auditor projects`: who may do what, and what is masked before it is stored."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from auditor.access.keys import Key, KeyRing, Project, open_hasher
from auditor.access.office import SCOPES, KeyOffice
from auditor.access.vault import open_provider_vault
from auditor.capture.dialects.catalogue import upstream_names
from auditor.capture.redact import BUILT_IN, compile_rules
from auditor.errors import BadInput
from auditor.ledger.open import open_ledger
from auditor.settings import read_settings

_DATA = click.option("--data", type=click.Path(path_type=Path), help="Folder for ledger, caches and keys.")
_LEDGER = click.option("--ledger", help="Ledger: sqlite:///path.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group()
def keys() -> None:
    """Make, list and revoke keys; vault the providers' own.

    \b
    Clients send a key as x-audit-key, or in place of the provider's key where that is vaulted.
    A running server knows of a change within half a second.
    """


@keys.command()
@click.option("--project", help="The project it is for; only admin keys may be for all.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), required=True, help="May be repeated.")
@click.option("--name", default="", help="For whom or what it is.")
@_DATA
@_LEDGER
@_JSON
def create(project: str | None, scopes: tuple[str, ...], name: str, as_json: bool, **where: Any) -> None:
    """Make a key. It is shown once, and kept nowhere but as a keyed hash."""
    with _office(**where, make=True) as office:
        token, key = office.create(project, scopes, name)
    if as_json:
        click.echo(json.dumps({**_row(key), "key": token}))
        return
    click.echo(token)
    click.echo(f"A key of the server whose data lie in {_place(**where)}.", err=True)
    click.echo("This is the only time it is shown. Send it as x-audit-key.", err=True)


@keys.command("list")
@_DATA
@_LEDGER
@_JSON
def list_keys(as_json: bool, **where: Any) -> None:
    """Keys by their ids, also revoked ones."""
    with _office(**where) as office:
        rows = [_row(key) for key in office.ring.listed()]
    _print(rows, ("id", "project", "scopes", "name", "made", "revoked"), {"keys": rows}, as_json)


@keys.command()
@click.argument("key")
@_DATA
@_LEDGER
@_JSON
def revoke(key: str, as_json: bool, **where: Any) -> None:
    """Refuse the key with this id from now on. The whole key is taken too, but stays in your shell's history."""
    with _office(**where) as office:
        row = _row(office.revoke(key))
    click.echo(json.dumps(row) if as_json else f"{row['id']} is revoked")


@keys.command()
@click.argument("upstream")
@click.option("--project", required=True, help="Whose keys stand for it.")
@_DATA
@_LEDGER
def vault(upstream: str, project: str, **where: Any) -> None:
    """Keep the provider key of UPSTREAM, read from standard input, encrypted.

    \b
    Clients of the project then send their aud_… key as if it were the provider's.
    It is encrypted with DATA/vault.key, or with AUDITOR_VAULT_KEY (32 bytes in base64, or a file that holds 32).
    """
    with _office(**where, make=True) as office:
        office.check_upstream(upstream)
        if sys.stdin.isatty():
            secret = str(click.prompt("provider key", hide_input=True))
        else:
            secret = sys.stdin.read(2**16)
        if not secret.strip():
            raise BadInput("secret", "nothing came on standard input", "pipe the provider key in")
        office.vault(project, upstream, secret)
    click.echo(f"the key for {upstream} is vaulted in {project} ({_place(**where)})")


@keys.command()
@click.argument("upstream")
@click.option("--project", required=True, help="Whose keys stood for it.")
@_DATA
@_LEDGER
def forget(upstream: str, project: str, **where: Any) -> None:
    """Destroy the vaulted provider key of UPSTREAM."""
    with _office(**where) as office:
        office.forget(project, upstream)
    click.echo(f"the key for {upstream} is gone from {project}")


@click.group()
def projects() -> None:
    """Projects: what is masked in them, and whether their calls may go on unrecorded."""


@projects.command("list")
@_DATA
@_LEDGER
@_JSON
def list_projects(as_json: bool, **where: Any) -> None:
    """Projects that have keys or settings of their own."""
    with _office(**where) as office:
        rows = [_settings(one) for one in office.ring.projects()]
    _print(rows, ("name", "fail_closed", "redaction", "patterns", "vaulted"), {"projects": rows}, as_json)


@projects.command("set")
@click.argument("project")
@click.option("--fail-closed/--fail-open", default=None, help="Refuse calls that cannot be recorded, or not.")
@click.option("--redact", "rules", multiple=True, type=click.Choice([*BUILT_IN, "none"]),
              help="Rules that are on from now on; repeat for several, `none` for no rule.")  # fmt: skip
@click.option("--pattern", "patterns", multiple=True, metavar="NAME=PATTERN", help="A custom rule to add or change.")
@click.option("--drop-pattern", "dropped", multiple=True, metavar="NAME", help="A custom rule to remove.")
@_DATA
@_LEDGER
@_JSON
def set_project(
    project: str, fail_closed: bool | None, rules: tuple[str, ...], patterns: tuple[str, ...],
    dropped: tuple[str, ...], as_json: bool, **where: Any,
) -> None:  # fmt: skip
    """Change the settings of PROJECT; what is not given stays."""
    with _office(**where, make=True) as office:
        custom = dict(office.ring.project(project).patterns)
        for text in patterns:
            name, mark, pattern = text.partition("=")
            if not mark:
                raise BadInput("pattern", f"{text!r:.80} has no name", "write NAME=PATTERN")
            custom[name] = pattern
        for name in dropped:
            custom.pop(name, None)
        chosen = [rule for rule in rules if rule != "none"] if rules else None
        row = _settings(office.set_project(project, fail_closed=fail_closed, redaction=chosen, patterns=custom))
    _print([row], ("name", "fail_closed", "redaction", "patterns", "vaulted"), row, as_json)


@contextmanager
def _office(data: Path | None, ledger: str | None, *, make: bool = False) -> Iterator[KeyOffice]:
    """The office of a ledger; NotFound where there is none, unless it may be made."""
    settings = read_settings(data=data, ledger=ledger)
    if make:
        os.umask(0o077)  # what is recorded is nobody else's
    else:
        settings.require_ledger()
    settings.make_data()
    found = open_ledger(settings.ledger_url)
    try:
        hasher = open_hasher(settings.data)
        vault = open_provider_vault(settings.data, settings.vault_key)
        yield KeyOffice(found, KeyRing(found, hasher), hasher, vault, compile_rules, upstream_names())
    finally:
        found.close()


def _place(data: Path | None, ledger: str | None) -> str:
    """Where the ledger lies, for people."""
    settings = read_settings(data=data, ledger=ledger)
    return str((settings.ledger_file or settings.data / "ledger.db").absolute().parent)


def _row(key: Key) -> dict[str, Any]:
    return {**asdict(key), "scopes": sorted(key.scopes)}


def _settings(project: Project) -> dict[str, Any]:
    return {
        "name": project.name, "fail_closed": project.fail_closed, "redaction": list(project.redaction),
        "patterns": dict(project.patterns), "vaulted": list(project.vaulted),
    }  # fmt: skip


def _print(rows: list[dict[str, Any]], columns: tuple[str, ...], form: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(form))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(_cell(row[column])) for column in columns))
    Console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
