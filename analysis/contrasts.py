"""placeholder"""

from typing import Any


def forest(contrasts: Any, verdict: str) -> Any:
    from matplotlib.figure import Figure

    return Figure()
