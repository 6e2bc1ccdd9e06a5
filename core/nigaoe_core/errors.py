"""Every error that Nigaoe shows to anyone, as one tree: one row a code, below the row of its family.

A row says four stable facts: the parent, by which a caller catches a whole family; ``code`` for programs; ``status``
for HTTP; ``title`` for the table of codes. An instance's message is a sentence that tells the user what to do next. It
never contains personal data.
"""

from collections.abc import Iterator
from typing import Any, ClassVar


class NigaoeError(Exception):
    """Something inside Nigaoe went wrong that no more exact error names."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init_subclass__(cls, *, code: str, status: int, title: str) -> None:
        """Every class of the tree is declared with a code and a title of its own."""
        super().__init_subclass__()
        cls.code, cls.status, cls.title = code, status, title

    def __init__(self, message: str = "", **details: Any) -> None:
        """Keep the sentence for people and JSON-ready ``details`` for programs."""
        super().__init__(message or self.title)
        self.message = message or self.title
        self.details = details


# A table: with the formatter's two blank lines between classes it would be one no more.
# fmt: off

class ImageError(NigaoeError, code="invalid_image", status=422, title="The picture cannot be used"):
    """The bytes are no picture that Nigaoe can use."""
class EmptyImage(ImageError, code="empty_image", status=422, title="The file is empty"):
    """There are no bytes at all."""
class UnsupportedFormat(
    ImageError, code="unsupported_format", status=415, title="The file is not a supported picture format"
):
    """The content is none of the allowed picture formats, whatever its name says."""
class ImageTooLarge(ImageError, code="image_too_large", status=413, title="The picture is too large"):
    """Too many bytes, pixels, or too long a side."""
class ImageTooSmall(ImageError, code="image_too_small", status=422, title="The picture is too small"):
    """Too few pixels to hold a face."""
class WrongSize(ImageError, code="wrong_size", status=422, title="The picture has another size than the style needs"):
    """An aligned picture was cut for a network of another size."""
class BrokenImage(ImageError, code="broken_image", status=422, title="The picture is damaged"):
    """The format is right, the data are truncated or damaged."""

class VideoError(NigaoeError, code="invalid_video", status=422, title="The video cannot be used"):
    """The file is no video that Nigaoe can use."""
class EmptyVideo(VideoError, code="empty_video", status=422, title="The video is empty"):
    """There are no bytes at all, or no frames."""
class BrokenVideo(VideoError, code="broken_video", status=422, title="The video is damaged, or the file is none"):
    """No demuxer or decoder can read it."""
class NoPictures(VideoError, code="no_pictures", status=422, title="The file has sound and no pictures"):
    """There is no video stream; a cover picture is none."""
class VideoTooLarge(VideoError, code="video_too_large", status=413, title="The video is too large"):
    """It lasts too long, or its frames have too many pixels."""
class SoundNotTaken(
    VideoError, code="sound_not_taken", status=422, title="The sound does not fit into this kind of file"
):
    """Sound is copied as it is, and the container that was asked for does not take its codec."""

class FaceError(NigaoeError, code="face_error", status=422, title="The faces in the picture do not fit the request"):
    """The picture is fine, its faces are not what the request needs."""
class NoFace(FaceError, code="no_face", status=422, title="No face was found"):
    """No face was found."""
class ReferenceWithoutFace(
    FaceError, code="reference_without_face", status=422, title="The reference shows no face"
):
    """The anime picture whose style or texture shall be used is blank or shows no face."""
class FaceIndexOutOfRange(FaceError, code="face_out_of_range", status=422, title="There is no face with this number"):
    """The chosen face does not exist."""
class MultipleFaces(FaceError, code="multiple_faces", status=409, title="Several faces were found"):
    """Several faces were found and the client asked to be told instead of getting the largest."""

class CheckpointError(NigaoeError, code="invalid_checkpoint", status=422, title="The checkpoint cannot be used"):
    """A weight file cannot be used."""
class BrokenCheckpoint(CheckpointError, code="broken_checkpoint", status=422, title="The checkpoint is damaged"):
    """A weight file is truncated or damaged."""
class ForeignCheckpoint(
    CheckpointError, code="foreign_checkpoint", status=422,
    title="The checkpoint is of a family that Nigaoe cannot read",
):
    """A weight file of another family."""
class CheckpointMismatch(
    CheckpointError, code="checkpoint_mismatch", status=422,
    title="The checkpoint's tensors do not fit its architecture",
):
    """Tensors and the described architecture disagree."""
class MethodMismatch(
    CheckpointError, code="method_mismatch", status=422, title="The checkpoint is of another method"
):
    """A weight file is used as what it is not: a network of another method as a style, a parent or a generator."""
class UnsafeCheckpoint(
    CheckpointError, code="unsafe_checkpoint", status=422, title="The checkpoint would execute code"
):
    """Reading the file would execute code or exhaust the machine."""
class ParentMismatch(
    CheckpointError, code="parent_mismatch", status=409, title="The style belongs to another generator"
):
    """A fine-tuned generator is used with a generator that it was not made from."""
class InvalidManifest(
    CheckpointError, code="invalid_manifest", status=500, title="The manifest of the weights cannot be used"
):
    """A manifest of weights contains something that Nigaoe cannot use."""
class DownloadFailed(CheckpointError, code="download_failed", status=502, title="The weights could not be fetched"):
    """A weight file could not be fetched; trying again goes on where it stopped."""

class InversionError(NigaoeError, code="inversion_failed", status=500, title="The likeness could not be found"):
    """Reverse generation ended without a result."""
class NumericalFailure(
    InversionError, code="numerical_failure", status=500, title="The optimisation became numerically unstable"
):
    """A slot's numbers became infinite or not a number; its neighbours are unharmed."""

