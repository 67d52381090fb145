"""Sliders of the page for the settings of decoding."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Control:
    """The option and the slider of a setting."""

    option: str  # of ``fact-clip segment``
    label: str
    min: float
    max: float
    step: float
    off: bool = False  # 0 stands for None


CONTROLS = {
    "threshold": Control(
        "--background-threshold", "Background threshold", min=0, max=1, step=0.01, off=True
    ),
    "gamma": Control("--gamma", "Favour untrained actions (gamma)", min=-10, max=10, step=0.1),
    "switch_penalty": Control(
        "--switch-penalty", "Penalty for switching actions", min=0, max=20, step=0.1
    ),
    "shortest": Control("--minimal-duration", "Shortest segment (s)", min=0, max=10, step=0.1),
    "reject": Control(
        "--reject", "Share of uncertain segments to reject", min=0, max=0.5, step=0.01, off=True
    ),
}
"""Field of `DecodeSettings` -> its control."""
