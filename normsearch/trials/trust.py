"""Whose code runs: what a file from elsewhere names is not imported unless somebody says so.

A study file that a user gives names code of their own choice: it runs. A model runs code of this
package alone unless it is trusted. A run's folder, which may be another's, runs what lies in the
user's sight (a module in the working folder or elsewhere outside of the installed packages), and of
installed packages only what can do little harm: classes of networks and of samplers.
"""

from __future__ import annotations

from normsearch.config import NetworkConfig, PythonSpaceConfig, StudyConfig
from normsearch.errors import TrustError
from normsearch.networks import import_object, imports_in, is_network_class, locate

_CURE = "if you know it, and whoever made the file, allow it by --trust-code (trust_code=True)"


def code_of(network: NetworkConfig) -> list[str]:
    """Return every ``module:name`` outside of this package that building a network imports."""
    return [network.name, *imports_in(network.arguments)] if ":" in network.name else []


def refuse_foreign_code(network: NetworkConfig, where: str) -> None:
    """Raise TrustError if a model's network is any but one of this package."""
    if code := code_of(network):
        raise TrustError(
            f"{where}: must name a network of normsearch to be used without a word, for any other "
            f"is code that would run here, got {', '.join(code)}; {_CURE}"
        )


def refuse_unseen_network(network: NetworkConfig, where: str) -> None:
    """Raise TrustError if the network of a run names code that the user may never have seen."""
    for text in code_of(network):
        place = locate(text)
        if place == "of Python" or (place == "installed" and not _harmless(text)):
            raise _unseen(text, where)


def refuse_unseen_code(study: StudyConfig, where: str) -> None:
    """Raise TrustError if a run names code that the user may never have seen."""
    refuse_unseen_network(study.network, where)
    sampler = study.search.sampler
    if sampler.startswith("optunahub:") or (":" in sampler and locate(sampler) == "of Python"):
        raise _unseen(sampler, where)  # of installed samplers only classes of samplers are called
    space = study.space
    if isinstance(space, PythonSpaceConfig) and locate(space.function) not in (None, "in sight"):
        raise _unseen(space.function, where)


def _harmless(text: str) -> bool:
    """Whether an installed name is a class of networks, or a value that nobody can call."""
    found = import_object(text)
    return is_network_class(found) or not callable(found)


def _unseen(text: str, where: str) -> TrustError:
    return TrustError(
        f"{where}: must name code that lies in sight (in the working folder, say) or an installed "
        f"class of networks to be used without a word, got {text}; {_CURE}"
    )
