"""One HTML file with tables, plots and sheets in it, that needs no other file."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; margin: .5rem 0 } td, th { padding: .25rem .9rem .25rem 0; text-align: left }
td + td { font-variant-numeric: tabular-nums } tr + tr { border-top: 1px solid #ddd }
img { max-width: 100%; image-rendering: pixelated } figure { margin: 1rem 0 } figcaption { color: #666 }
"""


@dataclass(slots=True)
class Report:
    """Sections in reading order.

    Attributes:
        title: Heading of the page.
        parts: HTML of the sections so far.
    """

    title: str
    parts: list[str] = field(default_factory=list)

    def table(self, heading: str, rows: dict[str, float]) -> None:
        """Add names and values."""
        cells = "".join(f"<tr><td>{escape(name)}</td><td>{value:.4g}</td></tr>" for name, value in rows.items())
        self.parts.append(f"<h2>{escape(heading)}</h2><table>{cells}</table>")

    def rows(self, heading: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table of texts."""
        cells = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        titles = "".join(f"<th>{escape(title)}</th>" for title in head)
        self.parts.append(f"<h2>{escape(heading)}</h2><table><tr>{titles}</tr>{cells}</table>")

    def curves(self, heading: str, lines: Sequence[dict[str, float]], names: Sequence[str]) -> None:
        """Add a plot of logged values over images; names that were never logged are left out."""
        shown = [name for name in names if any(name in line for line in lines)]
        if not shown:
            return
        figure = Figure(figsize=(8, 2.4 * len(shown)), layout="constrained")
        for axes, name in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
            points = [(line["images"], line[name]) for line in lines if name in line]
            axes.plot(*zip(*points, strict=True), marker="." if len(points) < 40 else "", color="#3567a8")
            axes.set_ylabel(name)
            axes.grid(alpha=0.3)
        axes.set_xlabel("images")
        self.figure(heading, figure)

    def bars(self, heading: str, values: dict[str, float]) -> None:
        """Add a horizontal bar for each value."""
        figure = Figure(figsize=(8, 0.5 + 0.35 * len(values)), layout="constrained")
        axes = figure.subplots()
        axes.barh(list(values), list(values.values()), color="#3567a8")
        axes.invert_yaxis()
        axes.axvline(0, color="#444", linewidth=0.8)
        axes.grid(axis="x", alpha=0.3)
        self.figure(heading, figure)

    def figure(self, heading: str, figure: Figure) -> None:
        """Add a matplotlib figure."""
        file = BytesIO()
        FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped
        self.picture(heading, file.getvalue())

    def picture(self, heading: str, png: bytes) -> None:
        """Add a PNG."""
        source = base64.b64encode(png).decode()
        caption = escape(heading)
        self.parts.append(
            f'<h2>{caption}</h2><figure><img alt="{caption}" src="data:image/png;base64,{source}"></figure>'
        )

    def write(self, path: Path) -> None:
        """Write the page."""
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(self.title)}</title>'
        body = f"<style>{STYLE}</style><h1>{escape(self.title)}</h1>{''.join(self.parts)}</html>\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + body, encoding="utf-8")
