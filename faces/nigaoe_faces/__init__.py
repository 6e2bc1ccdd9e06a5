"""From untrusted bytes to an aligned face, and from a drawn face back into the photo."""

from nigaoe_core.cpu_runtime import wait_asleep

wait_asleep()
