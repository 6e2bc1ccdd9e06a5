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
    │   ├── ParentMismatch            parent_mismatch        409
    │   ├── InvalidManifest           invalid_manifest       500
    │   └── DownloadFailed            download_failed        502
    ├── InversionError                inversion_failed       500
    │   └── NumericalFailure          numerical_failure      500
    ├── DatasetError                  invalid_dataset        422
    ├── TrainingError                 training_failed        500
    ├── JobError                      job_error              409
    │   ├── UnknownJob                unknown_job            404
    │   ├── LeaseLost                 lease_lost             409
    │   ├── IllegalTransition         illegal_transition     409
    │   ├── IdempotencyConflict       idempotency_conflict   422
    │   ├── QueueFull                 queue_full             503
    │   ├── QuotaExceeded             quota_exceeded         429
    │   ├── WorkerLost                worker_lost            500
    │   ├── DeadlineExceeded          deadline_exceeded      504
    │   └── UnreadableJob             unreadable_job         500
    ├── StorageError                  storage_error          500
    │   ├── StoreUnavailable          store_unavailable      503
    │   ├── BlobStoreUnavailable      blobs_unavailable      503
    │   ├── UnknownBlob               unknown_blob           404
    │   ├── InvalidBlobKey            invalid_blob_key       400
    │   └── StorageFull               storage_full           507
    ├── LinkError                     invalid_link           403
    │   └── LinkExpired               link_expired           410
    ├── RequestError                  request_error          400
    │   ├── MalformedRequest          malformed_request      400
    │   ├── InvalidRequest            invalid_request        422
    │   ├── Unauthorized              unauthorized           401
    │   ├── CrossOrigin               cross_origin           403
    │   ├── AnonymousRefused          anonymous_refused      403
    │   ├── UnknownAddress            not_found              404
    │   ├── MethodNotAllowed          method_not_allowed     405
    │   ├── RequestTimeout            request_timeout        408
    │   ├── RequestTooLarge           request_too_large      413
    │   ├── UploadsFull               uploads_full           503
    │   ├── UnsupportedMediaType      unsupported_media_type 415
    │   ├── RateLimited               rate_limited           429
    │   ├── NotReady                  not_ready              503
    │   ├── NoResult                  no_result              409
    │   ├── NoSuchResult              no_such_result         404
    │   ├── InvalidFaceToken          invalid_face_token     422
    │   ├── InvalidPhotoToken         invalid_photo_token    422
    │   └── PhotoGone                 photo_gone             410
    ├── OutboundError                 fetch_failed           422
    │   └── ForbiddenAddress          forbidden_address      422
    └── UsageError                    usage                  400
        ├── MissingExtra              missing_extra          500
        ├── InvalidSettings           invalid_settings       500
        ├── UnknownStyle              unknown_style          422
        └── UnknownGenerator          unknown_generator      422

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


class InvalidManifest(CheckpointError):
    """A manifest of weights holds something that Nigaoe cannot use."""

    code = "invalid_manifest"
    status = 500
    title = "The manifest of the weights cannot be used"


class DownloadFailed(CheckpointError):
    """A weight file could not be fetched; trying again goes on where it stopped."""

    code = "download_failed"
    status = 502
    title = "The weights could not be fetched"


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


class JobError(NigaoeError):
    """A job cannot do what was asked of it."""

    code = "job_error"
    status = 409
    title = "The job cannot do this"


class UnknownJob(JobError):
    """No job of this id exists for this caller: never made, deleted, past its retention, or another tenant's."""

    code = "unknown_job"
    status = 404
    title = "There is no such job"


class LeaseLost(JobError):
    """A worker wrote to a job that it no longer holds: its lease ended, or the job ended or was deleted."""

    code = "lease_lost"
    title = "The job belongs to another worker now"


class IllegalTransition(JobError):
    """The job's state does not allow this change."""

    code = "illegal_transition"
    title = "The job's state does not allow this"


class IdempotencyConflict(JobError):
    """An Idempotency-Key was used before with another request body."""

    code = "idempotency_conflict"
    status = 422
    title = "This Idempotency-Key belongs to another request"


class QueueFull(JobError):
    """So many jobs wait that one more would wait too long; ``details["retry_after"]`` says when to come back."""

    code = "queue_full"
    status = 503
    title = "Too many jobs are waiting"


class QuotaExceeded(JobError):
    """This caller has as many unfinished jobs, or made as many requests, as it may."""

    code = "quota_exceeded"
    status = 429
    title = "Your quota is used up"


class WorkerLost(JobError):
    """The workers that ran this job vanished, as often as the operator allows."""

    code = "worker_lost"
    status = 500
    title = "The workers that ran this job stopped unexpectedly"


class DeadlineExceeded(JobError):
    """The job was not finished before its deadline."""

    code = "deadline_exceeded"
    status = 504
    title = "The job was not finished in time"


class UnreadableJob(JobError):
    """A stored job record is damaged or was written by a newer Nigaoe."""

    code = "unreadable_job"
    status = 500
    title = "The job's record cannot be read"


class StorageError(NigaoeError):
    """Records or pictures cannot be stored or read."""

    code = "storage_error"
    title = "Storage failed"


class StoreUnavailable(StorageError):
    """Redis does not answer; what was asked may be repeated."""

    code = "store_unavailable"
    status = 503
    title = "The job store cannot be reached"


class BlobStoreUnavailable(StorageError):
    """The folder or object store for pictures does not answer; what was asked may be repeated."""

    code = "blobs_unavailable"
    status = 503
    title = "The picture store cannot be reached"


