"""A whole pair within a time budget on one device: stages of training processes, resumable, packed, and reported.

Only `report` imports torch, in a process of its own: the process that supervises the others stays small and never
touches the device.
"""
