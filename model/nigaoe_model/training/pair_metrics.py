"""How well a fine-tuned generator carries a person over: measures of a pair.

Free ground truth: sample w, draw ``x = g_ori(w)`` and ``y = g_fin(w)``. A conversion of x should come back as y. How
the conversion is done is the caller's business: a function is passed in.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nigaoe_model.features import feature_distance, shared_features
from nigaoe_model.portrait.palette import background_mask
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import sample_w
from nigaoe_model.training.dataset import to_bytes, to_unit_range
from nigaoe_model.training.face_regions import (
    Pictures,
    Vectors,
    face_mask,
    face_middle,
    hair_colour,
    mouth_contrast,
    tint_background,
)
from nigaoe_model.training.feature_statistics import picture_features

Convert = Callable[[Pictures], Pictures]
"""Human faces to drawings, both # [N, 3, R, R] bytes."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How well the human face is found again among others, given its drawing.

    Attributes:
        top1: Share of drawings whose own face comes first.
        top5: Share whose own face is among the first five.
        mrr: Mean of 1 / rank.
        candidates: Number of faces.
    """

    top1: float
    top5: float
    mrr: float
    candidates: int


@dataclass(frozen=True, slots=True)
class Correspondence:
    """Correlations between a face and its drawing; 1 is perfect, 0 is chance.

    Attributes:
        pose: Horizontal position of the face's middle, a proxy of the head's turn.
        mouth: Openness of the mouth region, as its vertical contrast.
        hair_lightness: Lightness of the region above the face.
        hair_hue: Mean cosine between the chroma directions of both hairs.
    """

    pose: float
    mouth: float
    hair_lightness: float
    hair_hue: float


@dataclass(frozen=True, slots=True)
class PairReport:
    """All measures of a pair.

    Attributes:
        ground_truth: Feature distance between conversions of drawn faces and their known answers; 0 is perfect.
        ground_truth_chance: The same against the answers of other faces.
        retrieval: Face from drawing.
        correspondence: Of what must carry over.
        diversity: Mean feature distance between two drawings.
        diversity_data: The same between two pictures of the style's data set.
        colour_leak: Change of the drawn face when only the background's hue changes, in units of the background's.
    """

    ground_truth: float
    ground_truth_chance: float
    retrieval: Retrieval
    correspondence: Correspondence
    diversity: float
    diversity_data: float
    colour_leak: float

    def flat(self) -> dict[str, float]:
        """Return name to value, nested names joined by a point."""
        flat: dict[str, float] = {}
        for name, value in asdict(self).items():
            flat |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
        return flat


@torch.no_grad()
def draw_truth(g_ori: Generator, g_fin: Generator, count: int, *, seed: int = 0) -> tuple[Pictures, Pictures]:
    """Return faces and their drawings from the same styles, both with the fixed noise."""
    faces, drawings = [], []
    for w in torch.split(sample_w(g_ori.mapping, count, seed=seed), 16):
        faces.append(to_bytes(g_ori.draw_image(w)).cpu())
        drawings.append(to_bytes(g_fin.draw_image(w)).cpu())
    return torch.cat(faces), torch.cat(drawings)


def measure_pair(
    g_ori: Generator, g_fin: Generator, style_pictures: Pictures, convert: Convert, *, count: int = 100, seed: int = 0
) -> PairReport:
    """Measure everything on ``count`` drawn faces.

    Args:
        g_ori: Draws faces.
        g_fin: Draws in the style.
        style_pictures: From the style's data set.
        convert: The conversion to be judged.
        count: Number of faces, at least 3.
        seed: Seed of the faces.
    """
    faces, answers = draw_truth(g_ori, g_fin, count, seed=seed)
    converted = convert(faces)
    tinted = tint_background(faces)
    distances = picture_distances(converted, answers)
    return PairReport(
        ground_truth=float(distances.mean()),
        ground_truth_chance=float(picture_distances(converted, answers.roll(1, 0)).mean()),
        retrieval=retrieve(identity_vectors(converted), identity_vectors(faces)),
        correspondence=correspond(faces, converted),
        diversity=diversity(converted),
        diversity_data=diversity(style_pictures[:count]),
        colour_leak=colour_leak(faces, tinted, converted, convert(tinted)),
    )


@torch.no_grad()
def picture_distances(first: Pictures, second: Pictures) -> Tensor:
    """Return the feature distance of each pair of pictures. # [N], 0..4."""
    network = shared_features((4, 8, 16, 32))
    parts = zip(torch.split(first, 16), torch.split(second, 16), strict=True)
    return torch.cat([feature_distance(network(to_unit_range(a)), network(to_unit_range(b))) for a, b in parts])