class DatasetError(NigaoeError, code="invalid_dataset", status=422, title="The data set cannot be used"):
    """A data set is missing, damaged or does not fit."""

class TrainingError(NigaoeError, code="training_failed", status=500, title="The training run cannot go on"):
    """A training run cannot go on."""

class JobError(NigaoeError, code="job_error", status=409, title="The job cannot do this"):
    """A job cannot do what was asked of it."""
class UnknownJob(JobError, code="unknown_job", status=404, title="There is no such job"):
    """No job of this id exists for this caller: never made, deleted, past its retention, or another tenant's."""
class LeaseLost(JobError, code="lease_lost", status=409, title="The job belongs to another worker now"):
    """A worker wrote to a job whose lease it no longer has: the lease ended, or the job ended or was deleted."""
class IllegalTransition(JobError, code="illegal_transition", status=409, title="The job's state does not allow this"):
    """The job's state does not allow this change."""
class IdempotencyConflict(
    JobError, code="idempotency_conflict", status=422, title="This Idempotency-Key belongs to another request"
):
    """An Idempotency-Key was used before with another request body."""
class QueueFull(JobError, code="queue_full", status=503, title="Too many jobs are waiting"):
    """So many jobs wait that one more would wait too long; ``details["retry_after"]`` says when to come back."""
class QuotaExceeded(JobError, code="quota_exceeded", status=429, title="Your quota is used up"):
    """This caller has as many unfinished jobs, or made as many requests, as it may."""
class WorkerLost(JobError, code="worker_lost", status=500, title="The workers that ran this job stopped unexpectedly"):
    """The workers that ran this job vanished, as often as the operator allows."""
class DeadlineExceeded(JobError, code="deadline_exceeded", status=504, title="The job was not finished in time"):
    """The job was not finished before its deadline."""
class UnreadableJob(JobError, code="unreadable_job", status=500, title="The job's record cannot be read"):
    """A stored job record is damaged or was written by a newer Nigaoe."""

class StorageError(NigaoeError, code="storage_error", status=500, title="Storage failed"):
    """Records or pictures cannot be stored or read."""
class StoreUnavailable(StorageError, code="store_unavailable", status=503, title="The job store cannot be reached"):
    """Redis does not answer; what was asked may be repeated."""
class BlobStoreUnavailable(
    StorageError, code="blobs_unavailable", status=503, title="The picture store cannot be reached"
):
    """The folder or object store for pictures does not answer; what was asked may be repeated."""
class UnknownBlob(StorageError, code="unknown_blob", status=404, title="There is no such picture"):
    """Nothing is stored under this key."""
class InvalidBlobKey(StorageError, code="invalid_blob_key", status=400, title="The picture's key is not valid"):
    """The key is not one that Nigaoe makes."""
class StorageFull(StorageError, code="storage_full", status=507, title="The picture store is full"):
    """The disk or the bucket's quota is full."""

class LinkError(NigaoeError, code="invalid_link", status=403, title="The link is not valid"):
    """A signed link was changed or signed with another secret."""
class LinkExpired(LinkError, code="link_expired", status=410, title="The link has expired"):
    """A signed link is past its time."""

class RequestError(NigaoeError, code="request_error", status=400, title="The request cannot be served"):
    """The HTTP request itself is at fault, before anything is computed."""
class MalformedRequest(RequestError, code="malformed_request", status=400, title="The request's body cannot be read"):
    """The body is no JSON or no form, whatever its header says."""
class InvalidRequest(RequestError, code="invalid_request", status=422, title="Some values are wrong"):
    """Fields are missing, unknown, of the wrong kind or out of range; ``details["errors"]`` lists them."""
