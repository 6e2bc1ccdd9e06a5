import pytest
import torch

from nigaoe_core.errors import InversionError
from nigaoe_model.device_errors import DeviceTrouble, device_trouble

LOST, MEMORY = DeviceTrouble.LOST, DeviceTrouble.MEMORY
KERNEL_NOTE = "\nCUDA kernel errors might be asynchronously reported at some other API call."


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered" + KERNEL_NOTE), LOST),
        (torch.AcceleratorError("unspecified launch failure"), LOST),
        (RuntimeError("CUDA error: device-side assert triggered"), LOST),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"), LOST),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), LOST),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), MEMORY),
        (torch.AcceleratorError("CUDA error: out of memory"), MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), MEMORY),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), MEMORY),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.07 GB)"), MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."), MEMORY),
        (MemoryError(), MEMORY),
        (torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing"), None),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"), None),
        (RuntimeError("The size of tensor a (4) must match the size of tensor b (5)"), None),
        (ValueError("a face about a CUDA error"), None),
    ],
)
def test_errors_are_told_apart(error: Exception, trouble: DeviceTrouble | None) -> None:
    """By their class and by the words that PyTorch, cuBLAS, cuDNN and the allocators use."""
    assert device_trouble(error) is trouble


def raised_while(first: Exception, second: Exception, *, aside: bool = False) -> Exception:
    """What comes of one error that is raised while another is handled."""
    try:
        try:
            raise first
        except type(first):
            if aside:
                raise second from None
            raise second  # noqa: B904 - as PyTorch's own does.
    except type(second) as error:
        return error


def test_what_is_behind_an_error_counts() -> None:
    """Ending a capture that ran out of memory raises another error; ours are raised from what they translate."""
    ended = raised_while(torch.OutOfMemoryError("too little"), ValueError("the capture could not be ended"))
    assert device_trouble(ended) is MEMORY
    translated = InversionError("No likeness.")
    translated.__cause__ = torch.AcceleratorError("unspecified launch failure")
    assert device_trouble(translated) is LOST


def test_what_was_put_aside_does_not_count() -> None:
    """An error that was raised ``from None`` has left the other behind."""
    assert device_trouble(raised_while(torch.OutOfMemoryError("too little"), ValueError("shape"), aside=True)) is None
