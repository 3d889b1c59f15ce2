"""What `alexnet see` does, for any caller: each method from a run and pictures to a PNG and a JSON file.

Every function writes `NAME.png` and `NAME.json` into the folder `out` and returns what it found. Results of other
pictures, runs or options that have the same name are kept: the name then ends in a digest of what it was made of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from alexnet.data.store.read import Store
from alexnet.errors import UsageError
from alexnet.files.tensors import tensor_digest
from alexnet.measure.evaluation import Progress, check_size, part_of
from alexnet.measure.run import Run
from alexnet.report.results import Claim, Folder, identity
from alexnet.see import charts, figures
from alexnet.see.activation_statistics import ActivationStatistics, measure_activations
from alexnet.see.correspondence import Correspondence, correspondence_of
from alexnet.see.deconvnet import Method, NormRule, Overlap, Projections, project
from alexnet.see.diagnosis import PATTERNS, Filters, diagnose, linear_pattern
from alexnet.see.evolution import Evolution, evolve
from alexnet.see.forward_pass import centre_views, inputs_of, records_of, run_forward
from alexnet.see.invariance import Fill, Invariance, Normalisation, Transformation, invariance_of
from alexnet.see.keypoints import AnnotatedPicture, in_view, region_in_view
from alexnet.see.occlusion import Occlusion, Square, occlude
from alexnet.see.patches import patches_of
from alexnet.see.top import Top, find_top
from alexnet.see.units import Unit, evenly_spread, strongest_units


def class_number(run: Run, words: str) -> int:
    """The output of a class given by its id or name. Raises UsageError, naming some, if there is none."""
    for known in (run.class_ids, run.class_names):
        if words in known:
            return known.index(words)
    some = ", ".join(run.class_names[:5])
    raise UsageError(f"there is no class {words!r}. The run's classes are: {some}, …")


# ── single pictures ──────────────────────────────────────────────────────────────────────────────────────────────


def write_projection(
    run: Run,
    picture: str,
    out: Folder,
    *,
    layer: str,
    channels: Sequence[int] | int = 9,
    place: tuple[int, int] | None = None,
    whole: bool = False,
    method: Method = "deconvnet",
    norms: NormRule | None = None,
    overlap: Overlap = "add",
) -> Projections:
    """Units of one layer on one picture. `channels`: which, or how many of the strongest; `place`: row and column,
    default: each map's peak; `whole`: all units of each map at once."""
    records = records_of(run, [picture])
    options = [layer, channels, place, whole, method, norms, overlap]
    claim = out.claim(f"project-{layer}-{Path(picture).stem}", *identity(run, picture), options)
    passed = run_forward(run.network, inputs_of(run.viewer, torch.from_numpy(records)))
    units = strongest_units(run.network, passed[layer], layer, channels)
    if whole or place is not None:
        units = [Unit(layer, unit.channel, *(place or ())) for unit in units]
    seen = project(passed, units, method=method, norms=norms, overlap=overlap)
    view = centre_views(records, run.inputs.size)[0]
    content = {
        "picture": picture,
        "layer": layer,
        "method": method,
        "units": [
            {
                "channel": unit.channel,
                "at": None if unit.row is None else [unit.row, unit.column],
                "value": float(value),
                "box": list(box),
                "energy": float(pixels.square().sum()),
            }
            for unit, value, box, pixels in zip(seen.units, seen.values, seen.boxes, seen.pixels, strict=True)
        ],
    }
    claim.put(figures.projection_figure(view, seen, method), content)
    return seen


