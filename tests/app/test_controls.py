"""Sliders, options and settings of decoding belong together."""

from __future__ import annotations

from fact_clip.cli.errors import OPTIONS
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip_app.api.decoding_controls import CONTROLS


def test_each_setting_has_a_slider_and_an_option():
    assert list(CONTROLS) == list(DecodeSettings.model_fields)
    for name, control in CONTROLS.items():
        assert OPTIONS[name] == control.option
        assert control.min < control.max
