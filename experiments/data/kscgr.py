"""Build KSCGR (people cook eggs) from its public annotations.

    python experiments/data/kscgr.py CLONE ROOT

The package contains the same data set: `fact_clip.datasets.kscgr` packs the folder that this script
writes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from building import Builder, Recording, Source, run_builder, write_mapping, write_recordings
from numpy.typing import NDArray

from fact_clip.core.io import read_lines
from fact_clip.datasets.splits import Split, write_splits

# Menus of each subject. The repository also annotates five recordings that are not used here.
MENUS = {
    1: ("boiledegg", "hamegg", "kinshiegg", "scrambledegg"),
    2: ("boiledegg", "hamegg", "kinshiegg", "omelette"),
    3: ("boiledegg", "hamegg", "kinshiegg", "omelette", "scrambledegg"),
    4: ("boiledegg", "omelette", "scrambledegg"),
    5: ("boiledegg", "kinshiegg", "omelette", "scrambledegg"),
    6: ("boiledegg", "hamegg", "kinshiegg", "omelette", "scrambledegg"),
    7: ("boiledegg", "hamegg", "kinshiegg", "omelette", "scrambledegg"),
}
RECORDINGS = tuple((subject, menu) for subject, menus in MENUS.items() for menu in menus)

STRIDE = 5  # frames of the video for each row
IMAGE_SIZE = 256  # pixels
MOST_MOTION = 0.2  # image widths between two rows
BACKGROUND = "no action"
PERSON = "person"


@dataclass(frozen=True)
class Relation:
    """A subject does something with an object, from the first to the last frame, inclusive."""

    first: int
    last: int
    subject: str
    verb: str
    object_name: str


@dataclass(frozen=True)
class Box:
    """The box of an object in a frame of the video, in pixels: corner, width and height."""

    frame: int
    object_name: str
    geometry: tuple[int, int, int, int]

    @property
    def area(self) -> int:
        """Area in pixels."""
        return self.geometry[2] * self.geometry[3]


def read_boxes(path: Path) -> Iterator[Box]:
    """Yield the boxes of a file, whose lines are: frame, object, (x,y,width,height), number, image."""
    for line in read_lines(path, "the annotations of the repository"):
        cells = line.split("\t")
        if not cells[0].strip().isdigit():
            continue  # the header, or the date at the end
        x, y, width, height = cells[2].strip("()").split(",")
        geometry = (int(x), int(y), int(width), int(height))
        yield Box(int(cells[0]), cells[1], geometry)


def read_relations(path: Path) -> list[Relation]:
    """Read the relations of a file, whose lines are: first-last, subject, verb, object."""
    relations = []
    for line in read_lines(path, "the annotations of the repository"):
        cells = line.split()
        if not cells or not cells[0][0].isdigit():
            continue  # the header, or an empty line
        first, _, last = cells[0].partition("-")
        relations.append(Relation(int(first), int(last), *cells[1:]))
    return relations


def box_table(boxes: Iterable[Box], objects: Sequence[str]) -> NDArray[np.float64]:
    """Arrange the largest box of each object in every fifth frame.

    Args:
        boxes: Boxes of a recording.
        objects: Names of the objects.

    Returns:
        Corner, width and height in pixels (rows, objects, 4). An absent object has zeros.
    """
    largest: dict[tuple[int, int], Box] = {}
    last_frame = 0
    for box in boxes:
        last_frame = max(last_frame, box.frame)
        place = (box.frame // STRIDE, objects.index(box.object_name))
        if box.frame % STRIDE == 0 and (place not in largest or box.area > largest[place].area):
            largest[place] = box

    table = np.zeros((last_frame // STRIDE + 1, len(objects), 4))
    for place, box in largest.items():
        table[place] = box.geometry
    return table


def features_of(table: NDArray[np.float64]) -> NDArray[np.float16]:
    """Compute the columns of features: presence, motion, centres, and sizes of the boxes.

    Args:
        table: Boxes in pixels (rows, objects, 4).

    Returns:
        Features (rows, 6 * objects).
    """
    n_rows = len(table)
    is_present = table[:, :, 2] > 0
    corners = table[:, :, :2]
    sizes = table[:, :, 2:]

    distances = np.abs(np.diff(corners, axis=0)).sum(axis=2) / IMAGE_SIZE
    motion = np.zeros(is_present.shape)
    was_present = is_present[1:] & is_present[:-1]
    motion[1:] = np.where(was_present, np.minimum(distances, MOST_MOTION) / MOST_MOTION, 0)

    centres = (corners + sizes / 2) / IMAGE_SIZE
    columns = [
        is_present,
        motion,
        centres.reshape(n_rows, -1),
        (sizes / IMAGE_SIZE).reshape(n_rows, -1),
    ]
    return np.concatenate(columns, axis=1).astype(np.float16)


def action_name(relations: Iterable[Relation]) -> str:
    """Name the action of the relations of one frame.

    Cutting counts before moving with a tool, then moving by hand, then holding. If several objects
    fit, the first one in alphabetical order counts.
    """
    actions = []
    for relation in relations:
        object_name = relation.object_name.replace("_", " ")
        tool = relation.subject.replace("_", " ")
        if relation.verb == "cutting":
            actions.append((0, f"cut {object_name}"))
        elif relation.verb == "moving" and tool != PERSON:
            actions.append((1, f"move {object_name} with {tool}"))
        elif relation.verb == "moving":
            actions.append((2, f"move {object_name}"))
        elif relation.verb == "holding":
            actions.append((3, f"hold {object_name}"))
    return min(actions, default=(4, BACKGROUND))[1]


def labels_of(relations: Sequence[Relation], n_rows: int) -> list[str]:
    """Return the action name of each row."""
    labels = []
    for row in range(n_rows):
        frame = row * STRIDE
        current = [relation for relation in relations if relation.first <= frame <= relation.last]
        labels.append(action_name(current))
    return labels


def build(clone: Path, root: Path, recordings: Sequence[tuple[int, str]] = RECORDINGS) -> None:
    """Write the data set.

    Args:
        clone: Clone of the annotations.
        root: Folder of the data set, which contains objects.txt.
        recordings: Subject and menu of each recording.
    """
    objects = read_lines(root / "objects.txt", "the names of the objects")
    built: dict[str, Recording] = {}
    for subject, menu in recordings:
        boxes = read_boxes(clone / "bounding boxes" / f"data{subject}-{menu}.txt")
        features = features_of(box_table(boxes, objects))
        relations = read_relations(clone / "relations" / f"{subject}-{menu}.txt")
        labels = labels_of(relations, len(features))
        built[f"subj{subject}_{menu}"] = Recording(features, labels)
    write_recordings(root, built)

    class_names = {BACKGROUND}
    for recording in built.values():
        class_names.update(recording.labels)
    write_mapping(root, sorted(class_names))

    splits = []
    for subject in sorted({subject for subject, _ in recordings}):
        test = tuple(name for name in built if name.startswith(f"subj{subject}_"))
        train = tuple(name for name in built if name not in test)
        splits.append(Split(train=train, test=test, tested=(str(subject),)))
    write_splits(root, splits)
    shutil.copyfile(clone / "LICENSE", root / "LICENSE")


def source_paths() -> tuple[str, ...]:
    """Return the files that are read."""
    paths = ["LICENSE"]
    for subject, menu in RECORDINGS:
        paths.append(f"bounding boxes/data{subject}-{menu}.txt")
        paths.append(f"relations/{subject}-{menu}.txt")
    return tuple(paths)


SOURCE = Source(
    repository="rogergranada/kscgr_annotation",
    commit="fd127f2e1a975cfc46a026b1019f441d68a843b3",
    paths=source_paths(),
)
BUILDER = Builder(name="kscgr", sources=(SOURCE,), build=build)

if __name__ == "__main__":
    raise SystemExit(run_builder(BUILDER, __doc__))
