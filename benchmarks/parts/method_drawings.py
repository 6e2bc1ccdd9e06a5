"""Every method draws the same photos: through the library's pipeline, with whatever seeds or references it takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nigaoe.batch import OnePassOptions
from nigaoe.comparison_columns import Column
from nigaoe.library import Nigaoe
from nigaoe_core.errors import NigaoeError
from nigaoe_core.style_methods import GANS_N_ROSES
from nigaoe_faces.align import DEMO, AlignmentTemplate, align_face
from nigaoe_model.portrait.convert import Conversion
from nigaoe_model.portrait.feed_forward import OnePassDrawing
from nigaoe_model.portrait.pipeline import Subject
from nigaoe_model.training.dataset import to_bytes
from nigaoe_model.training.face_regions import Pictures
from nigaoe_model.training.method_measures import at_side

Crop = NDArray[np.uint8]


@dataclass(frozen=True)
class Drawings:
    """What a method drew, in the order of the photos, framed as they are; bytes.

    ``drawings`` as its network draws them # [N, 3, R, R], ``pictures`` as people get them # [N, 3, S, S].
    """

    drawings: Pictures
    pictures: Pictures


class MethodDrawer:
    """Draws photos by one method.

    Args:
        nigaoe: Knows the style.
        column: The method.
        references: Anime pictures, from which a method without a seed takes its styles. # [K, 3, T, T].
    """

    def __init__(self, nigaoe: Nigaoe, column: Column, references: Pictures) -> None:
        self.nigaoe, self.column = nigaoe, column
        _, self.options = nigaoe.check(column.style, **column.options)
        self.template, self.resolution = nigaoe.pipeline.framing(column.style)
        entry = nigaoe.pipeline.registry.style(column.style)
        self.takes_seed = not entry.is_feed_forward or entry.method == GANS_N_ROSES
        self.references = [_crop(picture) for picture in at_side(references, self.resolution)]

    def __call__(self, photos: Pictures) -> Drawings:
        """Draw photos as people get them who ask for nothing. # [N, 3, R, R], framed as `DEMO`."""
        return self._draw([self._subject(photo, self._own_reference) for photo in photos])

    def styled(self, photos: Pictures, count: int) -> list[Drawings]:
        """Draw photos ``count`` times: with as many seeds, or with as many references.

        A method that draws the first photo alike with two seeds draws all of them alike with all seeds.
        """
        if not self.takes_seed:
            return [self._draw([self._subject(p, self.references[k]) for p in photos]) for k in range(count)]
        first = [self._draw([self._subject(photos[0], None, seed)]) for seed in (0, 1)]
        if torch.equal(first[0].drawings, first[1].drawings):
            return [self._draw([self._subject(photo, None) for photo in photos])] * count
        return [self._draw([self._subject(photo, None, seed) for photo in photos]) for seed in range(count)]

    def crop(self, photo: Pictures) -> Crop:
        """Return a photo # [3, R, R] as the method frames it. # [k Rm, k Rm, 3]."""
        return reframed(_crop(photo), DEMO, self.template, self.resolution)

    @property
    def _own_reference(self) -> Crop | None:
        return self.options.reference if isinstance(self.options, OnePassOptions) else None

    def _subject(self, photo: Pictures, reference: Crop | None, seed: int = 0) -> Subject:
        return Subject(self.crop(photo), seed, reference=reference)

    def _draw(self, subjects: Sequence[Subject]) -> Drawings:
        found: dict[Subject, tuple[torch.Tensor, torch.Tensor]] = {}
        for subject, outcome in self._outcomes(subjects):
            if isinstance(outcome, NigaoeError):
                raise outcome
            drawn = outcome.portrait if isinstance(outcome, Conversion) else outcome
            found[subject] = drawn.drawing, drawn.picture
        drawings, pictures = (torch.stack([found[subject][kind] for subject in subjects]) for kind in (0, 1))
        return Drawings(self._as_photos(to_bytes(drawings)), self._as_photos(to_bytes(pictures)))

    def _outcomes(
        self, subjects: Sequence[Subject]
    ) -> Iterator[tuple[Subject, Conversion | OnePassDrawing | NigaoeError]]:
        if isinstance(self.options, OnePassOptions):
            return self.nigaoe.pipeline.draw(self.column.style, subjects)
        return self.nigaoe.pipeline.convert(self.column.style, self.options, subjects)

    def _as_photos(self, drawings: Pictures) -> Pictures:
        if self.template == DEMO:
            return drawings
        return stacked([reframed(_crop(one), self.template, DEMO, one.shape[-1]) for one in drawings])


def reframed(picture: Crop, framed: AlignmentTemplate, wanted: AlignmentTemplate, side: int) -> Crop:
    """Turn a picture that one template frames into what another one would have cut out. # [S, S, 3] -> [side, side, 3].

    In the same framing a multiple of ``side`` is left as it is: the search reduces it itself.
    """
    if framed == wanted and picture.shape[0] % side == 0:
        return picture
    return align_face(picture, framed.points(picture.shape[0]), wanted, side)[0]


def stacked(pictures: Sequence[Crop]) -> Pictures:
    """Return pictures of one size, each # [S, S, 3], as # [N, 3, S, S]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _crop(picture: Pictures) -> Crop:
    return np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
