"""/api/sides/…/errors, /api/marks: what a run gets wrong, picture by picture, and what people mark.

N pictures of a split · K classes of the run.
"""

import asyncio
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Body, Query, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from alexnet.choices import Embedding
from alexnet.measure.accuracy import wilson
from alexnet.measure.evaluation import Evaluation, class_map, filled_splits
from alexnet.serve.marks import Marks
from alexnet.serve.open_networks import Absent
from alexnet.serve.pages.routes import LONGEST_NAME, OfNetwork, PictureId, Routes, TheExplorer
from alexnet.serve.run_cache import VIEWS, RunCache

routes = Routes(tags=["errors"])
WHOLE_MATRIX, PART = 40, 12
"""Classes up to which a confusion matrix is shown whole; else of so many, the most confused."""
PAIRS = 60
"""Confused pairs that are listed."""
PAGE = 48
"""Pictures of a page of a gallery."""
Split = Annotated[str, Query(max_length=LONGEST_NAME, description="empty: the split that all pages use")]
Class = Annotated[int | None, Query(ge=0, lt=1 << 20, description="the number of a class of the run")]
Words = Annotated[str, Query(max_length=200)]


def judged(cache: RunCache) -> Evaluation:
    """The answers by ten views. Raises Absent if the split was not evaluated."""
    if (found := cache.evaluations) is None:
        raise Absent("these pictures have not been classified yet")
    return found[max(VIEWS)]


@routes.page("/errors")
def errors(context: OfNetwork, split: Split = "") -> dict[str, Any]:
    """The errors of a split in figures: by class, with the 95 % interval of their share; null if the split was not
    evaluated. What other passes found so far."""
    cache = context.cache_of(split)
    store, known = cache.prepared.store, cache.evaluations is not None
    return {
        "split": cache.prepared.split,
        "splits": {name: len(store.splits[name]) for name in filled_splits(store)},
        "found": in_figures(judged(cache)) if known else None,
        "nearest": cache.nearest is not None,
    }


def in_figures(found: Evaluation) -> dict[str, Any]:
    counts = found.counts
    return {
        "views": found.views,
        "pictures": counts.pictures,
        "wrong": counts.top1_errors,
        "interval": list(wilson(counts.top1_errors, counts.pictures)),
        "seen": None if found.seen is None else int(found.seen.sum()),
    }


@routes.page("/errors/matrix")
def matrix(context: OfNetwork, split: Split = "", classes: Words = "") -> dict[str, Any]:
    """The confusion matrix of chosen classes (numbers with commas; by default of all, of many the most confused): how
    many pictures of each class (rows) got each answer. And the pairs that are confused most."""
    found = judged(context.cache_of(split))
    pairs, many = found.confused(PAIRS), len(found.class_names)
    chosen = [int(one) for one in classes.split(",") if one.isdecimal() and int(one) < many]
    if not chosen and many <= WHOLE_MATRIX:
        chosen = list(range(many))
    elif not chosen:
        chosen = list(dict.fromkeys(number for pair in pairs for number in (pair.true, pair.predicted)))[:PART]
    place = np.full(many, len(chosen))
    place[chosen] = np.arange(len(chosen))
    counts_cc = np.zeros((len(chosen) + 1, len(chosen) + 1), np.int64)
    np.add.at(counts_cc, (place[found.labels], place[found.predicted]), 1)
    return {
        "classes": chosen,
        "counts": counts_cc[:-1, :-1].tolist(),
        "elsewhere": counts_cc[:-1, -1].tolist(),
        "whole": len(chosen) == many,
        "pairs": [vars(pair) for pair in pairs],
        "confused": len(np.unique((found.labels * many + found.predicted)[found.labels != found.predicted])),
    }