class Unauthorized(RequestError, code="unauthorized", status=401, title="An API key is needed"):
    """No API key came with the request, or an unknown or revoked one."""
class CrossOrigin(RequestError, code="cross_origin", status=403, title="Other web sites may not call this"):
    """A web page of another origin tried to act through its visitor's browser on an API without keys."""
class AnonymousRefused(
    RequestError, code="anonymous_refused", status=403, title="Calls without an API key are refused here"
):
    """Neither an API key nor the page's cookie came with a call to a public address that asks for no keys."""
class UnknownAddress(RequestError, code="not_found", status=404, title="There is nothing at this address"):
    """No route has this path."""
class MethodNotAllowed(
    RequestError, code="method_not_allowed", status=405, title="This address does not answer to this method"
):
    """The path exists, the method does not."""
class RequestTimeout(RequestError, code="request_timeout", status=408, title="The request arrived too slowly"):
    """The body was not there in full when its time was up."""
class RequestTooLarge(RequestError, code="request_too_large", status=413, title="The request is too large"):
    """The body has more bytes than one request may."""
class UploadsFull(RequestError, code="uploads_full", status=503, title="Too many photos are on their way"):
    """So many bytes of uploads are on their way that one more body does not fit now."""
class UnsupportedMediaType(
    RequestError, code="unsupported_media_type", status=415, title="The body has the wrong Content-Type"
):
    """The body is of a kind that this address does not take."""
class RateLimited(RequestError, code="rate_limited", status=429, title="Too many requests"):
    """This caller asks more often than it may; ``details["retry_after"]`` says when to come back."""
class NotReady(RequestError, code="not_ready", status=503, title="The service is not ready"):
    """A part of the service is still starting, or has stopped."""
class NoResult(RequestError, code="no_result", status=409, title="The job has no result"):
    """The job has not succeeded, or not yet, so there is no picture and no latent."""
class NoSuchResult(RequestError, code="no_such_result", status=404, title="The job has no picture of this kind"):
    """The job succeeded without making this kind of picture."""
class NoLatent(RequestError, code="no_latent", status=409, title="The job keeps no latent that could be drawn again"):
    """The style of the job, or the one that was asked for, draws photos in one pass: the photo has to be sent again."""
class InvalidFaceToken(RequestError, code="invalid_face_token", status=422, title="The face token is not valid"):
    """The token is damaged, too old, or was given for another photo."""
class InvalidPhotoToken(RequestError, code="invalid_photo_token", status=422, title="The photo token is not valid"):
    """The token of a kept photo is damaged or belongs to somebody else."""
class PhotoGone(RequestError, code="photo_gone", status=410, title="The photo is no longer kept"):
    """A kept photo was erased: its time is over, or a job was made from it."""

class OutboundError(NigaoeError, code="fetch_failed", status=422, title="The address could not be fetched"):
    """An address that a client gave does not answer as it should."""
class ForbiddenAddress(OutboundError, code="forbidden_address", status=422, title="The address is not allowed"):
    """An address that a client gave is not public https, or the operator does not allow it."""

class UsageError(NigaoeError, code="usage", status=400, title="The request makes no sense"):
    """The request contradicts itself or asks for something that does not exist."""
class MissingExtra(UsageError, code="missing_extra", status=500, title="A part of Nigaoe is not installed"):
    """A package is needed that an extra of the distribution brings, and that is not installed."""
class InvalidSettings(UsageError, code="invalid_settings", status=500, title="The settings cannot be used"):
    """An environment variable or configuration file contains something that Nigaoe cannot use."""
class UnknownStyle(UsageError, code="unknown_style", status=422, title="There is no style of this name"):
    """No style of this name is installed."""
class OptionNotTaken(
    UsageError, code="option_not_taken", status=422, title="The style does not take this option"
):
    """The style's method has no use for an option that was given."""
class ReferenceNeeded(
    UsageError, code="reference_needed", status=422, title="The style needs a reference picture"
):
    """The style draws with the texture of another picture, and has none of its own."""
class NoEncoder(UsageError, code="no_encoder", status=422, title="No encoder guesses for this style"):
    """An encoder's guess was asked for, and the generator that photos are found in has no encoder."""
class UnknownGenerator(UsageError, code="unknown_generator", status=422, title="There is no generator of this name"):
    """No generator of this name is installed."""

# fmt: on


def error_tree(root: type[NigaoeError] = NigaoeError) -> Iterator[type[NigaoeError]]:
    """Yield every error class of the tree, parents before their children."""
    yield root
    for child in root.__subclasses__():
        yield from error_tree(child)
