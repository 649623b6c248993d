"""Run every benchmark, print its table, write it as CSV below build/benchmarks."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks import (
    driver,
    effect_searches,
    framework,
    hippocampus,
    large_data,
    loading,
    norm_speed,
    null_pipeline,
    search_quality,
    search_scale,
    search_width,
    stop_gain,
    suggest_speed,
    training_speed,
    unet_speed,
    worker_memory,
)

OUTPUT = Path("build/benchmarks")
BENCHMARKS = (
    *(norm_speed, unet_speed, training_speed, loading, framework, driver, worker_memory),
    *(suggest_speed, search_quality, search_scale, search_width, null_pipeline, hippocampus),
    *(large_data, effect_searches, stop_gain),
)

if __name__ == "__main__":
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for benchmark in BENCHMARKS:
        table = benchmark.measure()
        print(f"\n{benchmark.TITLE}\n{table.to_string(index=False)}", flush=True)
        table.to_csv(OUTPUT / f"{benchmark.__name__.rpartition('.')[2]}.csv", index=False)
    print(f"\nWritten to {OUTPUT}/*.csv")
