"""How near an encoder's guesses are: to faces and photos that it never saw, and beside the mean face's distance."""

import torch
from torch import Tensor

from nigaoe_model.inversion.algorithm import Objective
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_model.training.encoder.config import OwnFaceSettings
from nigaoe_model.training.encoder.faces import KnownFaces, draw_known_faces
from nigaoe_model.training.session import Score

TOGETHER = 16
"""Pictures that are evaluated as one batch."""
SEED = 2**40
"""Of the examined own faces: no step of a run has it."""


class EncoderExaminer:
    """Keeps the examined faces, and what the mean face is worth for them.

    Args:
        loaded: Draws the guesses.
        objective: Says how far they are.
        faces: Number of own faces.
        photos: Held-out photos; None: there are none. # [N, 3, R, R].
        region: Weight of every pixel. # [1, R, R].
    """

    def __init__(
        self, loaded: LoadedGenerator, objective: Objective, faces: int, photos: Tensor | None, region: Tensor
    ) -> None:
        self._loaded, self._objective, self._region = loaded, objective, region
        self._photos = photos
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            self._own = draw_known_faces(loaded, faces, OwnFaceSettings(style_mixing=0, jitter=0))
        self._mean_face = {name: self._distances(pictures, None)[0] for name, pictures in self._sets().items()}

    def examine(self, encoder: Encoder) -> Score:
        """Score an encoder by medians over faces, of own ones (``own_``) and of photos (``photo_``), if there are any.

        ``start`` is the reported distance of the guess, ``mean_face`` that of the mean face, ``nearer`` the share of
        faces whose guess is nearer than the mean face, ``mahalanobis`` how far from the mean the guesses lie, 1 being
        typical. ``own_code`` is the distance of latents, 1 for the mean face. The start's distance decides, of photos
        if there are any.
        """
        numbers: dict[str, float] = {}
        for name, pictures in self._sets().items():
            distances, mahalanobis = self._distances(pictures, encoder)
            mean_face = self._mean_face[name]
            numbers |= {
                f"{name}_start": float(distances.median()),
                f"{name}_mean_face": float(mean_face.median()),
                f"{name}_nearer": float((distances < mean_face).float().mean()),
                f"{name}_mahalanobis": float(mahalanobis.median()),
            }
        numbers["own_code"] = code_distance(encoder, self._own, self._objective)
        return Score(numbers, numbers.get("photo_start", numbers["own_start"]))

    def _sets(self) -> dict[str, Tensor]:
        own = {"own": self._own.image}
        return own if self._photos is None else own | {"photo": self._photos}

    @torch.no_grad()
    def _distances(self, pictures: Tensor, encoder: Encoder | None) -> tuple[Tensor, Tensor]:
        """Reported and Mahalanobis distance of each guess; without an encoder, of the mean face. # [N], [N]."""
        prior = self._objective.prior
        parts = []
        for part in pictures.split(TOGETHER):  # type: ignore[no-untyped-call]  # PyTorch leaves split untyped
            images = part.to(prior.mean.device)
            guessed = prior.mean.expand(len(images), -1, -1) if encoder is None else encoder(images)
            target = self._objective.describe(images, self._region.expand(len(images), -1, -1, -1))
            distance = self._objective.distance(self._loaded.generator.draw_image(guessed), target)
            parts.append((distance.cpu(), prior.mahalanobis(guessed).cpu()))
        distances, outside = zip(*parts, strict=True)
        return torch.cat(distances), torch.cat(outside)


@torch.no_grad()
def code_distance(encoder: Encoder, known: KnownFaces, objective: Objective) -> float:
    """Return the mean squared distance of guessed and known latents, in units of w's variance."""
    guessed = torch.cat([encoder(part) for part in torch.split(known.image, TOGETHER)])
    return float((guessed - known.w_plus).square().mean() / objective.prior.variance)
