"""`--style all`: every installed style instead of one, a search for each generator that they belong to."""

from dataclasses import replace
from typing import Final

from nigaoe.conversion_run import ConversionOrder, Sheet
from nigaoe_core.errors import NigaoeError, UnknownStyle, UsageError
from nigaoe_core.jobs import Method
from nigaoe_core.registry import Style
from nigaoe_model.portrait.convert import ConversionOptions
from nigaoe_model.portrait.pipeline import Pipeline

ALL_STYLES: Final = "all"


def orders_of(order: ConversionOrder, pipeline: Pipeline) -> tuple[list[ConversionOrder], list[NigaoeError]]:
    """Return what an order means: itself, or for ``all`` an order for each generator, with a sheet of its styles.

    Everything that the orders need is loaded.

    Returns:
        The orders, and why some of all styles cannot be drawn.

    Raises:
        UnknownStyle: There is no such style, or none at all.
        UsageError: All styles are wanted by a method that searches in each of them, or there is no encoder to start
            from and the order insists.
        CheckpointError: The one style's files cannot be used together.
    """
    if order.style != ALL_STYLES:
        pipeline.check(order.style, ConversionOptions(order.method, order.settings))
        return [order], []
    if order.method is not Method.CROSS:
        raise UsageError(
            f"Method `{order.method.value}` searches in one style; name it with --style, or leave --method out."
        )
    orders: list[ConversionOrder] = []
    failures: list[NigaoeError] = []
    for parent, styles in pipeline.registry.usable_styles().items():
        loaded, damaged = loadable(pipeline, styles)
        failures += damaged
        if loaded:
            sheet = Sheet(f"{ALL_STYLES}-{parent}" if orders else ALL_STYLES, {s.name: title_of(s) for s in loaded})
            orders.append(replace(order, style=loaded[0].name, sheet=sheet))
    if not orders:
        raise failures[0] if failures else UnknownStyle("No style is installed; see `nigaoe weights import`.")
    for one in orders:
        pipeline.check(one.style, ConversionOptions(one.method, one.settings))
    return orders, failures


def loadable(pipeline: Pipeline, styles: list[Style]) -> tuple[list[Style], list[NigaoeError]]:
    """Load styles; return those that can be drawn, and what is wrong with the others."""
    loaded: list[Style] = []
    failures: list[NigaoeError] = []
    for style in styles:
        try:
            pipeline.pair(style.name)
        except NigaoeError as error:
            failures.append(error)
        else:
            loaded.append(style)
    return loaded, failures


def title_of(style: Style) -> str:
    """Return a style's title, or its name where the title has letters that a sheet cannot write."""
    return style.title if style.title.isascii() else style.name
