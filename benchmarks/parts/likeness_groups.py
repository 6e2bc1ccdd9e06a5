"""Who belongs to which group: by the labels of an archive's file names, and by what pixels tell.

Names such as UTKFace's say `age_sex_group_...`. Pixels tell how light skin and hair are: the darkest and the lightest
third of all photos of a table. How long hair is they do not tell: beside the jaw a dark background looks like it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nigaoe_model.training.dataset import ITEMS, PackedDataset
from nigaoe_model.training.face_regions import Pictures, Vectors, hair_colour, skin_lightness

LABELLED = re.compile(r"(\d+)_([01])_([0-4])_")
SEXES = ("men", "women")
ORIGINS = ("White", "Black", "Asian", "Indian", "other")
AGES = {"18 to 29": range(30), "30 to 49": range(30, 50), "50 and older": range(50, 200)}
Groups = Mapping[str, NDArray[np.bool_]]

Measures = Mapping[str, Vectors]
"""One number a face, # [N], by the title of its column; NaN where it was not measured."""

HIGHER_IS_BETTER = ("first", "MRR")


@dataclass(frozen=True)
class Label:
    """What a file name says of a person."""

    age: str
    sex: str
    origin: str

    @property
    def words(self) -> tuple[str, ...]:
        """All groups of this person; the thesis's favourite case is one of its own."""
        favourite = ("young women",) if (self.sex, self.age) == ("women", "18 to 29") else ()
        return (self.sex, self.age, self.origin, *favourite)


def read_labels(folder: Path) -> list[Label | None]:
    """Return the label of every picture of a packed data set; None where the name says nothing."""
    items = [json.loads(line) for line in (folder / ITEMS).read_text().splitlines()]
    return [_label(Path(item["name"]).name) for item in items if "dropped" not in item]


def balanced(labels: list[Label | None], count: int, *, seed: int = 0) -> list[int]:
    """Draw pictures of every combination of labels in turn until ``count`` are there."""
    cells: dict[str, list[int]] = {}
    for number in np.random.default_rng(seed).permutation(len(labels)).tolist():
        cells.setdefault(str(labels[number]), []).append(number)
    rounds = (cell[place] for place in range(len(labels)) for _, cell in sorted(cells.items()) if place < len(cell))
    return sorted(next(rounds) for _ in range(min(count, len(labels))))


def groups_of(dataset: PackedDataset, chosen: list[int], faces: Pictures) -> Groups:
    """Return who of the chosen is in which group, in the order in which a table shows them."""
    labels = read_labels(dataset.folder)
    words = [label.words if (label := labels[number]) is not None else () for number in chosen]
    named = (*SEXES, *AGES, *ORIGINS, "young women")
    groups = {name: np.array([name in row for row in words]) for name in named}
    for what, lightness in (("skin", skin_lightness(faces)), ("hair", hair_colour(faces)[:, 0])):
        dark, light = np.quantile(lightness, (1 / 3, 2 / 3))
        groups |= {f"{what}: darkest third": lightness <= dark, f"{what}: lightest third": lightness >= light}
    return {name: members for name, members in groups.items() if members.any()}


def _label(name: str) -> Label | None:
    found = LABELLED.match(name)
    if found is None:
        return None
    age = next(word for word, years in AGES.items() if int(found[1]) in years)
    return Label(age, SEXES[int(found[2])], ORIGINS[int(found[3])])
