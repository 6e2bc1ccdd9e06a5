"""One generator's slots with the orders that sit in them, and what is done when a step goes wrong.

Too little memory halves the batch of one pass (slots stay, answers stay the same) and widens it again later. Any other
exception cannot be blamed on one slot of a batch, so all of its orders run alone once more: the poisonous one fails
then, its neighbours do not. What an error says about the device is told by `nigaoe_model.device_errors` everywhere.
"""

from contextlib import suppress
from typing import Final

import structlog
import torch

from nigaoe_core.errors import InversionError
from nigaoe_model.device_errors import DeviceTrouble, device_trouble
from nigaoe_model.inversion.engine import SlotEngine
from nigaoe_model.inversion.request import Ticket
from nigaoe_model.portrait.pair import LoadedGenerator
from nigaoe_worker.requests import InversionOrder, answer, refuse

CALM_STEPS: Final = 50
"""Steps without trouble after which a narrowed batch is doubled again; twice as many after every relapse."""
MOST_CALM_STEPS: Final = 3200

_log = structlog.get_logger(__name__)


class DeviceLost(Exception):
    """The device does not compute any more; only a fresh process gets it back.

    Args:
        message: What happened.
        computing: Whether it was lost while it computed for whoever gets this: then it may be his doing.
    """

    def __init__(self, message: str = "The device stopped working.", *, computing: bool = False) -> None:
        """Remember both."""
        super().__init__(message)
        self.was_computing = computing


class Bench:
    """A slot engine and its orders. Owned by the device's thread.

    Args:
        loaded: The generator that is inverted here.
        engine: Its slots.
        is_quarantine: Orders here already spoilt a step of others; they run one at a time, and failing is final.

    Attributes:
        is_spoilt: A step broke off in the middle; nothing more may be run here.
    """

    def __init__(self, loaded: LoadedGenerator, engine: SlotEngine, *, is_quarantine: bool = False) -> None:
        self.loaded = loaded
        self.is_quarantine = is_quarantine
        self.is_spoilt = False
        self._engine = engine
        self._orders: dict[Ticket, InversionOrder] = {}
        self._calm = 0
        self._calm_needed = CALM_STEPS

    @property
    def occupied(self) -> int:
        """Number of slots at work."""
        return len(self._orders)

    @property
    def has_room(self) -> bool:
        """Whether one more order may join now."""
        return self._engine.free > 0

    @property
    def batch_limit(self) -> int | None:
        """Samples in one pass while memory is short; None: all slots."""
        return self._engine.batch_limit

    @property
    def orders(self) -> list[InversionOrder]:
        """Whose slots these are."""
        return list(self._orders.values())

    def admit(self, order: InversionOrder) -> bool:
        """Give an order a slot; an order that does not fit fails alone.

        Returns:
            False: There is no memory for it beside those at work, however narrow their batch; it has to wait.

        Raises:
            DeviceLost: The device is gone for this process.
        """
        while True:
            try:
                self._orders[self._engine.admit(order.request)] = order
            except Exception as error:
                trouble = device_trouble(error)
                if trouble is DeviceTrouble.LOST:
                    raise DeviceLost from error
                if trouble is DeviceTrouble.MEMORY and self.occupied:
                    if self._narrow():
                        continue
                    return False
                _log.exception("engine.refused")
                refuse(order.future, inversion_failure(error))
            return True

    def step(self) -> list[InversionOrder]:
        """Advance all slots by one step; orders that end get their result.

        Returns:
            Orders that lost their slot without a result and want another chance, alone.

        Raises:
            DeviceLost: The device is gone for this process.
        """
        try:
            finished = self._engine.step()
        except Exception as error:  # noqa: BLE001 - sorted right below: memory, device, or somebody's data.
            return self._recover(error)
        self._grow_calm()
        for ended in finished:
            order = self._orders.pop(ended.ticket, None)
            if order is not None:
                answer(order.future, ended)
        return []

    def make_room(self) -> None:
        """Give back what memory can be given back: somebody else on this device needs it."""
        self._engine.release_recordings()
        self._narrow()

    def _recover(self, error: Exception) -> list[InversionOrder]:
        trouble = device_trouble(error)
        if trouble is DeviceTrouble.LOST:
            raise DeviceLost from error
        if trouble is DeviceTrouble.MEMORY and self._narrow():
            self._let_go()
            return []
        _log.exception("engine.step_failed", slots=self.occupied, exc_info=error)
        self.is_spoilt = True
        orders, self._orders = self.orders, {}
        if self.is_quarantine or len(orders) == 1:
            for order in orders:
                refuse(order.future, inversion_failure(error))
            return []
        for order in orders:
            order.is_suspect = True
        return orders

    def _let_go(self) -> None:
        """Answer cancelled orders: a step that broke off may have retired them without a word."""
        for ticket, order in list(self._orders.items()):
            with suppress(Exception):  # What the question itself raises fails its slot at the next step.
                if order.is_cancelled:
                    order.future.cancel()
                    del self._orders[ticket]

    def _narrow(self) -> bool:
        """Halve the batch of one pass; False: one sample alone is too much already."""
        limit = min(self._engine.batch_limit or self.occupied, self.occupied)
        if limit <= 1:
            return False
        self._engine.batch_limit = limit // 2
        self._calm, self._calm_needed = 0, min(2 * self._calm_needed, MOST_CALM_STEPS)
        _log.warning("engine.narrowed", batch_limit=limit // 2)
        return_free_memory()  # Fragments of the batch that did not fit are of no use to the smaller one.
        return True

    def _grow_calm(self) -> None:
        limit = self._engine.batch_limit
        if limit is None:
            return
        self._calm += 1
        if self._calm >= self._calm_needed:
            self._calm = 0
            self._engine.batch_limit = 2 * limit if 2 * limit < self._engine.width else None
            _log.info("engine.widened", batch_limit=self._engine.batch_limit)


def return_free_memory() -> None:
    """Give what PyTorch keeps of a GPU's memory for later back to the GPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def inversion_failure(error: BaseException) -> InversionError:
    """Turn whatever ended an inversion into an error of the tree, with its cause."""
    if isinstance(error, InversionError):
        return error
    is_memory = device_trouble(error) is DeviceTrouble.MEMORY
    words = "the device has too little memory for it" if is_memory else "an unexpected fault, see the log"
    failure = InversionError(f"The likeness could not be found: {words}. Try another preset, or tell the operator.")
    failure.__cause__ = error
    return failure


def memory_failure(error: BaseException) -> InversionError:
    """Turn a lack of memory while a portrait was drawn or enlarged into an error of the tree, with its cause."""
    failure = InversionError(
        "The portrait could not be drawn: the device has too little memory for it. Try again, or tell the operator."
    )
    failure.__cause__ = error
    return failure
