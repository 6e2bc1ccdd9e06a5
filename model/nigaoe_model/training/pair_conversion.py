"""Cross-domain reverse generation as a plain function of pictures, for the measures of a pair."""

import torch

from nigaoe_model.portrait.drawing import AS_FOUND, Look, draw_portraits
from nigaoe_model.portrait.pair import Pair
from nigaoe_model.training.dataset import to_bytes
from nigaoe_model.training.face_regions import Pictures
from nigaoe_model.training.face_search import FaceSearch
from nigaoe_model.training.pair_metrics import Convert


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
