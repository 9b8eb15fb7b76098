"""``verifield-edge evaluate``: how well the device's models do, on pictures that one brings."""

from __future__ import annotations

import functools
import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    err,
    out,
    print_json,
)
from edge.commands.compare import name_of, policy_in_force
from edge.commands.evaluate_parts import tell_liveness
from edge.commands.gallery_parts import progress
from edge.config import load_config
from edge.errors import InputError
from edge.evaluation.det_text import det_lines
from edge.evaluation.pad_examiner import open_examiner
from edge.evaluation.pad_figures import judge_figures
from edge.evaluation.pad_judging import MAX_JOBS, MAX_WINDOW_S, WINDOW_S
from edge.evaluation.pad_judging import judge_all as judge_presentations
from edge.evaluation.pad_manifest import read_manifest
from edge.evaluation.pad_media import without_words
from edge.evaluation.pad_report import About, notes_of, save_scores
from edge.evaluation.pairs import PairList, read_pairs
from edge.evaluation.report import PLOT_NAME, save_report, to_json, to_markdown
from edge.evaluation.templates import Maker, Templates, make_templates
from edge.evaluation.trial import Figures, judge_all, judge_pairs
from edge.interrupts import obey_stops
from edge.policy import LIVE_CHIP_PHOTO, LIVE_LIVE, Policy
from edge.station import open_vision
from edge.vision import DETECTOR_MODEL, Vision

DEFAULT_JOBS = 4
"""Processes at most, unless somebody asks for more: each holds networks of its own."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def evaluate() -> None:
    """How well the models of this device do, on pictures that you bring."""


@app.command()
@ends_with_exit_code
def match(
    pairs: Annotated[Path, typer.Option(help="pairs.txt of Labeled Faces in the Wild, or a CSV file.")],
    images: Annotated[Path, typer.Option(help="The folder that the list's paths start from.")],
    report: Annotated[
        Path | None, typer.Option(help="Write match.md, match.json and det.png into this folder.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Keep templates in this folder for the next run; default: the report's folder."),
    ] = None,
    all_against_all: Annotated[
        bool,
        typer.Option("--all-against-all", help="Compare every picture of the list with every other one."),
    ] = False,
    chip_photos: Annotated[
        bool,
        typer.Option(
            "--chip-photos", help="Make the second picture of each pair what a card's chip holds of it."
        ),
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how well faces are told apart: accuracy, error rates and operating points.

    A CSV file has the header path_a,path_b,same; paths start from --images, same is 1 or 0.

    With --report or --cache templates are kept, and a run that was broken off goes on where it was.

    Example: verifield-edge evaluate match --pairs pairs.txt --images lfw --report lfw-report
    """
    listed = read_pairs(pairs)
    if not images.is_dir():
        raise InputError(
            "NO_IMAGES",
            f"There is no folder {images}.",
            hint="Name the folder of the pictures with --images.",
        )
    settings = load_config(config, data_dir=data)
    policy = policy_in_force(settings)
    vision = open_vision(settings)
    first, second = _templates(vision, listed, images, cache or report, chip=chip_photos)
    domain = LIVE_CHIP_PHOTO if chip_photos else LIVE_LIVE
    threshold = policy.match.live_chip_photo if chip_photos else policy.match.live_live
    judge = judge_all if all_against_all else judge_pairs
    figures = judge(listed, first, second, threshold)
    about = {
        "model": vision.embedder.model_name,
        "model_sha256": vision.embedder.model_sha256,
        "detector": DETECTOR_MODEL,
        "domain": domain,
        "threshold_from": name_of(policy),
        "list": pairs.name,
    }
    _tell(figures, about, report, as_json=as_json)


def _templates(
    vision: Vision, listed: PairList, images: Path, cache: Path | None, *, chip: bool
) -> tuple[Templates, Templates]:
    """Of all pictures, and of their chip photos (the same again where no such photos are asked for)."""
    paths = [Path(os.path.normpath(images / name)) for name in listed.pictures]
    maker = Maker(vision.detector, vision.embedder)
    with progress("templates", quiet=False) as tell:
        first = make_templates(paths, maker, cache=cache, tell=tell)
    if not chip:
        return first, first
    photos = Maker(vision.detector, vision.embedder, chip=True)
    with progress("chip photos", quiet=False) as tell:
        return first, make_templates(paths, photos, cache=cache / "chip" if cache else None, tell=tell)


def _tell(figures: Figures, about: dict[str, Any], report: Path | None, *, as_json: bool) -> None:
    if report is not None:
        written = save_report(report, figures, about=about)
        err().print(f"Written to {report}: {', '.join(written)}", soft_wrap=True)
        if PLOT_NAME not in written:
            err().print("No plot: matplotlib is not installed (pip install matplotlib, or the extra demo).")
    if as_json:
        print_json(to_json(figures, about=about))
    else:
        out().print(to_markdown(figures, about=about), soft_wrap=True)
        out().print("\n".join(det_lines(figures.curve, figures.policy.threshold)), soft_wrap=True)


@app.command()
@ends_with_exit_code
def liveness(
    manifest: Annotated[
        Path, typer.Option(help="CSV file with the header path,label,instrument,subject,fps.")
    ],
    report: Annotated[
        Path | None, typer.Option(help="Write report.md, report.json and drawings into this folder.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="Write each presentation's score, and its cues', into this CSV file."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=MAX_WINDOW_S, help="How long a face in view is looked at.")
    ] = WINDOW_S,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_JOBS, help="Processes; default: one for each core, at most four."),
    ] = None,
    show_progress: Annotated[
        bool, typer.Option("--progress/--no-progress", help="Show a bar on standard error.")
    ] = True,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how well presentation attacks are refused (ISO/IEC 30107-3): APCER, BPCER and operating points.

    Each line of the list names a picture, a folder of frames or a video; its label is bona_fide or attack.
    Paths start from the list's folder. Instrument, subject and fps may be left out.

    Recordings answer no challenge, so they are judged by the passive part alone.

    Example: verifield-edge evaluate liveness --manifest presentations.csv --report liveness-report
    """
    listed = read_manifest(manifest)
    settings = load_config(config, data_dir=data)
    without_words()
    obey_stops()  # so that processes end with the first one
    opener = functools.partial(open_examiner, settings.models_dir)
    examiner = opener()
    count = jobs or min(DEFAULT_JOBS, len(os.sched_getaffinity(0)))
    begin = (lambda: examiner) if count == 1 else opener
    with progress("presentations", quiet=not show_progress) as tell:
        judged = judge_presentations(listed.presentations, begin, seconds=seconds, jobs=count, tell=tell)
    figures = judge_figures(judged, Policy().liveness.min_score)
    about = About(
        manifest=manifest.name,
        seconds=seconds,
        software=f"verifield {version('verifield')}",
        threshold_from="min_score of the policy that is built in",
        models=dict(examiner.models),
        notes=(*listed.notes, *notes_of(figures)),
    )
    if scores is not None:
        save_scores(scores, figures)
    tell_liveness(figures, about, report, as_json=as_json)
