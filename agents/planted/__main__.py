"""Command line: `python -m agents.planted train|corpus …`."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agents.planted.corpus import digest, documents, limited, line
from agents.planted.families import FAMILIES

_ONE_OR_ALL = click.Choice([*FAMILIES, "all"])


@click.group()
def main() -> None:
    """Tiny language models whose reasoning is known to be faithful or not."""


@main.command()
@click.argument("family", type=_ONE_OR_ALL)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the weights (one family).")
@click.option("--seed", default=0, show_default=True, help="Seed of the corpus, the first weights and the order.")
def train(family: str, out: Path | None, seed: int) -> None:
    """Train FAMILY (or all) from scratch, about a minute each on one core."""
    from agents.planted import train as trainer  # torch is loaded only by the verbs that need it

    if family == "all" and out:
        raise click.UsageError("--out names one family's folder: train the families one by one with it")
    for name in FAMILIES if family == "all" else (family,):
        text, bar = TextColumn("{task.description}"), BarColumn()
        with Progress(text, bar, TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn()) as progress:
            recipe = trainer.train(name, seed=seed, out=out, report=_shown(name, progress))
        click.echo(f"{name}: accuracy {recipe['accuracy']:.3f} on held-out tasks, {recipe['seconds']} s")


def _shown(name: str, progress: Progress) -> Callable[[int, int, float], None]:
    """A report of training steps that moves a progress bar."""
    task = progress.add_task(f"{name}: tokenizer and corpus", total=1)

    def report(step: int, steps: int, loss: float) -> None:
        progress.update(task, completed=step, total=steps, description=f"{name}: loss {loss:.4f}")

    return report


@main.command()
@click.argument("family", type=click.Choice(list(FAMILIES)))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seed", default=0, show_default=True, help="The seed the family was trained with.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, with every document that states a fact.")
def corpus(family: str, file: Path, seed: int, limit: int | None) -> None:
    """Write the training corpus of FAMILY to FILE as JSON Lines."""
    chosen = limited(family, seed, limit) if limit else documents(family, seed)
    with file.open("w", encoding="utf-8") as lines:
        count = sum(bool(lines.write(line(document) + "\n")) for document in chosen)
    click.echo(f"{count} documents in {file}; SHA-256 of the whole corpus {digest(family, seed)}")


@main.command()
@click.option("--families", default=",".join(FAMILIES), show_default=True, help="Comma-separated family names.")
@click.option("--seed", default=0, show_default=True, help="Which items and values are drawn.")
@click.option("--per-family", default=12, show_default=True, help="Tasks per family.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="JSON Lines file.")
def truth(families: str, seed: int, per_family: int, out: Path) -> None:
    """Label the tasks that a seed draws by exhaustive tables of interventions."""
    import torch

    from agents.planted.truth import label  # torch is loaded only by the verbs that need it

    torch.set_num_threads(1)
    part = out.with_suffix(".part")
    with part.open("w", encoding="utf-8") as lines:
        for name in families.split(","):
            for one in label(name, FAMILIES[name].draw(seed, per_family)):
                lines.write(json.dumps(asdict(one)) + "\n")
            click.echo(f"{name}: labelled")
    part.rename(out)


if __name__ == "__main__":
    main()
