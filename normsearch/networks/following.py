"""The activation behind a norm: where it is known, a norm that owns its activation replaces it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator

from torch import fx, nn
from torch.nn.modules.dropout import _DropoutNd

from normsearch.errors import NetworkError, NormsearchError
from normsearch.networks.blocks import ConvNormAct
from normsearch.networks.importing import users_code
from normsearch.norms import OwnsActivation

_KNOWN = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.SiLU, nn.GELU, nn.Mish),
    *(nn.Hardswish, nn.Softplus, nn.PReLU),
)


class OwnedActivation(nn.Identity):
    """Stands where an activation was that the norm before it owns, and keeps that activation."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.kept = (activation,)  # in a tuple, as it is no part of the network

    def extra_repr(self) -> str:
        return f"in place of {self.kept[0]}"


class Following:
    """Which activation a network applies to the output of each of its norms.

    In a block of ours it is the block's own. Elsewhere the forward pass of the module that calls
    the norm is traced with torch.fx: it must call the norm once, the output must go to one place,
    through Identity or dropout at most, and that must be a module of a known activation which is
    called once. A norm whose output its module returns is followed by what follows that module.
    Where a pass cannot be traced, or calls an activation twice (torchvision's ResNet), none is
    known.
    """

    def __init__(self, net: nn.Module) -> None:
        self._owners: dict[nn.Module, list[nn.Module]] = {}
        for owner in net.modules():
            if not isinstance(owner, nn.ModuleList | nn.ModuleDict):
                for child in _members(owner):
                    self._owners.setdefault(child, []).append(owner)
        self._graphs: dict[nn.Module, fx.Graph | None] = {}

    def known(self, norm: nn.Module) -> bool:
        """Return whether a norm that owns its activation can be put in the place of `norm`."""
        return self._in_our_block(norm) or self._place(norm) is not None

    def hand_over(self, norm: nn.Module, new: nn.Module) -> None:
        """Leave out the activation behind `norm` if `new`, which will replace it, owns it.

        An activation that was left out for `norm` returns if `new` owns none.
        """
        place = None if self._in_our_block(norm) else self._place(norm)
        if place is None:
            return  # a block of ours asks its norm
        parent, name = place
        activation, owns = getattr(parent, name), isinstance(new, OwnsActivation)
        if owns and not isinstance(activation, OwnedActivation):
            setattr(parent, name, OwnedActivation(activation))
        if not owns and isinstance(activation, OwnedActivation):
            like = next(norm.parameters())
            setattr(parent, name, activation.kept[0].to(like.device, like.dtype))

    def _in_our_block(self, norm: nn.Module) -> bool:
        return any(isinstance(owner, ConvNormAct) for owner in self._owners.get(norm, []))

    def _place(self, module: nn.Module) -> tuple[nn.Module, str] | None:
        """Return (parent, name) of the known activation behind a module's output."""
        call = self._only_call(module)
        while call is not None:
            owner, node = call
            user = next(iter(node.users)) if len(node.users) == 1 else None
            if user is not None and user.op == "output" and user.args == (node,):
                call = self._only_call(owner)
                continue
            if user is None or user.op != "call_module":
                return None
            found = owner.get_submodule(str(user.target))
            if isinstance(found, (*_KNOWN, OwnedActivation)):
                path, _, name = str(user.target).rpartition(".")
                once = len(self._calls(owner, found) or ()) == 1
                return (owner.get_submodule(path), name) if once else None
            call = (owner, user) if isinstance(found, _DropoutNd | nn.Identity) else None
        return None

    def _only_call(self, module: nn.Module) -> tuple[nn.Module, fx.Node] | None:
        """Return the only call of a module, with the module that makes it; None if unknown."""
        found = []
        for owner in self._owners.get(module, []):
            calls = self._calls(owner, module)
            if calls is None:
                return None
            found += [(owner, node) for node in calls]
        return found[0] if len(found) == 1 else None

    def _calls(self, owner: nn.Module, module: nn.Module) -> list[fx.Node] | None:
        """Return the calls of a module in a forward pass, None if that cannot be traced."""
        if owner not in self._graphs:
            self._graphs[owner] = _traced(owner)
        graph = self._graphs[owner]
        if graph is None:
            return None
        calls = [node for node in graph.nodes if node.op == "call_module"]
        return [node for node in calls if owner.get_submodule(str(node.target)) is module]


def _members(owner: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that a module can call: its children, and those of its lists and dicts."""
    for child in owner.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _members(child)
        else:
            yield child


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _traced(module: nn.Module) -> fx.Graph | None:
    """Return the calls that a module makes in its forward pass, None if it cannot be traced."""
    try:
        with users_code(f"{type(module).__name__}: must be traceable", NetworkError):
            # A forward pass may keep tensors in the module (MONAI's DynUNet does): not in the real.
            stand_in = copy.copy(module)
            for name, value in list(vars(stand_in).items()):
                if isinstance(value, list) and not name.startswith("_"):
                    setattr(stand_in, name, list(value))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _Tracer().trace(stand_in)
    except (NormsearchError, MemoryError):
        return None
