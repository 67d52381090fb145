"""Devices, precision, and the processes of a launch."""

from fact_clip.devices.device import pick_device

__all__ = ["pick_device"]