@routes.page("/errors/pictures", marked=True)
def pictures(
    context: OfNetwork,
    split: Split = "",
    true: Class = None,
    answered: Class = None,
    right: bool | None = None,
    marked: bool | None = None,
    search: Words = "",
    order: Literal["worst", "store"] = "store",
    page: Annotated[int, Query(ge=0, lt=1 << 20)] = 0,
) -> dict[str, Any]:
    """A page of the pictures of a split that have this class, this answer, are right or wrong, are marked or not, and
    whose file or class contains the words; in the store's order or the lowest probability of the true class first."""
    cache = context.cache_of(split)
    found, keys = judged(cache), cache.split.keys
    chosen_n = np.ones(len(found.labels), bool)
    if true is not None:
        chosen_n &= found.labels == true
    if answered is not None:
        chosen_n &= found.predicted == answered
    if right is not None:
        chosen_n &= (found.labels == found.predicted) == right
    if marked is not None and context.explorer.marks:
        chosen_n &= numbered(context.explorer.marks, cache.prepared.split, len(chosen_n)) == marked
    if words := search.strip().lower():
        alike = np.array([words in name.lower() for name in found.class_names])
        chosen_n &= alike[found.labels] | np.array([words in str(key).lower() for key in keys])
    numbers = np.flatnonzero(chosen_n)
    if order == "worst":
        numbers = numbers[np.argsort(-found.nlls[numbers], kind="stable")]
    shown, nearest = numbers[page * PAGE : (page + 1) * PAGE].tolist(), cache.nearest or {}
    return {
        "total": len(numbers),
        "of": len(chosen_n),
        "page": page,
        "pages": max(1, -(-len(numbers) // PAGE)),
        "pictures": [
            {
                "number": number,
                "file": str(keys[number]),
                "true": int(found.labels[number]),
                **answer_of(found, number),
                "nearest": nearest.get(str(number)),
            }
            for number in shown
        ],
    }


def answer_of(found: Evaluation, number: int) -> dict[str, Any]:
    """The class that a picture was taken for, and the probabilities of its own and of that."""
    return {
        "answered": int(found.predicted[number]),
        "true_probability": float(np.exp(-found.nlls[number])),
        "answered_probability": float(found.confidences[number]),
    }


def numbered(marks: Marks, split: str, count: int) -> np.ndarray:
    """bool (N,): which pictures of a split are marked."""
    places = (one.rpartition(".") for one in marks.found()[0])
    return np.isin(np.arange(count), [int(number) for name, _, number in places if name == split])


@routes.page("/errors/suspects")
def suspects(context: OfNetwork) -> dict[str, Any]:
    """Suspect pictures of all splits, as `alexnet check --run` lists them, with their numbers; null if they were not
    looked for."""
    cache = context.needed_cache
    found, splits = cache.suspects, cache.prepared.store.splits
    wanted = {(one["split"], one["file"]) for one in found or ()}
    number_of = {
        (name, str(key)): number
        for name, split in splits.items()
        if found
        for number, key in enumerate(split.keys)
        if (name, str(key)) in wanted
    }
    listed = found and [one | {"number": number_of.get((one["split"], one["file"]))} for one in found]
    return {"suspects": listed if found is not None else None, "of": sum(map(len, splits.values()))}


@routes.page("/errors/map")
def on_a_plane(context: OfNetwork, split: Split = "", method: Embedding = "t-sne") -> dict[str, Any]:
    """The pictures on a plane, those alike to the network close together, each with its answer; null if they were not
    laid out."""
    cache = context.cache_of(split)
    if (found := cache.picture_map(method)) is None:
        return {"pictures": None}
    answers, folder = judged(cache), context.opened.run.folder
    number_of = class_map(folder, cache.prepared.store, cache.split).tolist()
    listed = [
        one | {"label": number_of[one["label"]], **answer_of(answers, one["number"])} for one in found["pictures"]
    ]
    return found | {"class_names": list(folder.class_names), "pictures": listed, "of": len(answers.labels)}


# ── marks ────────────────────────────────────────────────────────────────────────────────────────────────────────


def marks_of(context: TheExplorer) -> Marks:
    if context.marks is None:
        raise Absent("no prepared pictures are here; start the explorer with --store STORE")
    return context.marks


@routes.get("/marks")
async def marks(explorer: TheExplorer) -> JSONResponse:
    """What people marked, and the file that it is written to."""
    return JSONResponse(await asyncio.to_thread(marks_of(explorer).as_json))


@routes.post("/marks/{picture}")
async def mark(
    request: Request,
    explorer: TheExplorer,
    picture: PictureId,
    kind: Annotated[Literal["right", "wrong", "leave out"] | None, Body()] = None,
    class_name: Annotated[str, Body(alias="class", max_length=1000)] = "",
) -> JSONResponse:
    """Mark a prepared picture (as val.12), or take its mark away. The body is JSON, which pages of other origins can't
    send; it is written to the file of corrections at once."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "marks are sent as JSON")
    found = marks_of(explorer)
    await asyncio.to_thread(found.mark, picture, kind, class_name)
    return JSONResponse(await asyncio.to_thread(found.as_json))
