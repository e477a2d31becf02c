"""The `auditor` command. Each verb prints for people, and JSON with --json.

Verbs import what they need when they run, so that help is instant and only `prepare` and `work` load torch.
"""

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from auditor.access_commands import keys, projects
from auditor.errors import AuditorError, NotFound
from auditor.settings import Settings, read_settings
from graph.errors import GraphError

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
FINISHED = {"done", "failed", "cancelled"}


def stores(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where things are; they beat AUDITOR_* and auditor.toml."""
    for option in (
        click.option("--graph", help="Graph store: sqlite:///path or bolt://host:port."),
        click.option("--ledger", help="Ledger: sqlite:///path."),
        click.option("--models", type=click.Path(path_type=Path), help="The models file (models.toml)."),
        click.option("--data", type=click.Path(path_type=Path), help="Folder for ledger, caches and keys."),
    ):
        command = option(command)

    @functools.wraps(command)
    def wrapped(data: Path | None, models: Path | None, ledger: str | None, graph: str | None, **rest: Any) -> Any:
        return command(settings=read_settings(data=data, models=models, ledger=ledger, graph=graph), **rest)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="reasoning-auditor")
def cli() -> None:
    """Record what LLM agents do, test what they say moved them, and show both side by side.

    \b
    A first session:
      auditor demo                       planted agents, from recording to verdicts
      auditor serve                      the server: proxy, OTLP, audit API, dashboard on one port
      export OPENAI_BASE_URL=http://127.0.0.1:8787/v1     point your agent at it
      auditor show                       the runs it recorded
      auditor audit RUN                  test the run's stated reasons
      auditor why RUN                    what led to its outcome

    Settings come from auditor.toml, AUDITOR_* in the environment, and the options below, later ones winning.
    """


cli.add_command(keys)
cli.add_command(projects)


def main() -> None:
    """Run the command; errors made on purpose are one sentence and exit code 2."""
    try:
        cli(standalone_mode=True)
    except (AuditorError, GraphError) as fault:
        click.echo(f"auditor: {fault}", err=True)
        sys.exit(2)


@cli.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port for everything.  [default: 8787]")
@click.option("--workers", type=int, help="Worker processes to start.  [default: 1]")
@click.option("--data", type=click.Path(path_type=Path), help="Folder for ledger, caches and keys.")
@click.option("--models", type=click.Path(path_type=Path), help="The models file (models.toml).")
def serve(**flags: Any) -> None:
    """Start the server: proxy under /v1, OTLP at /v1/traces, audit API under /api/v1, dashboard at /."""
    from auditor.app import serve as run
    from auditor.demo.processes import require_free

    settings = read_settings(**flags)
    os.umask(0o077)  # what is recorded is nobody else's
    settings.make_data()
    require_free(settings.host, settings.port, "the server", "--port")
    if settings.otlp_grpc:
        require_free(settings.host, settings.otlp_grpc, "OTLP over gRPC", "AUDITOR_OTLP_GRPC")
    run(settings)


@cli.command()
@stores
@click.option("--name", default="", help="Shown as the owner of its jobs.  [default: host:pid]")
@click.option("--until-idle", is_flag=True, help="Stop when no job is ready.")
@click.option("--follow", "following", is_flag=True, help="Run no jobs; ingest, structure and project what comes.")
@click.option("--follow-parent", type=int, hidden=True, help="Stop when this process is no longer the parent.")
def work(settings: Settings, name: str, until_idle: bool, following: bool, follow_parent: int | None) -> None:
    """Run a worker: it leases jobs from the ledger's queue, replays calls and appends evidence and verdicts."""
    os.umask(0o077)  # what is recorded is nobody else's
    settings.make_data()
    if following:
        from auditor.follow import follow

        follow(settings, follow_parent=follow_parent)
        return
    from auditor.work import work as run

    run(settings, name, until_idle=until_idle, follow_parent=follow_parent)


@cli.command()
@click.option("--models", type=click.Path(path_type=Path), help="The models file (models.toml).")
@click.option("--cache", type=click.Path(path_type=Path), help="Where to keep them.  [default: DATA/cache]")
@JSON
def prepare(models: Path | None, cache: Path | None, as_json: bool) -> None:
    """Build each model's feature dictionary and training-data influence index, unless they are cached."""
    from auditor.evidence.prepare import prepare as run
    from auditor.models import read_models

    settings = read_settings(models=models)
    if settings.models is None:
        raise NotFound("models", "no models file is set", "pass --models FILE or set AUDITOR_MODELS")
    for entry in read_models(settings.models).entries:
        started = time.monotonic()
        with _bar(entry.name, as_json) as progress:
            prepared = run(entry, cache or settings.cache, progress=progress)
        row = {"name": entry.name, "digest": entry.digest, "seconds": round(time.monotonic() - started, 2)}
        row |= {key: str(value) for key, value in asdict(prepared).items()}
        click.echo(json.dumps(row) if as_json else f"{entry.name}: ready in {row['seconds']} s")


@cli.command("import")
@click.argument("format")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--origin", default="", help="Where the file comes from and its licence; kept with every run.")
@stores
@JSON
def import_(settings: Settings, format: str, file: Path, origin: str, as_json: bool) -> None:
    """Import what somebody else recorded. FORMAT is anthropic_jsonl, gsm8k, inspect, intercode, langfuse, langsmith,
    openai_jsonl, otlp, tau_bench or tree_of_thoughts. What was imported before is not added again."""
    from auditor.capture.importers.catalogue import importer
    from auditor.capture.importers.imported import bring_in
    from auditor.structurer import Structurer

    chosen = importer(format)
    with _ledger(settings, make=True) as ledger, _bar(f"import {format}", as_json) as progress:
        items = chosen.read(file, lambda done, total: progress(done, total, file.name))
        brought = bring_in(ledger, items, origin or chosen.origin)
        Structurer(ledger, prices=settings.prices).catch_up()
    if as_json:
        click.echo(json.dumps(asdict(brought) | {"traces": sorted(brought.traces)}))
        return
    click.echo(brought.sentence())
    for reason in brought.reasons:
        click.echo(f"  rejected: {reason}", err=True)


@cli.command()
@click.argument("run")
@click.option("--method", "methods", multiple=True, help="Only this method; may be repeated.  [default: all]")
@click.option("--replicates", type=int, help="Draws per intervention.  [default: 32]")
@click.option("--no-wait", is_flag=True, help="Queue the jobs and leave them to running workers.")
@stores
@JSON
def audit(
    settings: Settings, run: str, methods: tuple[str, ...], replicates: int | None, no_wait: bool, as_json: bool
) -> None:
    """Test what RUN says moved it: queue the jobs, work on them, print the verdicts."""
    from auditor.app import worker_command
    from auditor.audits import RunAudits
    from auditor.jobs.executors.local import LocalExecutor
    from auditor.jobs.queue import SqliteQueue
    from auditor.models import ModelsTable, read_models
    from auditor.structurer import Structurer

    with _ledger(settings) as ledger:
        models = read_models(settings.models) if settings.models else ModelsTable()
        queue = SqliteQueue(ledger.path, ledger)
        audits = RunAudits(ledger, queue, models, Structurer(ledger, prices=settings.prices).catch_up)
        ticket = audits.start(run, list(methods) or None, {"replicates": replicates} if replicates else {}, "cli")
        if not no_wait:
            executor = LocalExecutor(worker_command(settings), count=max(1, settings.workers))
            executor.start()
            try:
                _wait(audits, run, as_json)
            finally:
                executor.stop()
        failed = [job for job in audits.progress(run) if job.state == "failed"]
        queue.close()
        if no_wait:
            line = f"audit {ticket.audit}: {len(ticket.jobs)} jobs queued"
            click.echo(json.dumps(asdict(ticket)) if as_json else line)
        else:
            _print_run(ledger, run, as_json)
    for job in failed:
        click.echo(f"{job.kind} job {job.id[:12]} failed: {job.error}", err=True)
    sys.exit(1 if failed and not no_wait else 0)


@cli.command()
@click.argument("run", required=False)
@stores
@JSON
def show(settings: Settings, run: str | None, as_json: bool) -> None:
    """List the runs, or show one RUN: its steps, claims and verdicts."""
    from auditor.views.library import Library
    from auditor.views.totals import cost_text, tokens_text

    with _ledger(settings) as ledger:
        if run is not None:
            _print_run(ledger, run, as_json)
            return
        shelves = Library(ledger).shelves()
    rows: list[dict[str, Any]] = [
        {"run": s.run, "agent": s.agent, "model": s.model, "steps": s.steps, "claims": len(s.claims),
         "verdicts": s.verdict_counts(), "started": s.started, "usage": asdict(s.usage)}
        for s in shelves
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps({"runs": rows}))
        return
    table = Table("run", "agent", "model", "steps", "tokens", "cost", "claims", "verdicts")
    for row, shelf in zip(rows, shelves, strict=True):
        counts = ", ".join(f"{n} {word.replace('_', ' ')}" for word, n in row["verdicts"].items() if n)
        used = (tokens_text(shelf.usage), cost_text(shelf.usage))
        cells = [*(str(row[key]) for key in ("run", "agent", "model", "steps")), *used, str(row["claims"]), counts]
        table.add_row(*map(Text, cells))
    Console().print(table)


@cli.command()
@click.argument("target")
@click.option("--causal", is_flag=True, help="Only edges that an intervention measured.")
@stores
@JSON
def why(settings: Settings, target: str, causal: bool, as_json: bool) -> None:
    """Why this step? The backward slice of a step, or of the outcome of a run, with kinds of edges told apart."""
    from auditor.projection.follower import Follower
    from auditor.views.library import Library
    from auditor.views.why import why_view
    from graph.open import open_graph

    with _ledger(settings) as ledger:
        graph = open_graph(settings.graph_url, settings.neo4j_user, settings.neo4j_password or None)
        try:
            Follower(ledger, graph).catch_up()
            run, step = _run_and_step(Library(ledger), target)
            view = why_view(graph.ancestors(step, ["causal"] if causal else None), step, run=run, behind=0)
        finally:
            graph.close()
    if as_json:
        click.echo(view.model_dump_json())
        return
    tree = Tree(Text(view.summary))
    for sentence in view.chain:
        tree.add(Text(f"[{sentence.grade}] {sentence.text}"))
    Console().print(tree)


@cli.command()
@click.argument("run")
@stores
@JSON
def redo(settings: Settings, run: str, as_json: bool) -> None:
    """Derive RUN's verdicts again from ledger records alone and compare them with those recorded."""
    from auditor.records import wire
    from auditor.records.verdict import Verdict
    from auditor.work import derive

    with _ledger(settings) as ledger:
        recorded = {str(one.record.body["claim"]): (one.position, wire.read(Verdict, dict(one.record.body)))
                    for one in ledger.records(kinds=["verdict"], run=run)}  # fmt: skip
        if not recorded:
            raise NotFound("run", f"{run!r} has no verdicts", f"run: auditor audit {run}")
        again: dict[str, Verdict] = {}
        for structure in {verdict.structure for _, verdict in recorded.values()}:
            mine = {claim: at for claim, (at, verdict) in recorded.items() if verdict.structure == structure}
            found = derive(ledger, structure, before=min(mine.values()))
            again |= {one.claim: one for one in found if one.claim in mine}
    rows = [
        {"claim": claim, "recorded": old.verdict, "again": again[claim].verdict if claim in again else None,
         "same": again.get(claim) == old}
        for claim, (_, old) in recorded.items()
    ]  # fmt: skip
    same = all(row["same"] for row in rows)
    if as_json:
        click.echo(json.dumps({"run": run, "same": same, "verdicts": rows}))
    else:
        for row in rows:
            word = "same" if row["same"] else "DIFFERS"
            click.echo(f"{str(row['claim'])[:12]}  {row['recorded']} -> {row['again']}  {word}")
    sys.exit(0 if same else 1)


@cli.command()
@stores
@JSON
def verify(settings: Settings, as_json: bool) -> None:
    """Derive every hash of the ledger again; names the first record that fails."""
    from auditor.ledger.verify import verify as run

    with _ledger(settings) as ledger:
        found = run(ledger)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        click.echo(f"{found.records} records, {found.payloads} payloads")
        click.echo(f"integrity:    {'every hash re-derived' if found.intact else 'BROKEN'}")
        click.echo(f"completeness: {'no sequence number is missing' if found.complete else 'RECORDS ARE MISSING'}")
        if found.first_bad is not None:
            click.echo(f"first record that fails: {found.first_bad}")
        for problem in found.problems:
            click.echo(f"  {problem}")
    sys.exit(0 if found.intact and found.complete else 1)


@cli.command()
@stores
@JSON
def rebuild(settings: Settings, as_json: bool) -> None:
    """Drop the graph and build it again from record zero; prints its content digest."""
    from auditor.projection.follower import rebuild as run
    from graph.open import open_graph

    with _ledger(settings) as ledger:
        graph = open_graph(settings.graph_url, settings.neo4j_user, settings.neo4j_password or None)
        try:
            started = time.monotonic()
            applied = run(ledger, graph)
            row = {"records": applied, "digest": graph.digest(), "seconds": round(time.monotonic() - started, 2)}
        finally:
            graph.close()
    click.echo(json.dumps(row) if as_json else f"{row['records']} records, digest {row['digest']}, {row['seconds']} s")


@cli.command()
@click.option("--port", type=int, default=8787, show_default=True, help="Port of the demo's server.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws other items and values.")
@click.option("--per-family", type=int, default=11, show_default=True, help="Tasks per planted family.")
@click.option("--families", help="Comma-separated families.  [default: all]")
@click.option("--neo4j", is_flag=True, help="Keep the graph in a real Neo4j (needs java and mvn).")
@click.option("--exit", "exit_", is_flag=True, help="Stop by itself after the table.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write everything that was found to a file.")
@click.option("--folder", type=click.Path(path_type=Path), default=".demo", show_default=True, help="Where it writes.")
def demo(
    port: int, seed: int, per_family: int, families: str | None, neo4j: bool, exit_: bool, json_file: Path | None,
    folder: Path,
) -> None:  # fmt: skip
    """Planted agents run, are recorded, audited and judged; a table is printed and the dashboard stays up."""
    from agents.planted.families import FAMILIES
    from auditor.demo.phases import Demo, run_demo

    chosen = tuple(families.split(",")) if families else tuple(FAMILIES)
    unknown = sorted(set(chosen) - set(FAMILIES))
    if unknown:
        raise NotFound("families", f"no family is called {unknown[0]!r}", f"use some of {', '.join(FAMILIES)}")
    if not 1 <= per_family <= 40:
        raise NotFound("per-family", f"{per_family} tasks cannot be drawn", "use 1 to 40")
    wanted = Demo(
        folder=folder, port=port, seed=seed, per_family=per_family, families=chosen, neo4j=neo4j, exit=exit_,
        json=json_file,
    )  # fmt: skip
    width = None if sys.stdout.isatty() else 160  # a log file has no width of its own
    sys.exit(run_demo(wanted, Console(width=width)))


def _run_and_step(library: Any, target: str) -> tuple[str, str]:
    """A step by its id, or the outcome of a run."""
    from auditor.views.api.shapes import outcome_of

    try:
        structure = library.structure(target)
    except NotFound:
        try:
            structure, step = library.step(target)
        except NotFound as fault:
            fix = "list the runs with: auditor show"
            raise NotFound("target", f"no run and no step is called {target!r}", fix) from fault
        return structure.run, step.id
    outcome = outcome_of(structure)
    if outcome is None:
        raise NotFound("run", f"{target!r} has no steps yet", "wait until its calls are recorded")
    return structure.run, outcome.id


@contextmanager
def _ledger(settings: Settings, *, make: bool = False) -> Iterator[Any]:
    """The ledger; NotFound where there is none, unless it may be made."""
    from auditor.ledger.open import open_ledger

    if make:
        os.umask(0o077)  # what is recorded is nobody else's
    else:
        settings.require_ledger()
    settings.make_data()
    ledger = open_ledger(settings.ledger_url)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def _bar(title: str, silent: bool) -> Iterator[Callable[[int, int, str], None]]:
    with Progress(console=Console(stderr=True), disable=silent) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total, note: progress.update(
            task, completed=done, total=total or None, description=f"{title}: {note}"
        )


def _wait(audits: Any, run: str, silent: bool) -> None:
    """Until every job of a run has ended, with a bar."""
    with Progress(console=Console(stderr=True), disable=silent) as progress:
        tasks: dict[str, Any] = {}
        while True:
            jobs = audits.progress(run)
            for job in jobs:
                if job.id not in tasks:
                    tasks[job.id] = progress.add_task(job.kind, total=None)
                total = job.total or (1 if job.state == "done" else None)
                done = total or 0 if job.state == "done" else job.done
                what = f"{job.kind} {job.state} {job.note}"
                progress.update(tasks[job.id], completed=done, total=total, description=what)
            if all(job.state in FINISHED for job in jobs):
                return
            time.sleep(0.1)


def _print_run(ledger: Any, run: str, as_json: bool) -> None:
    """Steps, claims and current verdicts of a run."""
    from auditor.records import wire
    from auditor.records.verdict import Verdict
    from auditor.structurer import latest_structure
    from auditor.views.totals import sentences, totals

    found = latest_structure(ledger, run)
    if found is None:
        raise NotFound("run", f"no run is called {run!r}", "list the runs with: auditor show")
    structure = found.structure
    body = wire.write(structure)
    usage = totals(body["calls"])
    current = {str(one.record.body["claim"]): wire.read(Verdict, dict(one.record.body))
               for one in ledger.records(kinds=["verdict"], run=run)}  # fmt: skip
    if as_json:
        verdicts = {claim: wire.write(verdict) for claim, verdict in current.items()}
        click.echo(json.dumps({"structure": body, "usage": asdict(usage), "verdicts": verdicts}))
        return
    console = Console()
    table = Table("#", "step", "what", title=Text(structure.title or run), title_justify="left")
    for step in sorted(structure.steps, key=lambda one: one.order):
        table.add_row(str(step.order), step.kind.replace("_", " "), Text(step.label))
    console.print(table)
    for line in sentences(usage):
        console.print(Text(line), highlight=False)
    for finding in structure.findings:
        if not finding.holds:
            console.print(Text(f"record check {finding.check}: {finding.message}", style="red"))
    for claim in structure.claims:
        verdict = current.get(claim.id)
        console.print(Text(f"{claim.text} ({claim.status})", style="bold"))
        console.print(Text(f"  {verdict.text}" if verdict else "  not audited yet; run: auditor audit " + run))
