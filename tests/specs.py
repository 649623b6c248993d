"""One spec of every kind of norm, for tests that must hold for all."""

from normsearch.norms import NORMS


def every_spec(samples: int = 1, groups: int = 4) -> list[str]:
    """Return a spec a kind, with these ghost batches and channel groups where it takes some."""
    filled = []
    for name, kind in NORMS.items():
        form = kind.form or name
        filled.append(form.replace("-SxG", f"-{samples}x{groups}").replace("-G", f"-{groups}"))
    return filled
