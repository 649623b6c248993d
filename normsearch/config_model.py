"""What the models of the YAML files share: the frozen base, small types, a fault with an index."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
ImportPath = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""``module:name``, as in ``my_space:ask``."""


class Model(BaseModel):
    """A frozen record that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ItemError(ValueError):
    """A fault of one item below a value; `index` is its place, for the message."""

    def __init__(self, index: int | str, message: str) -> None:
        super().__init__(message)
        self.index = index
