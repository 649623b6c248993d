"""Tables of recorded trainings, and replays of searches on them."""

from normsearch.benchmark.adapters import Benchmark as Benchmark
from normsearch.benchmark.table import Table as Table
from normsearch.benchmark.table import load_table as load_table
