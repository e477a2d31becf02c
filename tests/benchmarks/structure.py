"""Reasoning structure recovered from published logs and recorded exchanges, against second readings of them.

Each part is a sibling module whose `measure()` gives figures, bars and lines a person reads:

- tau: customer-service runs, their record checks and corrupted twins
- trees: searches over thoughts, sampled chains, episodes with rewards
- text: steps inside texts, worked solutions
- wire: recorded provider exchanges

A part that cannot be measured (its data is absent) is an error, not a skip.
"""

import argparse
import importlib
import json
import os
import platform
from pathlib import Path
from typing import Any

PARTS = ("tau", "trees", "text", "wire")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"parts to measure, of {','.join(PARTS)}")
    chosen = (parser.parse_args().only or ",".join(_present())).split(",")
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    figures: dict[str, Any] = {}
    bars: list[dict[str, Any]] = []
    for part in chosen:
        print(f"== {part}", flush=True)
        found = importlib.import_module(f"structure_{part}").measure()
        figures[part] = found["figures"]
        bars += found["bars"]
        print("\n".join(found["lines"]), flush=True)
    print()
    for one in bars:
        print(f"{'holds' if one['holds'] else 'MISSED':7} {one['what']}: {one['value']} (bar {one['bar']})")
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    print(json.dumps({"bench": "structure", "figures": figures, "bars": bars, "machine": machine}))


def _present() -> list[str]:
    return [part for part in PARTS if Path(__file__).with_name(f"structure_{part}.py").is_file()]


if __name__ == "__main__":
    main()