def write_occlusion(
    run: Run,
    picture: str,
    out: Folder,
    *,
    true: str | None = None,
    square: Square | None = None,
    channel: int | None = None,
    layer: str | None = None,
    store: Store | None = None,
    part: str = "val",
    progress: Progress | None = None,
) -> Occlusion:
    """[Z] Fig. 7 for one picture. `true`: its class, by id or name (default: the most probable); `layer`, `channel`:
    the watched map; with a `store`, the map's strongest patches in its `part` are shown too. The maps are computed as
    the run computes, projection and patches in float32."""
    exact = replace(run.viewer, dtype=torch.float32)
    record = records_of(run, [picture])
    options = [true, square and asdict(square), channel, layer, store and store.fingerprint, part]
    claim = out.claim(f"occlusion-{Path(picture).stem}", *identity(run, picture), options, run.placement.precision)
    label = None if true is None else class_number(run, true)
    watched = None if layer is None or channel is None else Unit(layer, channel)
    found = occlude(run.viewer, torch.from_numpy(record[0]), label, square=square, watched=watched, progress=progress)
    passed = run_forward(run.network, inputs_of(exact, torch.from_numpy(record)))
    projection = project(passed, [found.watched]).pixels[0].cpu().numpy()
    best, unit = [], found.watched
    if store is not None:
        check_size(run.folder, store)
        pictures = part_of(store, part)
        top = find_top(exact, pictures, [unit.layer])
        best = patches_of(exact, pictures, top, unit.layer, [unit.channel])[unit.channel]
    view = centre_views(record, run.inputs.size)[0]
    drawn = figures.occlusion_figure(view, found, projection, run.class_names, best)
    content = {"picture": picture, "precision": run.placement.precision} | found.as_json(run.class_names)
    claim.put(drawn, content)
    return found


def write_invariance(
    run: Run,
    pictures: Sequence[str],
    out: Folder,
    *,
    true: Sequence[str] = (),
    layers: Sequence[str] = (),
    kinds: Sequence[Transformation] = ("translation", "scale", "rotation"),
    normalisation: Normalisation = "relative",
    fill: Fill = "mean",
) -> Invariance:
    """[Z] Fig. 5. `true`: the pictures' classes, by id or name (default: the most probable ones)."""
    if true and len(true) != len(pictures):
        raise UsageError(f"{len(true)} classes for {len(pictures)} pictures: name one for each, or none.")
    records = torch.from_numpy(records_of(run, pictures))
    options = [list(true), list(layers), list(kinds), normalisation, fill]
    claim = out.claim("invariance", *identity(run, *pictures), options)
    if true:
        labels = [class_number(run, words) for words in true]
    else:
        labels = run.viewer.probabilities(records).argmax(dim=1).tolist()
    found = invariance_of(
        run.viewer,
        records,
        labels,
        names=[Path(picture).name for picture in pictures],
        class_names=run.class_names,
        layers=layers,
        kinds=kinds,
        normalisation=normalisation,
        fill=fill,
    )
    claim.put(charts.invariance_figure(found), found.as_json())
    return found


# ── stores ───────────────────────────────────────────────────────────────────────────────────────────────────────


def about(run: Run, store: Store, part: str) -> dict[str, Any]:
    """What parts of one pass have in common."""
    return {"run": tensor_digest(run.network.state_dict()), "store": store.fingerprint, "part": part}


def look_for_top(
    run: Run,
    store: Store,
    part: str,
    layers: Sequence[str],
    *,
    shard: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
) -> Top:
    """`find_top` on a part of a store, marked so that only parts of the same pass merge."""
    check_size(run.folder, store)
    pictures = part_of(store, part)
    return find_top(run.viewer, pictures, layers, shard=shard, about=about(run, store, part), progress=progress)


def write_top(
    run: Run,
    store: Store,
    top: Top,
    out: Folder,
    *,
    part: str = "val",
    channels: Mapping[str, Sequence[int]] | None = None,
    method: Method = "deconvnet",
    norms: NormRule | None = None,
) -> None:
    """[Z] Fig. 2 for each layer of `top`: a figure of some channels (`channels[layer]`, default: 12 evenly spread), the
    strongest pictures of all in the JSON. Raises UserError if `top` is of another run, store or part."""
    pictures, claims = part_of(store, part), claim_top(run, store, out, list(top.layers), part, channels, method, norms)
    for name, value in about(run, store, part).items():
        if top.about.get(name) != value:
            raise UsageError(f"these strongest pictures are of another {name}. Look for them again.")
    for layer, best in top.layers.items():
        chosen = (channels or {}).get(layer) or evenly_spread(len(best.values))
        found = patches_of(run.viewer, pictures, top, layer, chosen, method=method, norms=norms)
        content = {
            "layer": layer,
            "part": part,
            "pictures": top.about["pictures"],
            "dead": best.dead.tolist(),
            "shown": {str(channel): [patch.as_json() for patch in some] for channel, some in found.items()},
            "strongest": best.pictures.tolist(),
            "values": [[value for value in row if value > -np.inf] for row in best.values.tolist()],
        }
        claims[layer].put(figures.top_figure(found, layer), content)


