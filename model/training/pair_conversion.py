"""Cross-domain reverse generation as a plain function of pictures, for the measures of a pair."""

import torch

from core.errors import InversionError
from model.conversion import head_region, inversion_engine
from model.inversion.request import InversionRequest
from model.inversion.settings import InversionSettings
from model.pair import Pair
from model.training.dataset import to_bytes, to_unit_range
from model.training.face_regions import Pictures
from model.training.pair_metrics import Convert

WIDTH = 8


def cross_conversion(pair: Pair, settings: InversionSettings) -> Convert:
    """Return a function that finds faces in ``pair.g_ori`` and lets ``pair.g_fin`` draw them with its fixed noise.

    Args:
        pair: The style.
        settings: Of every search.
    """

    def convert(faces: Pictures) -> Pictures:
        """Convert # [N, 3, R, R].

        Raises:
            InversionError: A search ended without a result.
        """
        region = head_region(pair.g_ori, settings)
        requests = [InversionRequest(target=to_unit_range(face), settings=settings, region=region) for face in faces]
        place = {id(request): number for number, request in enumerate(requests)}
        drawings: dict[int, torch.Tensor] = {}
        for finished in inversion_engine(pair.g_ori, WIDTH).run(requests):
            if finished.result is None:
                raise finished.error or InversionError("A search was cancelled; measure again.")
            with torch.no_grad():
                image = pair.g_fin.generator.draw_image(finished.result.w_plus[None])
            drawings[place[id(finished.ticket.request)]] = to_bytes(image)[0].cpu()
        return torch.stack([drawings[number] for number in range(len(requests))])

    return convert
