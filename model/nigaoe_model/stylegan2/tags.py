"""Tags of parameters, by which training selects what learns.

Freezing is then a query: an optimiser that is built from a query can never contain, or thaw, anything else.
"""

from collections.abc import Iterator

from torch import nn

_ATTRIBUTE = "_nigaoe_tags"


def tag(module: nn.Module, *names: str) -> None:
    """Add tags to all parameters of ``module`` that exist now."""
    for parameter in module.parameters():
        tag_parameter(parameter, *names)


def tag_parameter(parameter: nn.Parameter, *names: str) -> None:
    """Add tags to one parameter."""
    setattr(parameter, _ATTRIBUTE, tags_of(parameter) | set(names))


def tags_of(parameter: nn.Parameter) -> frozenset[str]:
    """Return the tags of one parameter; none is the empty set."""
    return frozenset(getattr(parameter, _ATTRIBUTE, frozenset()))


def select(module: nn.Module, *names: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield name and parameter of everything in ``module`` that carries at least one of the tags.

    Raises:
        ValueError: No parameter carries any tag at all: the module is a deep copy, which Python makes without them.
    """
    wanted = set(names)
    tagged = [(name, parameter, tags_of(parameter)) for name, parameter in module.named_parameters()]
    if not any(tags for _, _, tags in tagged):
        raise ValueError("the module's parameters carry no tags; build the module instead of copying it")
    yield from ((name, parameter) for name, parameter, tags in tagged if wanted & tags)
