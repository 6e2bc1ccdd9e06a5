"""What is measured of every method: of each drawing, and of all drawings together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.parts.carried_over import carried_over, leak_of_each
from benchmarks.parts.likeness_groups import Measures
from benchmarks.parts.method_drawings import Drawings
from nigaoe_faces.align import DEMO
from nigaoe_model.training.face_regions import Pictures, Vectors, face_middle, hair_colour, skin_lightness
from nigaoe_model.training.feature_statistics import Features, frechet_distance, picture_features
from nigaoe_model.training.method_measures import StyleAxis, colours, dependence, distances_from_photos
from nigaoe_model.training.pair_metrics import correlation, diversity, picture_distances
from nigaoe_model.training.person_measures import descriptors, identity_measures

MIDDLE = 0.5
"""Beyond it a drawing lies nearer to the style's data than to photos."""


@dataclass(frozen=True)
class Row:
    """One row of the table: a number by its title, and which way is better; ``like the data`` means neither."""

    section: str
    title: str
    better: str
    digits: int = 3


ROWS = (
    Row("like the style's data", "FD-effnet to the style's data", "lower", 1),
    Row("like the style's data", "FD-effnet to the photos", "higher", 1),
    Row("the person", "found first among all photos", "higher"),
    Row("the person", "MRR", "higher"),
    Row("the person", "identity (cosine)", "higher"),
    Row("the person", "taken for the same person", "higher"),
    Row("the person", "pose (correlation)", "higher"),
    Row("the person", "hair's lightness (correlation)", "higher"),
    Row("the person", "skin's lightness (correlation)", "higher"),
    Row("the person", "colour leak", "lower"),
    Row("seeds or references", "diversity of one photo's drawings, of the data's", "higher"),
    Row("GNR: 'almost no facial appearance'", "photo's share of what drawings look like", "higher"),
    Row("GNR: 'almost no facial appearance'", "photo's share of their colours", "higher"),
    Row("GNR: 'almost no facial appearance'", "photo's share of whom they show", "higher"),
    Row("SAE: 'too close to the input'", "distance from the photo, of the data's", "higher"),
    Row("SAE: 'few anime artefacts'", "position between photos (0) and data (1)", "1"),
    Row("SAE: 'few anime artefacts'", "share nearer to the data", "higher"),
)

Draw = Callable[[Pictures], Drawings]
DrawStyled = Callable[[Pictures, int], Sequence[Drawings]]


@dataclass(frozen=True)
class Sizes:
    """How many photos: drawn once more on another background, and drawn with so many seeds or references each."""

    tinted: int
    seeded: int
    seeds: int


@dataclass(frozen=True)
class Found:
    """Of one method: one number a face by the column of a group table, and one of all by the row's title."""

    of_each: Measures
    of_all: dict[str, float]


class MethodNumbers:
    """Photos and data that every method is measured by.

    Args:
        photos: Framed as `DEMO`; in groups of the same people. # [N, 3, R, R] bytes.
        tinted: The same photos on another background.
        others: Photos that nobody draws; they say where photos lie. # [M, 3, R, R].
        style: Of the style's data, at least as many as ``photos``. # [L, 3, T, T].
        sizes: How many of the photos are drawn how often.
    """

    def __init__(self, photos: Pictures, tinted: Pictures, others: Pictures, style: Pictures, sizes: Sizes) -> None:
        self.photos, self.tinted, self.style, self.sizes = photos, tinted, style, sizes
        self.persons = descriptors(photos, DEMO)
        self.style_features, other_features = _features(style), _features(others)
        self.photo_features = _features(photos)
        self.axis = StyleAxis.between(other_features, self.style_features)
        self.style_diversity = diversity(style[: len(photos)])

    def measured(self, draw: Draw, draw_styled: DrawStyled) -> Found:
        """Let a method draw everything, and measure it.

        Args:
            draw: Draws photos as people get them who ask for nothing.
            draw_styled: Draws photos with several seeds or references each.
        """
        drawn = draw(self.photos)
        features = _features(drawn.drawings)
        positions = self.axis.positions(features)
        identity = identity_measures(self.persons, descriptors(drawn.pictures, DEMO), "drawing")
        of_each = {
            **carried_over(self.photos, drawn.drawings),
            "identity": identity["identity, drawing"],
            "same person": identity["same person, drawing"],
            "leak": self._leaks(draw, drawn),
            "from photo": distances_from_photos(self.photos, drawn.drawings, self.style[: len(self.photos)]),
            "position": positions,
        }
        means = {title: float(np.nanmean(values)) for title, values in of_each.items()}
        return Found(
            of_each,
            {
                "FD-effnet to the style's data": frechet_distance(self.style_features, features),
                "FD-effnet to the photos": frechet_distance(self.photo_features, features),
                "found first among all photos": means["first"],
                "MRR": means["MRR"],
                "identity (cosine)": means["identity"],
                "taken for the same person": means["same person"],
                "pose (correlation)": correlation(face_middle(self.photos), face_middle(drawn.drawings)),
                "hair's lightness (correlation)": correlation(_hair(self.photos), _hair(drawn.drawings)),
                "skin's lightness (correlation)": correlation(
                    skin_lightness(self.photos), skin_lightness(drawn.drawings)
                ),
                "colour leak": means["leak"],
                **self._of_styles(draw_styled),
                "distance from the photo, of the data's": means["from photo"],
                "position between photos (0) and data (1)": means["position"],
                "share nearer to the data": float((positions > MIDDLE).mean()),
            },
        )

    def _leaks(self, draw: Draw, drawn: Drawings) -> Vectors:
        """Return each drawing's colour leak; NaN where the photo was not drawn on another background."""
        leaks = np.full(len(self.photos), np.nan)
        some = spread(len(self.photos), self.sizes.tinted)
        again = draw(self.tinted[some])
        leaks[some] = leak_of_each(self.photos[some], self.tinted[some], drawn.drawings[some], again.drawings)
        return leaks

    def _of_styles(self, draw_styled: DrawStyled) -> dict[str, float]:
        some = spread(len(self.photos), self.sizes.seeded)
        drawn = draw_styled(self.photos[some], self.sizes.seeds)
        neighbours = [
            picture_distances(one.drawings, other.drawings).mean()
            for one, other in zip(drawn, [*drawn[1:], drawn[0]], strict=True)
        ]
        looks = np.stack([_features(one.drawings) for one in drawn], axis=1)  # [P, K, F]
        shades = np.stack([colours(one.drawings) for one in drawn], axis=1)
        people = np.stack([descriptors(one.pictures, DEMO).double().numpy() for one in drawn], axis=1)
        return {
            "diversity of one photo's drawings, of the data's": float(torch.stack(neighbours).mean())
            / self.style_diversity,
            "photo's share of what drawings look like": dependence(looks).photo,
            "photo's share of their colours": dependence(shades).photo,
            "photo's share of whom they show": dependence(people).photo,
        }


def _features(pictures: Pictures) -> Features:
    return picture_features(torch.split(pictures, 64))


def _hair(pictures: Pictures) -> Vectors:
    return hair_colour(pictures)[:, 0]


def spread(total: int, count: int) -> list[int]:
    """Return ``count`` numbers, as far apart as they can be."""
    chosen: list[int] = np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()
    return chosen
