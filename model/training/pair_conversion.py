"""Cross-domain reverse generation as a plain function of pictures, for the measures of a pair."""

import torch

from model.pair import Pair
from model.training.dataset import to_bytes
from model.training.face_regions import Pictures
from model.training.face_search import FaceSearch
from model.training.pair_metrics import Convert


def cross_conversion(pair: Pair, search: FaceSearch, *, truncation_psi: float = 1.0) -> Convert:
    """Return a function that finds faces in ``pair.g_ori`` and lets ``pair.g_fin`` draw them with its fixed noise.

    Args:
        pair: The style.
        search: Of ``pair.g_ori``; other styles may use the same.
        truncation_psi: Pulls what was found towards the mean face before it is drawn; 1 draws it as found.
    """

    @torch.no_grad()
    def convert(faces: Pictures) -> Pictures:
        """Convert # [N, 3, R, R].

        Raises:
            InversionError: A search ended without a result.
        """
        g_fin = pair.g_fin.generator
        ws = g_fin.mapping.truncate(search(faces).to(g_fin.mapping.w_avg), truncation_psi)
        return torch.cat([to_bytes(g_fin.draw_image(part)).cpu() for part in torch.split(ws, 16)])

    return convert
