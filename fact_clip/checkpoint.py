"""The former names of `fact_clip.run` and `fact_clip.weights`."""

from fact_clip.core.messages import deprecated

__getattr__ = deprecated(
    __name__,
    {
        "Run": "fact_clip.run:Run",
        "load_strictly": "fact_clip.weights:load_strictly",
        "read_weights": "fact_clip.weights:read_weights",
        "run_folder": "fact_clip.run:run_folder",
        "save_weights": "fact_clip.weights:save_weights",
    },
)