def claim_top(
    run: Run,
    store: Store,
    out: Folder,
    layers: Sequence[str],
    part: str = "val",
    channels: Mapping[str, Sequence[int]] | None = None,
    method: Method = "deconvnet",
    norms: NormRule | None = None,
) -> dict[str, Claim]:
    """Where `write_top` will write the figure of each layer."""
    pass_, shown = about(run, store, part), channels or {}
    return {name: out.claim(f"top-{name}", pass_, list(shown.get(name, ())), method, norms) for name in layers}


def write_activations(
    run: Run,
    store: Store,
    out: Folder,
    *,
    part: str = "val",
    channels: Mapping[str, Sequence[int]],
    progress: Progress | None = None,
) -> ActivationStatistics:
    """How strongly chosen maps of each layer answer the pictures of a part: histograms of each picture's peak."""
    check_size(run.folder, store)
    made_of = about(run, store, part)
    claim = out.claim("activations", made_of, {layer: list(some) for layer, some in channels.items()})
    found = measure_activations(run.viewer, part_of(store, part), list(channels), about=made_of, progress=progress)
    content = {
        "part": part,
        "pictures": found.about["pictures"],
        "features": [found.as_json(layer, channel) for layer, some in channels.items() for channel in some],
    }
    claim.put(charts.activations_figure(found, channels), content)
    return found


def write_evolution(
    run: Run,
    store: Store,
    out: Folder,
    *,
    part: str = "train",
    channels: Mapping[str, Sequence[int]],
    epochs: Sequence[int] = (),
    progress: Progress | None = None,
) -> Evolution:
    """[Z] Fig. 4: chosen maps of each layer over the run's snapshots."""
    check_size(run.folder, store)
    options = [{layer: list(some) for layer, some in channels.items()}, list(epochs)]
    claim = out.claim("evolution", about(run, store, part), options)
    found = evolve(run, part_of(store, part), channels, epochs=epochs, progress=progress)
    claim.put(figures.evolution_figure(found), found.as_json())
    return found


# ── networks and key points ──────────────────────────────────────────────────────────────────────────────────────


def write_filters(runs: Sequence[Run], out: Folder) -> list[Filters]:
    """[Z] Fig. 6 for one run, or two side by side."""
    claim = out.claim("filters", *map(identity, runs))
    named = [filters_of(run, run.path.resolve().name) for run in runs]
    content = [
        {"run": name, "network": run.folder.table.name} | filters.as_json()
        for run, (name, filters, _) in zip(runs, named, strict=True)
    ]
    claim.put(figures.filters_figure(named), content)
    return [filters for _, filters, _ in named]


def filters_of(run: Run, name: str) -> tuple[str, Filters, np.ndarray]:
    """What `figures.filters_figure` draws of a run called `name`: its first layer's filters, its second's patterns."""
    second = run.network.table.weighted[1].name
    maps = run.network.layer(second).leaving.maps
    patterns = linear_pattern(run.network.cpu(), second, evenly_spread(maps, PATTERNS))
    return name, diagnose(run.network), figures.pattern_mosaic(patterns.numpy())


def write_correspondence(
    run: Run,
    annotated: Sequence[AnnotatedPicture],
    out: Folder,
    *,
    parts: Sequence[str] = (),
    layers: Sequence[str] = (),
    mask: int | None = None,
    grey: float | None = None,
    control: Literal["object", "picture"] = "object",
    seed: int = 0,
) -> Correspondence:
    """[Z] Table 1 for pictures with key points. `control`: random places of the object, or of the whole picture."""
    points = [in_view(one, run.inputs.side, run.inputs.size) for one in annotated]
    regions = [region_in_view(one, run.inputs.side, run.inputs.size) for one in annotated]
    names = [one.file.name for one in annotated]
    records = records_of(run, [str(one.file) for one in annotated])
    options = [list(parts), list(layers), mask, grey, control, seed, [dict(one.points) for one in annotated]]
    claim = out.claim("correspondence", *identity(run, *(str(one.file) for one in annotated)), options)
    inputs = inputs_of(run.viewer, torch.from_numpy(records))
    found = correspondence_of(
        run.viewer,
        inputs,
        points,
        names=names,
        parts=parts,
        layers=layers,
        mask=mask,
        grey=grey,
        regions=regions if control == "object" else None,
        seed=seed,
    )
    claim.put(None, found.as_json())
    return found
