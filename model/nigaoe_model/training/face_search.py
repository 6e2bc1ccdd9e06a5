"""Reverse generation of many faces at once, for measures and for fine-tunes."""

import hashlib
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from nigaoe_core.errors import InversionError
from nigaoe_model.inversion.request import InversionRequest
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.convert import head_region, inversion_engine
from nigaoe_model.portrait.drawing import AS_FOUND, Look, draw_portraits
from nigaoe_model.portrait.instant import guess_latents
from nigaoe_model.portrait.pair import LoadedGenerator, Pair
from nigaoe_model.tensor_file import write_tensors
from nigaoe_model.training.dataset import to_bytes, to_unit_range
from nigaoe_model.training.face_regions import Pictures
from nigaoe_model.training.pair_metrics import Convert

WIDTH = 8


def search_latents(
    loaded: LoadedGenerator,
    faces: Iterable[Tensor],
    settings: InversionSettings,
    report: Callable[[int], None] | None = None,
    *,
    width: int = WIDTH,
) -> Tensor:
    """Find the latents of faces.

    Args:
        loaded: Where to search.
        faces: Each # [3, R, R] in [-1, 1]; taken when a slot is free.
        settings: Of every search.
        report: Called with the number of faces that are done.
        width: Faces that are searched as one batch.

    Returns:
        In the order of the faces. # [N, num_ws, w_dim].

    Raises:
        InversionError: A search ended without a result.
        NoEncoder: The settings have no steps, and nothing guesses latents of this generator.
    """
    if not settings.steps:
        return _guesses(loaded, faces, report, width)
    region = head_region(loaded, settings)
    found: dict[int, Tensor] = {}
    requests = (InversionRequest(target=face, settings=settings, region=region) for face in faces)
    for finished in inversion_engine(loaded, width).run(requests):
        if finished.result is None:
            raise finished.error or InversionError("A search was cancelled; search again.")
        found[finished.ticket.number] = finished.result.w_plus
        if report is not None:
            report(len(found))
    return torch.stack([found[number] for number in range(len(found))])


def _guesses(
    loaded: LoadedGenerator, faces: Iterable[Tensor], report: Callable[[int], None] | None, width: int
) -> Tensor:
    remaining, guessed = iter(faces), list[Tensor]()
    while some := list(islice(remaining, width)):
        guessed += guess_latents(loaded, torch.stack(some)).cpu()
        if report is not None:
            report(len(guessed))
    return torch.stack(guessed)


class FaceSearch:
    """Searches pictures in one generator and remembers what was found, so that every style may draw it.

    Args:
        loaded: Where to search.
        settings: Of every search.
        folder: Where latents are kept for later runs; None: they are dropped at the end. A latent can rebuild a face.
    """

    def __init__(self, loaded: LoadedGenerator, settings: InversionSettings, folder: Path | None = None) -> None:
        self.loaded, self.settings, self.folder = loaded, settings, folder
        self._found: dict[str, Tensor] = {}

    def __call__(self, faces: Pictures) -> Tensor:
        """Return the latents # [N, num_ws, w_dim] of faces # [N, 3, R, R] (bytes).

        Raises:
            InversionError: A search ended without a result.
        """
        key = self._key(faces)
        if key not in self._found:
            self._found[key] = self._kept(key, faces)
        return self._found[key]

    def _key(self, faces: Pictures) -> str:
        """Name everything that an answer depends on."""
        digest = hashlib.sha256(faces.contiguous().numpy().tobytes())
        encoder = self.loaded.encoder.digest if self.loaded.encoder is not None else None
        digest.update(repr((self.settings, self.loaded.digest, encoder)).encode())
        return digest.hexdigest()

    def _kept(self, key: str, faces: Pictures) -> Tensor:
        path = self.folder / f"{key}.safetensors" if self.folder is not None else None
        if path is not None and path.is_file():
            return load_file(path)["w_plus"]
        found = search_latents(self.loaded, to_unit_range(faces), self.settings)
        if path is not None:
            write_tensors(path, {"w_plus": found.cpu().contiguous()}, {})
        return found


def cross_conversion(pair: Pair, search: FaceSearch, look: Look = AS_FOUND) -> Convert:
    """Return a function that finds faces in ``pair.g_ori`` and lets ``pair.g_fin`` draw them with its fixed noise.

    Args:
        pair: The style.
        search: Of ``pair.g_ori``; other styles may use the same.
        look: How what was found is drawn.
    """

    @torch.no_grad()
    def convert(faces: Pictures) -> Pictures:
        """Convert # [N, 3, R, R].

        Raises:
            InversionError: A search ended without a result.
        """
        parts = torch.split(search(faces), 16)
        drawings = [portrait.drawing for part in parts for portrait in draw_portraits(pair, part, look, None)]
        return to_bytes(torch.stack(drawings))

    return convert
