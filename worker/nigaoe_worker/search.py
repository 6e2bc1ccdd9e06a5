"""Reverse generation of one job: a slot request for each generator that its method searches, and progress meanwhile."""

import threading
import time
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from functools import partial
from typing import Final

import torch.nn.functional as F
from torch import Tensor

from nigaoe_core.errors import InversionError
from nigaoe_core.jobs import Progress, Seconds
from nigaoe_faces.encoding import DigitalSource, encode_jpeg
from nigaoe_faces.sheet import resized
from nigaoe_model.inversion.request import Finished, InversionRequest, InversionResult, StopReason
from nigaoe_model.inversion.request import Progress as SearchProgress
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.convert import ConversionOptions, Role, inversion_requests, searched
from nigaoe_model.portrait.drawing import draw_sketch
from nigaoe_model.portrait.pair import Pair
from nigaoe_worker.device import Engine
from nigaoe_worker.leases import ClaimedJob, Preview
from nigaoe_worker.slot_batch import SlotRequest

FRAMES: Final = 24
"""Pictures of the way that are kept for the animation, at most."""
FRAME_SIDE: Final = 256
PREVIEW_QUALITY: Final = 85

RESERVE_SHARE: Final = 0.1
MOST_RESERVE: Final[Seconds] = 10.0
"""So long before the job's deadline a search stops with the best it has: drawing and storing need time, too."""


class Search:
    """One job's search.

    Args:
        claimed: The job: receives progress and previews, and may stop the search.
        pair: The style's generators.
        options: How the face is found and drawn.
        target: The aligned photo in [-1, 1]. # [3, R, R].
        with_previews: Whether pictures are sent to the job's followers.

    Attributes:
        progress: Where it stands.
        frames: Pictures of the way, oldest first, in [-1, 1]. # [3, S, S], S at most 256.
    """

    def __init__(
        self, claimed: ClaimedJob, pair: Pair, options: ConversionOptions, target: Tensor, *, with_previews: bool
    ) -> None:
        self.progress = Progress()
        self.frames: list[Tensor] = []
        self._claimed = claimed
        self._pair = pair
        self._options = options
        self._target = target
        self._with_previews = with_previews
        self._roles = options.roles
        self._latest: dict[Role, SearchProgress] = {}
        self._given_up = threading.Event()

    def run(self, engine: Engine) -> dict[Role, InversionResult]:
        """Search, and wait for the end.

        Raises:
            JobStopped: The job must stop.
            InversionError: The search failed.
            DeviceLost: The device is gone.
        """
        seed = self._claimed.job.options.seed
        requests = inversion_requests(self._pair, self._options, self._target, seed=seed)
        futures = {role: engine.invert(self._request(role, request)) for role, request in requests.items()}
        try:
            return {role: self._result(future) for role, future in futures.items()}
        finally:
            self._given_up.set()  # Where one of two has failed, the other's slot is wanted by another job.

    def _request(self, role: Role, request: InversionRequest) -> SlotRequest:
        job = self._claimed.job
        left = self._claimed.deadline - time.monotonic()
        request = replace(
            request,
            deadline=self._claimed.deadline - min(MOST_RESERVE, RESERVE_SHARE * left),
            on_progress=partial(self._follow, role),
            preview_interval=-(-self._options.settings.steps // (FRAMES - 1)) if role == self._roles[0] else None,
            cancelled=lambda: self._given_up.is_set() or self._claimed.is_stopped,
        )
        return SlotRequest(searched(self._pair, role), request, job.options.priority, job.queued_at)

    def _result(self, future: "Future[Finished]") -> InversionResult:
        try:
            finished = future.result()
        except CancelledError:
            self._claimed.check()
            raise InversionError("Reverse generation was cancelled before it began; ask again.") from None
        if finished.stop_reason is StopReason.CANCELLED:
            self._claimed.check()
        return finished.unwrap()

    def _follow(self, role: Role, progress: SearchProgress) -> None:
        """Take in a step; runs in the device's thread, so it only leaves progress to be sent."""
        self._latest[role] = progress
        main = self._latest.get(self._roles[0], progress)
        self.progress = Progress(
            step=sum(latest.step for latest in self._latest.values()),
            total=self._options.settings.steps * len(self._roles),
            distance=main.distance,
            distance_start=main.start_distance,
        )
        self._claimed.update(progress=self.progress)
        if progress.preview is not None:
            self.frames.append(shrunk(progress.preview))
            if self._with_previews:
                self._send_preview(progress)

    def _send_preview(self, progress: SearchProgress) -> None:
        """Leave the newest frame to be sent; while the job is followed, together with what the style makes of it."""
        w_plus = progress.preview_w_plus if self._claimed.is_followed and self._roles[0] == "g_ori" else None
        if w_plus is not None and self._claimed.has_preview:
            return  # A drawing costs the device a pass: none is made before the last one was sent.
        frame, drawing = self.frames[-1], self._sketch(w_plus) if w_plus is not None else None
        encode_drawing = partial(encode_preview, drawing) if drawing is not None else None
        self._claimed.update(preview=Preview(progress.step, partial(encode_preview, frame), encode_drawing))

    def _sketch(self, w_plus: Tensor) -> Tensor:
        return shrunk(draw_sketch(self._pair, w_plus, self._options.look))


def shrunk(picture: Tensor) -> Tensor:
    """Reduce a picture that is larger than a frame. # [3, R, R] -> [3, S, S]."""
    factor = picture.shape[-1] // FRAME_SIDE
    return F.avg_pool2d(picture[None], factor)[0] if factor > 1 else picture


def encode_preview(frame: Tensor) -> bytes:
    """Make the JPEG that followers get; WebP would take ten times as long. # [3, S, S] in [-1, 1]."""
    picture = resized(to_rgb(frame), FRAME_SIDE)
    return encode_jpeg(picture, quality=PREVIEW_QUALITY, source=DigitalSource.GENERATED)
