"""Means by group: a row for everybody, one a group, and the worst group beside the mean."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from rich.table import Table

from benchmarks.parts.likeness_groups import HIGHER_IS_BETTER, Groups, Measures


def summaries(
    measures: Measures,
    groups: Groups,
    higher_is_better: Collection[str] = HIGHER_IS_BETTER,
    *,
    least_mean: float = 0.0,
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the rows of the table: all faces, every group, and the worst group over the mean.

    The ratio is left out where the mean is not above ``least_mean``: there it would say nothing.
    """
    everyone = {title: float(np.nanmean(values)) for title, values in measures.items()}
    rows = {name: _means(measures, members) for name, members in groups.items()}
    yield "all", everyone
    yield from rows.items()
    if not rows:
        return
    worst = {
        title: (min if title in higher_is_better else max)(row[title] for row in rows.values() if title in row)
        for title in measures
        if everyone[title] > least_mean
    }
    yield "worst group / mean", {title: value / everyone[title] for title, value in worst.items()}


def group_table(title: str, caption: str, rows: Mapping[str, Mapping[str, float]], groups: Groups) -> Table:
    """Return the rows as a table, with the number of faces in each group."""
    columns = list(rows["all"])
    table = Table("group", "faces", *columns, title=title, caption=caption)
    for name, row in rows.items():
        size = str(int(groups[name].sum())) if name in groups else ""
        table.add_row(name, size, *(f"{row[column]:.3f}" if column in row else "" for column in columns))
    return table


def _means(measures: Measures, members: np.ndarray) -> dict[str, float]:
    return {
        title: float(np.nanmean(values[members]))
        for title, values in measures.items()
        if not np.isnan(values[members]).all()
    }
