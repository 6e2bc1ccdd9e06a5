"""What of a photo is found in its drawing: one number a face."""

import numpy as np
from torch import Tensor

from benchmarks.parts.likeness_groups import Measures
from nigaoe_model.portrait.palette import background_mask
from nigaoe_model.training.face_regions import Pictures, Vectors, face_mask, hair_colour, skin_lightness
from nigaoe_model.training.pair_metrics import identity_vectors, true_ranks


def carried_over(faces: Pictures, drawings: Pictures) -> Measures:
    """Say what of each photo is found in its drawing.

    `first` and `MRR`: whether the photo comes first, and 1 / rank, among all photos by the likeness to the drawing.
    `skin`, `hair`: difference of lightness between photo and drawing in standard scores over all faces (a style may be
    lighter as a whole): 0 is perfect, 1.13 chance.
    """
    ranks = true_ranks(identity_vectors(drawings), identity_vectors(faces)).astype(np.float64)
    hairs = hair_colour(faces)[:, 0], hair_colour(drawings)[:, 0]
    return {
        "first": (ranks == 1).astype(np.float64),
        "MRR": 1 / ranks,
        "skin": np.abs(_scores(skin_lightness(faces)) - _scores(skin_lightness(drawings))),
        "hair": np.abs(_scores(hairs[0]) - _scores(hairs[1])),
    }


def leak_of_each(faces: Pictures, tinted: Pictures, drawn: Pictures, drawn_tinted: Pictures) -> Vectors:
    """Return each drawn face's mean colour change in units of the backgrounds' mean change. # [N]."""
    cause = _colour_change(faces, tinted, background_mask(faces.shape[-1]))
    leaks: Vectors = _colour_change(drawn, drawn_tinted, face_mask(drawn.shape[-1])) / cause.mean()
    return leaks


def _colour_change(before: Pictures, after: Pictures, mask: Tensor) -> Vectors:
    a, b = (pictures.double()[:, :, mask].mean(dim=2) for pictures in (before, after))  # [N, 3]
    change: Vectors = (a - b).abs().mean(dim=1).numpy()
    return change


def _scores(values: Vectors) -> Vectors:
    scores: Vectors = (values - values.mean()) / max(float(values.std()), 1e-9)
    return scores
