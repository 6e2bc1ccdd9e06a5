"""From untrusted bytes to an aligned face, and from a drawn face back into the photo."""

from nigaoe_core.openmp import wait_asleep

wait_asleep()
