"""Measure what only a GPU shows: ``make gpu OUT=FOLDER``, or

    python -m tests.benchmarks.gpu [FOLDER] [PART...]

The parts are tests, norms, steps, memory and side_by_side; all unless some are named. FOLDER
(build/gpu) gets one file as JSON and as Markdown, named by the device, which is written anew after
each part. It needs a CUDA device, torch and NumPy. NORMSEARCH_REHEARSE=1 runs everything small on
the CPU instead, to try the program; its numbers say nothing.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import sys
from pathlib import Path

import torch

from normsearch.training import gpu_settings
from tests.benchmarks.gpu import checks, memory, norms, side_by_side, steps
from tests.benchmarks.gpu.timing import Row

PARTS = {
    "tests": checks,
    "norms": norms,
    "steps": steps,
    "memory": memory,
    "side_by_side": side_by_side,
}
NO_DEVICE = "make gpu needs a CUDA device that torch sees, and there is none."


def machine(device: str) -> dict[str, str]:
    """Return the device's name, versions, and the settings on which results depend."""
    name = "rehearsal on a CPU" if device == "cpu" else torch.cuda.get_device_name()
    triton = importlib.util.find_spec("triton") is not None
    return {
        "device": name,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": "installed" if triton else "not installed",
        **gpu_settings(),
    }


def as_markdown(facts: dict[str, str], tables: dict[str, list[Row]]) -> str:
    """Return everything as a page: the machine, and a table a part."""
    lines = [f"# {facts['device']}", ""]
    lines += [", ".join(f"{name} {value}" for name, value in facts.items() if name != "device")]
    for part, rows in tables.items():
        names = list(dict.fromkeys(name for one in rows for name in one))
        lines += ["", f"## {PARTS[part].TITLE}", ""]
        lines += [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"] if rows else ["No rows."]
        for one in rows:
            words = (str(one.get(name, "")).replace("|", "/") for name in names)
            lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines) + "\n"


def write(folder: Path, facts: dict[str, str], tables: dict[str, list[Row]]) -> Path:
    """Write FOLDER/DEVICE.json and .md; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9]+", "-", facts["device"]).strip("-").lower()
    (folder / f"{stem}.json").write_text(json.dumps({**facts, "parts": tables}, indent=1) + "\n")
    page = folder / f"{stem}.md"
    page.write_text(as_markdown(facts, tables))
    return page


def main(words: list[str]) -> int:
    """Measure the parts that are asked for; return 1 without a device or with a wrong part."""
    rehearsal = os.environ.get("NORMSEARCH_REHEARSE") == "1"
    if not rehearsal and not torch.cuda.is_available():
        print(NO_DEVICE, file=sys.stderr)
        return 1
    folder, chosen = Path(words[0] if words else "build/gpu"), words[1:] or list(PARTS)
    if unknown := [part for part in chosen if part not in PARTS]:
        print(f"make gpu: a part must be one of {', '.join(PARTS)}, got {unknown[0]}")
        return 1
    device = "cpu" if rehearsal else "cuda"
    facts, tables = machine(device), dict[str, list[Row]]()
    for part in chosen:
        print(PARTS[part].TITLE, flush=True)
        tables[part] = []
        for one in PARTS[part].measure(device):
            print("  ", *one.values(), flush=True)
            tables[part].append(one)
        page = write(folder, facts, tables)
    print(f"Written to {page} and {page.with_suffix('.json')}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