def diversity(pictures: Pictures) -> float:
    """Return the mean feature distance between neighbours of a random row of pictures."""
    return float(picture_distances(pictures, pictures.roll(1, 0)).mean())


def identity_vectors(pictures: Pictures) -> Vectors:
    """Return what a person may be recognised by in either world: pooled features and a coarse picture. # [N, F].

    Each half is standardised over the set, so that the gap between photos and drawings drops out.
    """
    features = picture_features(torch.split(pictures, 64))
    coarse = torch.nn.functional.adaptive_avg_pool2d(to_unit_range(pictures), 8).flatten(1).double().numpy()
    return np.concatenate([_standardised(features), _standardised(coarse)], axis=1)


def retrieve(queries: Vectors, candidates: Vectors) -> Retrieval:
    """Rank all candidates for each query by cosine; query i belongs to candidate i. Both # [N, F]."""
    ranks = true_ranks(queries, candidates)
    return Retrieval(
        top1=float((ranks <= 1).mean()),
        top5=float((ranks <= 5).mean()),
        mrr=float((1 / ranks).mean()),
        candidates=len(candidates),
    )


def true_ranks(queries: Vectors, candidates: Vectors) -> NDArray[np.int64]:
    """Return at which place each query's own candidate comes, by cosine; 1 is the first. Both # [N, F]. # [N]."""
    similarity = _unit(queries) @ _unit(candidates).T
    ranks: NDArray[np.int64] = (similarity > similarity.diagonal()[:, None]).sum(axis=1) + 1
    return ranks


def correspond(faces: Pictures, drawings: Pictures) -> Correspondence:
    """Correlate pose, mouth and hair of faces with those of their drawings."""
    return Correspondence(
        pose=correlation(face_middle(faces), face_middle(drawings)),
        mouth=correlation(mouth_contrast(faces), mouth_contrast(drawings)),
        hair_lightness=correlation(hair_colour(faces)[:, 0], hair_colour(drawings)[:, 0]),
        hair_hue=_hue_agreement(hair_colour(faces)[:, 1:], hair_colour(drawings)[:, 1:]),
    )


def colour_leak(faces: Pictures, tinted: Pictures, drawn: Pictures, drawn_tinted: Pictures) -> float:
    """Return the drawn face's mean colour change over the background's: 0 means that nothing leaks."""
    side = faces.shape[-1]
    cause = _colour_change(faces, tinted, background_mask(side))
    effect = _colour_change(drawn, drawn_tinted, face_mask(drawn.shape[-1]))
    return float(effect / max(cause, 1e-9))


def correlation(first: Vectors, second: Vectors) -> float:
    """Return Pearson's correlation of two rows # [N]; 0 where one does not vary."""
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale > 1e-12 else 0.0


def _colour_change(before: Pictures, after: Pictures, mask: Tensor) -> float:
    a, b = (p.double()[:, :, mask].mean(dim=2) for p in (before, after))  # [N, 3]
    return float((a - b).abs().mean())


def _hue_agreement(first: Vectors, second: Vectors) -> float:
    return float((_unit(first) * _unit(second)).sum(axis=1).mean())


def _standardised(vectors: Vectors) -> Vectors:
    standard: Vectors = (vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 1e-6) / np.sqrt(vectors.shape[1])
    return standard


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
