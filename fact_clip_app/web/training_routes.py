"""Requests about training on labels."""

from fact_clip_app.api import answers, request_bodies
from fact_clip_app.teach import learning
from fact_clip_app.teach.labelled_videos import check_number, labelled_videos, untrained_points
from fact_clip_app.web.access import Asker, Served, check_owner
from fact_clip_app.web.route_options import api_router

router = api_router()


@router.post("/train")
def train(workspace: Served, body: request_bodies.Training) -> answers.Empty:
    """Start to train a new model, or the run in use, on the labels of a track."""
    check_owner(workspace, body.person)
    learning.learn(workspace, body)
    return {}


@router.delete("/train")
def cancel_training(workspace: Served) -> answers.Empty:
    """Stop the training run that is waiting or active."""
    workspace.queue.cancel(lambda job: job is workspace.training)
    return {}


@router.get("/train")
def incomplete(workspace: Served, track: str, person: Asker) -> answers.Incomplete:
    """Return the labelled videos of a track that is not marked as fully labelled."""
    examples = labelled_videos(workspace, track, person.annotator)
    check_number(examples)
    videos: list[answers.OpenVideo] = [
        {
            "id": example.video.id,
            "name": example.video.name,
            "labelled_to": example.labelled_to,
            "duration": example.video.duration,
        }
        for example in examples
        if example.is_open
    ]
    return {"videos": videos, "points": untrained_points(examples)}
