"""From finished studies to evidence: confirmation runs, tests, verdicts."""