class UnknownBlob(StorageError):
    """Nothing is stored under this key."""

    code = "unknown_blob"
    status = 404
    title = "There is no such picture"


class InvalidBlobKey(StorageError):
    """The key is not one that Nigaoe makes."""

    code = "invalid_blob_key"
    status = 400
    title = "The picture's key is not valid"


class StorageFull(StorageError):
    """The disk or the bucket's quota is full."""

    code = "storage_full"
    status = 507
    title = "The picture store is full"


class LinkError(NigaoeError):
    """A signed link was changed or signed with another secret."""

    code = "invalid_link"
    status = 403
    title = "The link is not valid"


class LinkExpired(LinkError):
    """A signed link is past its time."""

    code = "link_expired"
    status = 410
    title = "The link has expired"


class RequestError(NigaoeError):
    """The HTTP request itself is at fault, before anything is computed."""

    code = "request_error"
    status = 400
    title = "The request cannot be served"


class MalformedRequest(RequestError):
    """The body is no JSON or no form, whatever its header says."""

    code = "malformed_request"
    title = "The request's body cannot be read"


class InvalidRequest(RequestError):
    """Fields are missing, unknown, of the wrong kind or out of range; ``details["errors"]`` lists them."""

    code = "invalid_request"
    status = 422
    title = "Some values are wrong"


class Unauthorized(RequestError):
    """No API key came with the request, or an unknown or revoked one."""

    code = "unauthorized"
    status = 401
    title = "An API key is needed"


class CrossOrigin(RequestError):
    """A web page of another origin tried to act through its visitor's browser on an API without keys."""

    code = "cross_origin"
    status = 403
    title = "Other web sites may not call this"


class AnonymousRefused(RequestError):
    """Neither an API key nor the page's cookie came with a call to a public address that asks for no keys."""

    code = "anonymous_refused"
    status = 403
    title = "Calls without an API key are refused here"


class UnknownAddress(RequestError):
    """No route has this path."""

    code = "not_found"
    status = 404
    title = "There is nothing at this address"


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    status = 405
    title = "This address does not answer to this method"


class RequestTimeout(RequestError):
    """The body was not there in full when its time was up."""

    code = "request_timeout"
    status = 408
    title = "The request arrived too slowly"


class RequestTooLarge(RequestError):
    """The body has more bytes than one request may."""

    code = "request_too_large"
    status = 413
    title = "The request is too large"


class UploadsFull(RequestError):
    """So many bytes of uploads are on their way that one more body does not fit now."""

    code = "uploads_full"
    status = 503
    title = "Too many photos are on their way"


class UnsupportedMediaType(RequestError):
    """The body is of a kind that this address does not take."""

    code = "unsupported_media_type"
    status = 415
    title = "The body has the wrong Content-Type"


class RateLimited(RequestError):
    """This caller asks more often than it may; ``details["retry_after"]`` says when to come back."""

    code = "rate_limited"
    status = 429
    title = "Too many requests"


class NotReady(RequestError):
    """A part of the service is still starting, or has stopped."""

    code = "not_ready"
    status = 503
    title = "The service is not ready"


class NoResult(RequestError):
    """The job has not succeeded, or not yet, so there is no picture and no latent."""

    code = "no_result"
    status = 409
    title = "The job has no result"


class NoSuchResult(RequestError):
    """The job succeeded without making this kind of picture."""

    code = "no_such_result"
    status = 404
    title = "The job has no picture of this kind"


class InvalidFaceToken(RequestError):
    """The token is damaged, too old, or was given for another photo."""

    code = "invalid_face_token"
    status = 422
    title = "The face token is not valid"


class InvalidPhotoToken(RequestError):
    """The token of a kept photo is damaged or belongs to somebody else."""

    code = "invalid_photo_token"
    status = 422
    title = "The photo token is not valid"


class PhotoGone(RequestError):
    """A kept photo was erased: its time is over, or a job was made from it."""

    code = "photo_gone"
    status = 410
    title = "The photo is no longer kept"


class OutboundError(NigaoeError):
    """An address that a client gave does not answer as it should."""

    code = "fetch_failed"
    status = 422
    title = "The address could not be fetched"


class ForbiddenAddress(OutboundError):
    """An address that a client gave is not public https, or the operator does not allow it."""

    code = "forbidden_address"
    title = "The address is not allowed"


class UsageError(NigaoeError):
    """The request contradicts itself or asks for something that does not exist."""

    code = "usage"
    status = 400
    title = "The request makes no sense"


class MissingExtra(UsageError):
    """A package is needed that an extra of the distribution brings, and that is not installed."""

    code = "missing_extra"
    status = 500
    title = "A part of Nigaoe is not installed"


class InvalidSettings(UsageError):
    """An environment variable or configuration file holds something that Nigaoe cannot use."""

    code = "invalid_settings"
    status = 500
    title = "The settings cannot be used"


class UnknownStyle(UsageError):
    """No style of this name is installed."""

    code = "unknown_style"
    status = 422
    title = "There is no style of this name"


class UnknownGenerator(UsageError):
    """No generator of this name is installed."""

    code = "unknown_generator"
    status = 422
    title = "There is no generator of this name"


def error_tree(root: type[NigaoeError] = NigaoeError) -> Iterator[type[NigaoeError]]:
    """Yield every error class of the tree, parents before their children."""
    yield root
    for child in root.__subclasses__():
        yield from error_tree(child)
