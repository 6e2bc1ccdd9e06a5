"""Every error that Nigaoe shows to anyone, as one tree.

::

    NigaoeError                       internal               500
    ├── ImageError                    invalid_image          422
    │   ├── EmptyImage                empty_image            422
    │   ├── UnsupportedFormat         unsupported_format     415
    │   ├── ImageTooLarge             image_too_large        413
    │   ├── ImageTooSmall             image_too_small        422
    │   └── BrokenImage               broken_image           422
    ├── FaceError                     face_error             422
    │   ├── NoFace                    no_face                422
    │   ├── FaceIndexOutOfRange       face_out_of_range      422
    │   └── MultipleFaces             multiple_faces         409
    ├── CheckpointError               invalid_checkpoint     422
    │   ├── BrokenCheckpoint          broken_checkpoint      422
    │   ├── ForeignCheckpoint         foreign_checkpoint     422
    │   ├── CheckpointMismatch        checkpoint_mismatch    422
    │   ├── UnsafeCheckpoint          unsafe_checkpoint      422
    │   └── ParentMismatch            parent_mismatch        409
    ├── InversionError                inversion_failed       500
    │   └── NumericalFailure          numerical_failure      500
    ├── DatasetError                  invalid_dataset        422
    ├── TrainingError                 training_failed        500
    └── UsageError                    usage                  400
        └── UnknownStyle              unknown_style          422

A class carries three stable facts: ``code`` for programs, ``status`` for HTTP, ``title`` for the table of codes.
The instance's message is a sentence that tells the user what to do next. It never holds personal data.
"""

from collections.abc import Iterator
from typing import Any, ClassVar


class NigaoeError(Exception):
    """Something inside Nigaoe went wrong that no more exact error names."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str = "", **details: Any) -> None:
        """Keep the sentence for people and JSON-ready ``details`` for programs."""
        super().__init__(message or self.title)
        self.message = message or self.title
        self.details = details


class ImageError(NigaoeError):
    """The bytes are no picture that Nigaoe can use."""

    code = "invalid_image"
    status = 422
    title = "The picture cannot be used"


class EmptyImage(ImageError):
    """There are no bytes at all."""

    code = "empty_image"
    title = "The file is empty"


class UnsupportedFormat(ImageError):
    """The content is none of the allowed picture formats, whatever its name says."""

    code = "unsupported_format"
    status = 415
    title = "The file is not a supported picture format"


class ImageTooLarge(ImageError):
    """Too many bytes, pixels, or too long a side."""

    code = "image_too_large"
    status = 413
    title = "The picture is too large"


class ImageTooSmall(ImageError):
    """Too few pixels to hold a face."""

    code = "image_too_small"
    title = "The picture is too small"


class BrokenImage(ImageError):
    """The format is right, the data are truncated or damaged."""

    code = "broken_image"
    title = "The picture is damaged"


class FaceError(NigaoeError):
    """The picture is fine, its faces are not what the request needs."""

    code = "face_error"
    status = 422
    title = "The faces in the picture do not fit the request"


class NoFace(FaceError):
    """No face was found."""

    code = "no_face"
    title = "No face was found"


class FaceIndexOutOfRange(FaceError):
    """The chosen face does not exist."""

    code = "face_out_of_range"
    title = "There is no face with this number"


class MultipleFaces(FaceError):
    """Several faces were found and the client asked to be told instead of getting the largest."""

    code = "multiple_faces"
    status = 409
    title = "Several faces were found"


class CheckpointError(NigaoeError):
    """A weight file cannot be used."""

    code = "invalid_checkpoint"
    status = 422
    title = "The checkpoint cannot be used"


class BrokenCheckpoint(CheckpointError):
    """A weight file is truncated or damaged."""

    code = "broken_checkpoint"
    title = "The checkpoint is damaged"


class ForeignCheckpoint(CheckpointError):
    """A weight file of another family."""

    code = "foreign_checkpoint"
    title = "The checkpoint is of a family that Nigaoe cannot read"


class CheckpointMismatch(CheckpointError):
    """Tensors and the described architecture disagree."""

    code = "checkpoint_mismatch"
    title = "The checkpoint's tensors do not fit its architecture"


class UnsafeCheckpoint(CheckpointError):
    """Reading the file would execute code or exhaust the machine."""

    code = "unsafe_checkpoint"
    title = "The checkpoint would execute code"


class ParentMismatch(CheckpointError):
    """A fine-tuned generator is used with a generator that it was not made from."""

    code = "parent_mismatch"
    status = 409
    title = "The style belongs to another generator"


class InversionError(NigaoeError):
    """Reverse generation ended without a result."""

    code = "inversion_failed"
    title = "The likeness could not be found"


class NumericalFailure(InversionError):
    """A slot's numbers became infinite or not a number; its neighbours are unharmed."""

    code = "numerical_failure"
    title = "The optimisation became numerically unstable"


class DatasetError(NigaoeError):
    """A data set is missing, damaged or does not fit."""

    code = "invalid_dataset"
    status = 422
    title = "The data set cannot be used"


class TrainingError(NigaoeError):
    """A training run cannot go on."""

    code = "training_failed"
    title = "The training run cannot go on"


class UsageError(NigaoeError):
    """The request contradicts itself or asks for something that does not exist."""

    code = "usage"
    status = 400
    title = "The request makes no sense"


class UnknownStyle(UsageError):
    """No style of this name is installed."""

    code = "unknown_style"
    status = 422
    title = "There is no style of this name"


def error_tree(root: type[NigaoeError] = NigaoeError) -> Iterator[type[NigaoeError]]:
    """Yield every error class of the tree, parents before their children."""
    yield root
    for child in root.__subclasses__():
        yield from error_tree(child)
