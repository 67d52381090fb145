"""Scripts of the page in node, with a server that only notes what is sent."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import fact_clip_app

STATIC = Path(fact_clip_app.__file__).parent / "static"
BEGINNING = """
globalThis.localStorage = {getItem: () => null, setItem() {}};
globalThis.document = {addEventListener() {}, body: {setAttribute() {}}, querySelector: () => null};
globalThis.addEventListener = () => {};
globalThis.location = {hash: ""};
globalThis.Timeline = class {};
const sent = [];
globalThis.fetch = async (path, options) => {
    if (options?.body) sent.push(JSON.parse(options.body));
    return {ok: true, json: async () => ({revision: 1, video_revision: 4, added: [], undo: null, redo: null})};
};
const {state, update} = await import(root + "common/state.js");
const labelled = (start, stop, label) => ({start, stop, label, origin: "drawn", comment: "", annotator: ""});
const shown = (segments, drafts = []) => update({
    toast: null, trackId: 1, frame: 0,
    project: {actions: [], project: {}, model: {chosen: ""}, background: ["background"]},
    video: {id: "v", revision: 3, times: [0, 1, 2, 3, 4, 5, 6, 7, 8], tracks: [{id: 1, segments}], drafts,
        draft_track: 1, background: ["background"]},
});
const changes = () => sent.map(({track, added}) => [track, ...added.map(({start, label}) => [start, label])]);
"""


def said(script: str):
    """What a script prints, as JSON."""
    if shutil.which("node") is None:
        pytest.skip("no node")
    lines = f"const root = {json.dumps(f'{STATIC.as_uri()}/')};{BEGINNING}{script}"
    command = ["node", "--input-type=module", "--eval", lines]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_class_that_becomes_background_changes_drafts_and_comparisons():
    script = """
    const {predictionSettings} = await import(root + "common/project.js");
    const {remove} = await import(root + "label/labelling.js");
    shown([], [{start: 0, stop: 8, label: "pour", confidence: 1}]);
    const before = JSON.stringify(predictionSettings());
    update({project: {...state.project, background: ["idle", "background"]}});
    remove();
    console.log(JSON.stringify([before !== JSON.stringify(predictionSettings()), changes()]));
    process.exit();
    """
    assert said(script) == [True, [[1, [0, "idle"]]]]


def test_a_point_event_that_is_moved_onto_another_says_so():
    script = """
    const {moved} = await import(root + "label/labelling.js");
    shown([labelled(3, 3, "peck"), labelled(5, 5, "call")]);
    moved({row: 0, index: 0, start: 5, stop: 5});
    console.log(JSON.stringify([changes(), state.toast?.text]));
    process.exit();
    """
    line = '"call" was at this frame and is replaced. Use a different track for both.'
    assert said(script) == [[[1, [5, "peck"]]], line]


def test_a_refused_edit_is_not_applied_to_another_track():
    script = """
    const {repeatRefused} = await import(root + "common/edits.js");
    shown([labelled(0, 8, "mine")]);
    const edit = (track) => ({video: "v", body: {track, removed: [], added: [labelled(2, 5, "pour")]}});
    update({refused: [edit(2)]});
    repeatRefused();
    const lines = [changes(), state.toast?.text];
    update({refused: [edit(1)]});
    repeatRefused();
    console.log(JSON.stringify([...lines, changes(), state.toast]));
    process.exit();
    """
    line = 'Your edit of "pour" cannot be applied again: its track is not shown any more.'
    assert said(script) == [[], line, [[1, [0, "mine"], [2, "pour"], [5, "mine"]]], None]


def test_a_point_event_is_not_merged():
    script = """
    const {partToMerge} = await import(root + "label/labelling.js");
    shown([labelled(1, 3, "peck"), labelled(3, 3, "peck")]);
    update({chosen: null, frame: 2});
    console.log(JSON.stringify(partToMerge() ?? null));
    process.exit();
    """
    assert said(script) is None


def test_a_class_is_followed_by_its_id_and_not_by_its_colour():
    script = """
    const {accept} = await import(root + "common/project.js");
    const action = ([id, name]) => ({id, name, colour: 0});
    const named = (...actions) => ({project: {name: "p"}, actions: actions.map(action)});
    shown([]);
    const pens = [];
    for (const next of [named(["a", "walk"]), named(["a", "stride"]), named(["b", "run"], ["c", "rest"])]) {
        accept(next);
        pens.push([state.pen, state.toast?.text.slice(0, 24) ?? ""]);
        update({toast: null});
    }
    console.log(JSON.stringify(pens));
    process.exit();
    """
    assert said(script) == [["walk", ""], ["stride", ""], ["run", 'There is no class "strid']]


@pytest.mark.parametrize("status", [500, 409])
def test_a_deletion_that_the_server_fails_to_store_is_offered_again(status):
    script = f"""
    const fetched = globalThis.fetch;
    const there = [labelled(0, 4, "pour"), labelled(5, 8, "stir")];
    const {{edit, repeatRefused}} = await import(root + "common/edits.js");
    shown(there);
    globalThis.fetch = async (path, options) => path.endsWith("edits")
        ? {{ok: false, status: {status}, json: async () => ({{error: "no"}})}}
        : {{ok: true, json: async () => ({{...state.video, revision: 3, tracks: [{{id: 1, segments: there}}]}})}};
    edit({{removed: [there[0]], added: []}});
    await new Promise((go) => setTimeout(go, 50));
    const lines = [state.video.tracks[0].segments.length, state.toast?.button?.title ?? null, state.refused.length];
    globalThis.fetch = fetched;
    repeatRefused();
    await new Promise((go) => setTimeout(go, 50));
    lines.push(sent.map(({{removed, added}}) => [removed.map(({{label}}) => label), added.length]));
    console.log(JSON.stringify([...lines, state.refused.length]));
    process.exit();
    """
    *before, repeated, n_left = said(script)
    assert before == [2, "Apply my edit again", 1] if status == 500 else [2, None, 0]
    assert repeated == ([[["pour"], 0]] if status == 500 else [])
    assert n_left == 0


@pytest.mark.parametrize(
    ("points", "groups"),
    [
        ("mouse10DLC_net.csv", [["mouse1.mp4"], ["mouse10.mp4", "mouse10DLC_net.csv"]]),
        ("mouse1DLC_net.csv", [["mouse1.mp4", "mouse1DLC_net.csv"], ["mouse10.mp4"]]),
        ("mouse10_filtered.csv", [["mouse1.mp4"], ["mouse10.mp4", "mouse10_filtered.csv"]]),
        ("mouse100.csv", [["mouse1.mp4"], ["mouse10.mp4"], ["mouse100.csv"]]),
    ],
)
def test_points_go_to_the_film_with_whose_whole_name_they_begin(points, groups):
    script = f"""
    const {{take}} = await import(root + "label/files.js");
    globalThis.XMLHttpRequest = class {{
        upload = {{}};
        status = 200;
        open() {{}}
        send({{name}}) {{
            this.response = {{file: name}};
            this.onload();
        }}
    }};
    shown([]);
    update({{project: {{...state.project, videos: []}}}});
    const fetched = globalThis.fetch;
    globalThis.fetch = async (path, options) => {{
        await fetched(path, options);
        return {{ok: true, json: async () => state.project}};
    }};
    const text = async () => "scorer,";
    await take(["mouse1.mp4", "mouse10.mp4", "{points}"].map((name) => ({{name, text, slice: () => ({{text}})}})));
    console.log(JSON.stringify(sent.map(({{files}}) => files)));
    process.exit();
    """
    assert said(script) == groups


def test_a_part_changes_its_state_only_along_arrows():
    script = """
    const {become, sync} = await import(root + "common/sync.js");
    become("labels", "sending");
    let problem = "";
    try {
        become("labels", "sending");
    } catch (error) {
        problem = error.message;
    }
    console.log(JSON.stringify([sync, problem]));
    """
    states, problem = said(script)
    assert states == {"project": "current", "labels": "sending", "video": "current"}
    assert problem == 'labels: no arrow from "sending" to "sending"'


def test_changes_during_a_fetch_are_fetched_together_afterwards():
    script = """
    const {catchUp, follow} = await import(root + "common/project.js");
    const {sync} = await import(root + "common/sync.js");
    shown([]);
    const states = [];
    let followed = 0;
    follow(() => followed += 1);
    globalThis.fetch = async () => {
        states.push(sync.project);
        if (states.length === 1) {
            catchUp();
            catchUp();
            states.push(sync.project);
        }
        return {ok: true, json: async () => state.project};
    };
    await catchUp();
    console.log(JSON.stringify([states, followed, sync.project]));
    process.exit();
    """
    assert said(script) == [["fetching", "outdated", "fetching"], 2, "current"]


def test_an_edit_is_sent_again_while_the_server_is_away():
    script = """
    const {afterEdits, edit} = await import(root + "common/edits.js");
    const {sync} = await import(root + "common/sync.js");
    shown([]);
    const answer = globalThis.fetch;
    globalThis.fetch = async () => {
        globalThis.fetch = answer;
        throw new TypeError("offline");
    };
    edit({removed: [], added: [labelled(0, 4, "pour")]});
    const during = [sync.labels];
    let isStored = false;
    afterEdits(() => isStored = true);
    await new Promise((go) => setTimeout(go, 50));
    during.push(sync.labels, state.unsent, isStored, state.toast.text.slice(0, 14));
    await new Promise((go) => setTimeout(go, 2500));
    console.log(JSON.stringify([during, changes(), sync.labels, state.unsent, isStored, state.toast]));
    process.exit();
    """
    during, sent, *after = said(script)
    assert during == ["sending", "retrying", 1, False, "Not stored yet"]
    assert sent == [[1, [0, "pour"]]]
    assert after == ["idle", 0, True, None]


@pytest.mark.parametrize("tracks", ["[]", "undefined"])
def test_an_undo_whose_answer_cannot_be_shown_is_not_repeated(tracks):
    """Somebody has switched Blind on, so the answer has no tracks, or the answer is damaged."""
    script = f"""
    const {{edit, undo}} = await import(root + "common/edits.js");
    shown([labelled(0, 4, "pour")]);
    const paths = [];
    const answer = {{id: "v", revision: 4, video_revision: 5, undo: null, redo: null, tracks: {tracks}}};
    globalThis.fetch = async (path, {{method}} = {{}}) => {{
        if (method === "POST") paths.push(path.split("/").at(-1));
        return {{ok: true, json: async () => answer}};
    }};
    process.on("uncaughtException", () => {{}});
    process.on("unhandledRejection", () => {{}});
    undo();
    await new Promise((resume) => setTimeout(resume, 30));
    edit({{removed: [], added: [labelled(4, 6, "stir")]}});
    await new Promise((resume) => setTimeout(resume, 30));
    console.log(JSON.stringify([paths, state.unsent]));
    process.exit();
    """
    assert said(script) == [["undo", "edits"], 0]
