"""What each norm costs, as a page for people: docs/norm-costs.md.

    python -m tests.benchmarks.norm_costs

measures every norm of the registry on this machine's CPU and writes the page. Times are of one
thread, by its own clock, so that what else is running hardly counts; `norm_speed` has wall time on
two threads. It takes a few minutes.
"""

from __future__ import annotations

import platform
import statistics
import time
from pathlib import Path

import torch
from torch import nn

from normsearch.norms import build_norm, kernels_in_use
from tests.benchmarks.each_norm import specs, stepper
from tests.benchmarks.norm_speed import SHAPES, pairs, peak_bytes, steady

TITLE = "Norms, forward and backward: processor time over GroupNorm(8, C), and peak memory"
PAGE = Path(__file__).parents[2] / "docs" / "norm-costs.md"
LIMIT = 1.15  # above which a norm needs a reason
#: Why a norm costs more than LIMIT.
REASONS = {
    "LN2d": "its statistics are of the channels of a pixel, which lie far apart in memory",
    "RMS2d": "its statistics are of the channels of a pixel, which lie far apart in memory",
    "FRN": "a threshold of every value, forward and backward",
    "EvoNorm-B0": "a maximum and a division for every value, forward and backward",
    "Derf": "an error function of every value, and an exponential on the way back",
    "DyT": "a hyperbolic tangent of every value, forward and backward",
    "SSN": "its radius and its choices are read before each step",
    "EvoNorm-S0-8": "an exponential and a division of every value, forward and backward",
    "LRN": "squares of five channels, two roots and two divisions for every value",
    "MABN": "no kernel of its own: torch's passes, and small operations on its windows",
    "slabGN-8": "no kernel: a control; its slabs lie across the channels, and the input is copied",
}

HEAD = """# What the norms cost

Written by `python -m tests.benchmarks.norm_costs`; do not edit. Forward and backward of one norm in
training, float32, as the median ratio of its processor time to that of torch's GroupNorm(8, C) in
pairs of runs, one thread. Runs differ, most on small maps: take a difference of a tenth for none.
Peak memory is the most that is allocated during a step beyond the input and the gradient of the
output, in units of the input; GroupNorm's is {reference:.2f}.

CPU: {machine}, torch {torch}, {kernels} kernels. GPU: not measured.
"""


def measure_norm(text: str, seconds: float) -> tuple[list[float], float]:
    """Return a norm's ratio for each of SHAPES, and its peak memory in units of the input."""
    ratios, memory = [], 0.0
    for shape in SHAPES:
        x, dy = torch.randn(shape, requires_grad=True), torch.randn(shape)
        step = stepper(build_norm(text, shape[1], len(shape) - 2), x, dy)
        reference = stepper(nn.GroupNorm(8, shape[1]), x, dy)
        ratios.append(pairs(step, reference, seconds, clock=time.thread_time)[0])
        if shape == SHAPES[0]:
            memory = peak_bytes(step, "cpu") / (4 * x.numel())
    return ratios, memory


def page(rows: dict[str, tuple[list[float], float]], reference: float) -> str:
    """Return the page; `rows` as `measure_norm` returns them, `reference` GroupNorm's memory."""
    named = ["×".join(map(str, shape)) for shape in SHAPES]
    lines = [
        HEAD.format(
            reference=reference,
            machine=_processor(),
            torch=torch.__version__,
            kernels="C" if kernels_in_use() == "c" else "torch's",
        ),
        "| norm | " + " | ".join(named) + " | median | peak memory | GPU |",
        "|---|" + "---|" * (len(named) + 3),
    ]
    for text, (ratios, memory) in rows.items():
        cells = [f"{ratio:.2f}" for ratio in (*ratios, statistics.median(ratios), memory)]
        lines.append(f"| `{text}` | " + " | ".join(cells) + " | not measured |")
    lines += ["", f"Above {LIMIT}, and why:", ""]
    for text, (ratios, _) in rows.items():
        if round(statistics.median(ratios), 2) > LIMIT:
            lines.append(f"- `{text}`: {REASONS.get(text, 'in this run; no reason is known')}.")
    lines += [
        "",
        "`BKN` is timed without a norm before it; with one, torch computes it (1.7 and the prior).",
    ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main(seconds: float = 0.3) -> None:
    """Measure all norms and write PAGE."""
    rows = {}
    with steady(1):
        x, dy = torch.randn(SHAPES[0], requires_grad=True), torch.randn(SHAPES[0])
        own = peak_bytes(stepper(nn.GroupNorm(8, x.shape[1]), x, dy), "cpu") / (4 * x.numel())
        for text in specs():
            rows[text] = measure_norm(text, seconds)
            print(text, [round(ratio, 2) for ratio in rows[text][0]], flush=True)
    PAGE.write_text(page(rows, own), encoding="utf-8")


if __name__ == "__main__":
    main()
