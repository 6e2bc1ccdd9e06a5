"""What the drawings of a comparison keep of their photos, in numbers, one JSON-ready document a photo."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from nigaoe.comparison import Comparison
from nigaoe.comparison_columns import searched_style
from nigaoe.library import Nigaoe
from nigaoe.photos import FramedFace, read_pixels
from nigaoe_faces.align import DEMO, AlignmentTemplate, align_face
from nigaoe_faces.sheet import Picture
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_model.recognition.face_recognition import SAME_PERSON
from nigaoe_model.stylegan2.latent_statistics import sample_w
from nigaoe_model.training.dataset import to_bytes
from nigaoe_model.training.face_regions import Pictures, Vectors, hair_colour, skin_lightness
from nigaoe_model.training.pair_metrics import picture_distances, true_ranks
from nigaoe_model.training.person_measures import descriptors

SIDE: Final = 128
"""Pictures are compared at this size, in the framing for which the regions of skin and hair are defined."""

FACES: Final = 32
"""So many drawn faces give the mean descriptor."""


def measured(nigaoe: Nigaoe, comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Measure every drawing of a comparison.

    Args:
        nigaoe: Drew it.
        comparison: At least one photo.

    Yields:
        For each photo its report (name, face, warnings), lightness of its ``skin`` and ``hair``, and for every
        method the report of its drawing, ``seconds`` and ``cpu_seconds`` (see `Drawn`), and these measures.
        ``identity``: cosine of the face descriptors of photo and drawing, each less the mean descriptor of faces
        that ``g_ori`` draws, 1 the same face, about 0 any other. ``same_person``: whether the network takes both
        for one, by its own rule. ``rank``: at which place the photo comes among all photos by that cosine, 1 the
        first; None for one photo. ``distance``: EfficientNet feature distance of photo and drawing, 0..4. ``skin``
        and ``hair``: lightness, 0..1.
    """
    centre = _mean_descriptor(nigaoe)
    photos = _pictures([_framed_photo(photo.face) for photo in comparison.photos])
    persons = descriptors(photos, DEMO) - centre
    lines = [_photo_line(photo.face, photos[n : n + 1]) for n, photo in enumerate(comparison.photos)]
    for column in comparison.columns:
        shown = [n for n, photo in enumerate(comparison.photos) if column.name in photo.drawn]
        if not shown:
            continue
        template, _ = nigaoe.pipeline.framing(column.style)
        drawn = [comparison.photos[n].drawn[column.name] for n in shown]
        drawings = _pictures([_framed_drawing(np.asarray(one.result.picture), template) for one in drawn])
        values = _measures(photos, persons, drawings, centre, shown)
        for place, (n, one) in enumerate(zip(shown, drawn, strict=True)):
            lines[n]["methods"].append(
                {
                    "name": column.name,
                    **one.result.conversion.report,
                    "seconds": round(one.seconds, 4),
                    "cpu_seconds": round(one.cpu_seconds, 4),
                    "measures": {name: row[place] for name, row in values.items()},
                }
            )
    yield from lines


def _measures(
    photos: Pictures, persons: Tensor, drawings: Pictures, centre: Tensor, shown: Sequence[int]
) -> dict[str, list[Any]]:
    """Return one value a drawing by the measure's name; drawing i shows photo ``shown[i]``."""
    found = descriptors(drawings, DEMO) - centre
    own = persons[list(shown)]
    ranks: Sequence[int | None] = _ranks(found, persons, shown) if len(photos) > 1 else [None] * len(shown)
    return {
        "identity": _rounded(torch.cosine_similarity(own, found, dim=1).double().numpy()),
        "same_person": ((own - found).norm(dim=1) < SAME_PERSON).tolist(),
        "rank": list(ranks),
        "distance": _rounded(picture_distances(photos[list(shown)], drawings).double().numpy()),
        "skin": _rounded(skin_lightness(drawings)),
        "hair": _rounded(hair_colour(drawings)[:, 0]),
    }


def _ranks(found: Tensor, persons: Tensor, shown: Sequence[int]) -> list[int]:
    """Return at which place each drawing's own photo comes, among those of all."""
    order = [*shown, *(n for n in range(len(persons)) if n not in shown)]
    candidates = persons[order].double().numpy()
    return [int(rank) for rank in true_ranks(found.double().numpy(), candidates)]


def _photo_line(face: FramedFace, photo: Pictures) -> dict[str, Any]:
    return {
        "photo": face.name,
        "face": face.index,
        "faces_found": face.faces_found,
        "warnings": face.warnings,
        "skin": _rounded(skin_lightness(photo))[0],
        "hair": _rounded(hair_colour(photo)[:, 0])[0],
        "methods": [],
    }


@torch.no_grad()
def _mean_descriptor(nigaoe: Nigaoe) -> Tensor:
    """Return what descriptors of all faces have in common, by faces that ``g_ori`` draws. # [1, 128]."""
    g_ori: LoadedGenerator = nigaoe.pipeline.pair(searched_style(nigaoe).name).g_ori
    faces = to_bytes(g_ori.generator.draw_image(sample_w(g_ori.generator.mapping, FACES, seed=0))).cpu()
    return descriptors(faces, g_ori.card.alignment).mean(dim=0, keepdim=True)


def _framed_photo(face: FramedFace) -> Picture:
    return align_face(read_pixels(face.source), face.face.landmarks, DEMO, SIDE)[0]


def _framed_drawing(picture: Picture, template: AlignmentTemplate) -> Picture:
    """Frame a drawing as `DEMO` does; the template says where its landmarks are."""
    return align_face(picture, template.points(picture.shape[0]), DEMO, SIDE)[0]


def _pictures(rows: Sequence[Picture]) -> Pictures:
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).contiguous()


def _rounded(values: Vectors) -> list[float]:
    return [round(float(value), 4) for value in values]
