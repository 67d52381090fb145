"""The parts of this package obey the laws of FACT-CLIP."""

from fact_clip.testing import check_encoder, check_format, check_head


def test_parts():
    check_encoder("tiles")
    check_encoder("tiles:8")
    check_head("linear")
    check_format("spans")
