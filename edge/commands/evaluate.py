"""``verifield-edge evaluate``: how well the device's models do, on pictures that one brings."""

from __future__ import annotations

import os
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
from edge.commands.gallery_parts import progress
from edge.config import load_config
from edge.errors import InputError
from edge.evaluation.pairs import PairList, read_pairs
from edge.evaluation.report import PLOT_NAME, save_report, to_json, to_markdown
from edge.evaluation.templates import Maker, Templates, make_templates
from edge.evaluation.trial import Figures, judge_all, judge_pairs
from edge.policy import LIVE_CHIP_PHOTO, LIVE_LIVE, Policy
from edge.station import open_vision
from edge.vision import DETECTOR_MODEL, Vision

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
    vision = open_vision(load_config(config, data_dir=data))
    first, second = _templates(vision, listed, images, cache or report, chip=chip_photos)
    domain = LIVE_CHIP_PHOTO if chip_photos else LIVE_LIVE
    threshold = Policy().match.live_chip_photo if chip_photos else Policy().match.live_live
    judge = judge_all if all_against_all else judge_pairs
    figures = judge(listed, first, second, threshold)
    about = {
        "model": vision.embedder.model_name,
        "model_sha256": vision.embedder.model_sha256,
        "detector": DETECTOR_MODEL,
        "domain": domain,
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
