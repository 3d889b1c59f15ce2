"""`alexnet see METHOD`: each method of [Z] from a run and pictures to a PNG and a JSON file.

Networks are opened in fp32 unless said otherwise: they are looked at, not counted. Results of other pictures, runs or
options that have the same name are kept: the name then ends in a digest of what it was made of.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from alexnet.commands.options import seeing as options
from alexnet.data.store import layout
from alexnet.data.store.read import Store
from alexnet.data.store.shards import Shard
from alexnet.errors import UsageError
from alexnet.look import Run
from alexnet.measure.evaluation import check_size, split_of
from alexnet.report.results import Folder, identity
from alexnet.see import charts, figures
from alexnet.see.ablation import ablation_curve
from alexnet.see.activation_statistics import measure_activations
from alexnet.see.annotated import open_annotated
from alexnet.see.attribution import ATTRIBUTIONS, attribute
from alexnet.see.contributions import contributions as split_answer
from alexnet.see.correspondence import correspondence_of
from alexnet.see.dissection import dissect
from alexnet.see.evolution import evolve
from alexnet.see.forward_pass import inputs_of, records_of
from alexnet.see.interventions import edits_in, effect_on_split, intervene
from alexnet.see.invariance import UNITS, invariance_of
from alexnet.see.invert import invert
from alexnet.see.keypoints import in_view, read_keypoints, region_in_view
from alexnet.see.occlusion import Square
from alexnet.see.patches import UnitPatch, patches_of
from alexnet.see.representation import compare_representations
from alexnet.see.score import Scores, score
from alexnet.see.top import Strongest, Top, find_top, merge, pass_over
from alexnet.see.units import Unit, evenly_spread, layers_in, numbers_in
from alexnet.see.visualise import images_figure, visualise
from alexnet.terminal import progress, say


def run(see: options.See) -> None:
    ACTIONS[type(see.method)](see.method)


@contextmanager
def folder(method: Any) -> Iterator[Folder]:
    """Where results go; the files that were written are printed at the end."""
    found = Folder(method.out or method.run_folder / "see")
    yield found
    for path in found.written:
        print(path)


def opened(method: Any) -> Run:
    return Run.open(method.run_folder, device=method.device, precision="fp32")


def opened_with_store(method: Any) -> tuple[Run, Store]:
    """Raises UserError if the store's records are not as large as the run's."""
    run, store = opened(method), Store.open(method.store)
    check_size(run.folder, store)
    return run, store


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────


def project(method: options.Project) -> None:
    run, layer, picture = opened(method), method.layer, method.picture
    run.network.check_computable(layer)
    channels = numbers_in(method.channels, run.network.layer(layer).leaving.maps, "channels")
    with folder(method) as out:
        look = run.look(picture)
        chosen = channels or method.strongest
        made_of = [layer, chosen, method.at, method.whole, method.method, method.norms, method.overlap]
        claim = out.claim(f"project-{layer}-{Path(picture).stem}", *identity(run, picture), made_of)
        found = look.project(
            layer,
            channels,
            best=method.strongest,
            at=method.at,
            whole=method.whole,
            method=method.method,
            norms=method.norms,
            overlap=method.overlap,
        )
        claim.put(found.plot(), {"picture": picture} | found.as_json())


def invariance(method: options.InvarianceOfFeatures) -> None:
    """The true class of each picture is the most probable one where none is named."""
    pictures, true = method.pictures, method.true
    if not pictures:
        raise UsageError("no picture given. Name one or more files.")
    run = opened(method)
    layers = layers_in(run.network, method.layers)
    if true and len(true) != len(pictures):
        raise UsageError(f"{len(true)} classes for {len(pictures)} pictures: name one for each, or none.")
    with folder(method) as out:
        records = torch.from_numpy(records_of(run, pictures))
        made_of = [true, layers, list(UNITS), method.normalise, method.fill]
        claim = out.claim("invariance", *identity(run, *pictures), made_of)
        found = invariance_of(
            run.viewer,
            records,
            [run.class_number(words) for words in true] or run.viewer.probabilities(records).argmax(dim=1).tolist(),
            names=[Path(picture).name for picture in pictures],
            class_names=run.class_names,
            layers=layers,
            normalisation=method.normalise,
            fill=method.fill,
        )
        claim.put(charts.invariance_figure(found), found.as_json())
        print(charts.describe_invariance(found))


def occlusion(method: options.OcclusionOfPicture) -> None:
    """With `--precision auto` the maps are computed as the run computes; the rest always in float32."""
    run, picture = Run.open(method.run_folder, device=method.device, precision=method.precision), method.picture
    if (method.layer is None) != (method.channel is None):
        raise UsageError("--layer and --channel name the watched map together: give both, or neither.")
    square = Square.fitting(run.inputs.size, method.size, method.stride, method.grey)
    store, precision = None if method.store is None else Store.open(method.store), run.placement.precision
    with folder(method) as out, progress("positions") as report:
        look = run.look(picture)
        shown = store and store.fingerprint
        made_of = [method.true, asdict(square), method.channel, method.layer, shown, method.split]
        claim = out.claim(f"occlusion-{Path(picture).stem}", *identity(run, picture), made_of, precision)
        watched = None if method.layer is None or method.channel is None else Unit(method.layer, method.channel)
        how = {"precision": method.precision, "progress": partial(report, "square")}
        found = look.occlusion(method.true, square=square, watched=watched, **how)
        if store is not None:
            unit = found.found.watched
            best = run.top(store, unit.layer, unit.channel, split=method.split).patches[unit.channel]
            found = replace(found, best=tuple(best))
        claim.put(found.plot(), {"picture": picture, "precision": precision} | found.as_json())


def attribution(method: options.AttributionOfPicture) -> None:
    run, picture = opened(method), method.picture
    names = {name for known in ATTRIBUTIONS.values() for name in known.options}
    given = {name: value for name, value in vars(method).items() if name in names and value is not None}
    with folder(method) as out:
        name = f"attribution-{method.method}-{Path(picture).stem}"
        claim = out.claim(name, *identity(run, picture), [method.true, given])
        found = attribute(run, picture, method.method, target=method.true, **given)
        claim.put(found.plot(), {"picture": picture} | found.as_json())


def parts(method: options.PartsOfPictures) -> None:
    run = opened(method)
    annotated = [one for one in read_keypoints(method.keypoints) if method.match in str(one.file)][: method.most]
    layers, side, size = layers_in(run.network, method.layers), run.inputs.side, run.inputs.size
    regions = [region_in_view(one, side, size) for one in annotated]
    files = [str(one.file) for one in annotated]
    with folder(method) as out:
        records = records_of(run, files)
        points = [dict(one.points) for one in annotated]
        made_of = [method.parts, layers, method.mask, method.grey, method.control, method.seed, points]
        claim = out.claim("correspondence", *identity(run, *files), made_of)
        found = correspondence_of(
            run.viewer,
            inputs_of(run.viewer, torch.from_numpy(records)),
            [in_view(one, side, size) for one in annotated],
            names=[one.file.name for one in annotated],
            parts=method.parts,
            layers=layers,
            mask=method.mask,
            grey=method.grey,
            regions=regions if method.control == "object" else None,
            seed=method.seed,
        )
        claim.put(None, found.as_json())
        print(charts.describe_correspondence(found))


def contributions(method: options.ContributionsToAnswer) -> None:
    run, picture = opened(method), method.picture
    store = None if method.store is None else Store.open(method.store)
    layers = layers_in(run.network, method.layers)
    with folder(method) as out, progress("pictures") as report:
        made_of = [method.true, method.against, layers, method.strongest, store and store.fingerprint, method.split]
        claim = out.claim(f"contributions-{Path(picture).stem}", *identity(run, picture), made_of)
        if store is not None:
            check_size(run.folder, store)
        found = split_answer(
            run,
            picture,
            target=method.true,
            against=method.against,
            layers=layers,
            strongest=method.strongest,
            store=None if store is None else split_of(store, method.split),
            progress=partial(report, method.split),
        )
        claim.put(found.plot(), found.as_json())
        print(found.describe())


def intervention(method: options.InterventionOnUnits) -> None:
    """On a picture, or on all of a split of a store."""
    if (method.picture is None) == (method.store is None):
        raise UsageError("name a picture, or a store with --store, and not both.")
    run = Run.open(method.run_folder, device=method.device, precision=method.precision)
    edits, precision = edits_in(run.network, method.edit), run.placement.precision
    with folder(method) as out:
        made_of = [list(map(str, edits)), precision]
        if method.store is None:
            assert method.picture is not None
            claim = out.claim(f"intervene-{Path(method.picture).stem}", *identity(run, method.picture), made_of)
            found = intervene(run, method.picture, edits)
        else:
            store = Store.open(method.store)
            claim = out.claim(f"intervene-{method.split}", pass_over(run, store, method.split), made_of)
            with progress("pictures") as report:
                found = effect_on_split(run, store, edits, split=method.split, progress=report)
        claim.put(found.plot(), {"precision": precision} | found.as_json())
        print(found.describe())


def score_attributions(method: options.ScoreOfAttributions) -> None:
    """Methods that an earlier run of the same command finished are taken from its JSON file."""
    run = Run.open(method.run_folder, device=method.device, precision=method.precision)
    is_store = (method.source / layout.DESCRIPTION).is_file()
    source = Store.open(method.source) if is_store else open_annotated(run, method.source, method.split)
    of = source.fingerprint if isinstance(source, Store) else [str(file.resolve()) for file in source.files]
    with folder(method) as out, progress("pictures") as report:
        settings = [method.metrics, method.pictures, method.again, method.split, method.seed, run.placement.precision]
        claim = out.claim("score", *identity(run), of, settings)
        found = score(
            run,
            source,
            methods=method.methods,
            metrics=method.metrics,
            pictures=method.pictures,
            again=method.again,
            split=method.split,
            seed=method.seed,
            earlier=Scores.load(claim.path(".json")) if claim.path(".json").exists() else None,
            finished=lambda found: claim.put(None, found.as_json()),
            progress=report,
        )
        claim.put(found.plot(), found.as_json())
        print(found.in_words())


# ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def top(method: options.TopNine) -> None:
    """[Z] Fig. 2: a figure of some channels of each layer, the strongest pictures of all in the JSON."""
    (run, store), shard = opened_with_store(method), shard_of(method.shard)
    layers = layers_in(run.network, method.layers) or [
        layer.row.name for layer in run.network.computable_layers if layer.parameters and layer.macs
    ]
    merged = merge(map(Top.load, method.merge)) if method.merge else None
    layers = layers if merged is None else list(merged.layers)
    maps = {layer: run.network.layer(layer).leaving.maps for layer in layers}
    channels = {layer: numbers_in(method.channels, count, "channels") for layer, count in maps.items()}
    about, whole, pictures = pass_over(run, store, method.split), shard == (0, 1), split_of(store, method.split)
    rules = {"method": method.method, "norms": method.norms}
    with folder(method) as out:
        name = "top" if whole else f"top-{shard[0] + 1}-of-{shard[1]}"
        claim = out.claim(name, about, layers, shard, ends=(".safetensors",))
        shown = layers if whole else []  # the figures of shards are drawn when these are merged
        signs = ["negative"] if method.negative else []
        claims = {layer: out.claim(f"top-{layer}", about, channels[layer], *rules.values(), *signs) for layer in shown}
        with progress("pictures") as report:
            follow = partial(report, method.split)
            looked = {"negative": method.negative, "shard": shard, "about": about, "progress": follow}
            found = merged or find_top(run.viewer, pictures, layers, **looked)
        found.save(claim.path(".safetensors"), claim.kind)
        if differ := [name for name in about if found.about.get(name) != about[name]]:
            raise UsageError(f"these strongest pictures are of another {differ[0]}. Look for them again.")
        if method.negative and not found.negative:
            raise UsageError("these files hold no most negative pictures. Look for them again with --negative.")
        for layer, claim in claims.items():
            chosen = channels[layer] or evenly_spread(len(found.layers[layer].values))
            patches = patches_of(run.viewer, pictures, found, layer, chosen, **rules)
            content = {"layer": layer, "split": method.split, "pictures": found.about["pictures"]}
            content |= strongest_as_json(found[layer], patches)
            lowest = None
            if method.negative:
                turned = Top(found.negative, found.about)
                lowest = patches_of(run.viewer, pictures, turned, layer, chosen, **rules)
                content["negative"] = strongest_as_json(turned[layer], lowest, sign=-1)
                if len(turned[layer].dead) == len(turned[layer].values):
                    say(f"{layer}: nothing is negative here")
            claim.put(figures.top_figure(patches, layer, lowest), content)


def strongest_as_json(best: Strongest, shown: dict[int, list[UnitPatch]], sign: int = 1) -> dict[str, Any]:
    """The strongest pictures of all channels of a layer, with what is seen of those that are `shown`; `sign` −1: the
    most negative ones. Channels without any are listed (`dead`, `never`)."""
    excited = best.values > 0
    rows = zip(best.pictures, sign * best.values, excited, strict=True)
    pictures, values = zip(
        *((pictures[above].tolist(), values[above].tolist()) for pictures, values, above in rows), strict=True
    )
    return {
        "dead" if sign > 0 else "never": best.dead.tolist(),
        "shown": {str(channel): [patch.as_json() for patch in some] for channel, some in shown.items()},
        "strongest": pictures,
        "values": values,
    }


def shard_of(text: str) -> tuple[int, int]:
    """ "2/3" → (1, 3); nothing → the whole. Raises UsageError."""
    if not text:
        return 0, 1
    shard = Shard.parse(text)
    return shard.number - 1, shard.of


def chosen_channels(run: Run, method: options.EvolutionOfFeatures | options.ActivationsOfMaps) -> dict[str, list[int]]:
    """The channels that are named, in each of the layers; six of each if none are."""
    counts = {layer: run.network.layer(layer).leaving.maps for layer in layers_in(run.network, method.layers)}
    return {
        layer: numbers_in(method.channels, count, "channels") or evenly_spread(count, 6)
        for layer, count in counts.items()
    }


def evolution(method: options.EvolutionOfFeatures) -> None:
    run, store = opened_with_store(method)
    channels = chosen_channels(run, method)
    with folder(method) as out, progress("pictures") as report:
        claim = out.claim("evolution", pass_over(run, store, method.split), [channels, method.epochs])
        follow = partial(report, method.split)
        found = evolve(run, split_of(store, method.split), channels, epochs=method.epochs, progress=follow)
        claim.put(figures.evolution_figure(found), found.as_json())


def activations(method: options.ActivationsOfMaps) -> None:
    run, store = opened_with_store(method)
    channels, about = chosen_channels(run, method), pass_over(run, store, method.split)
    with folder(method) as out, progress("pictures") as report:
        claim, follow = out.claim("activations", about, channels), partial(report, method.split)
        pictures = split_of(store, method.split)
        found = measure_activations(run.viewer, pictures, list(channels), about=about, progress=follow)
        content = {
            "split": method.split,
            "pictures": found.about["pictures"],
            "features": [found.as_json(layer, channel) for layer, some in channels.items() for channel in some],
        }
        claim.put(charts.activations_figure(found, channels), content)


def ablation(method: options.AblationOfLayer) -> None:
    run = Run.open(method.run_folder, device=method.device, precision=method.precision)
    store, precision = Store.open(method.store), run.placement.precision
    with folder(method) as out, progress("pictures") as report:
        made_of = [method.orders, method.points, method.seed, precision]
        claim = out.claim(f"ablation-{method.layer}", pass_over(run, store, method.split), made_of)
        chosen = {"orders": method.orders, "points": method.points, "seed": method.seed}
        found = ablation_curve(run, store, method.layer, split=method.split, progress=report, **chosen)
        claim.put(found.plot(), {"precision": precision} | found.as_json())
        print(found.describe())


def filters(method: options.FiltersOfLayers) -> None:
    paths = [path for path in (method.run_folder, method.beside) if path is not None]
    runs = [Run.open(path, device="cpu", precision="fp32") for path in paths]
    with folder(method) as out:
        claim = out.claim("filters", *map(identity, runs))
        named = [figures.filters_of(run.network, run.path.resolve().name) for run in runs]
        content = [
            {"run": name, "network": run.folder.table.name} | found.as_json()
            for run, (name, found, _) in zip(runs, named, strict=True)
        ]
        claim.put(figures.filters_figure(named), content)


# ── representations ──────────────────────────────────────────────────────────────────────────────────────────────


def dissection(method: options.DissectionOfUnits) -> None:
    run = opened(method)
    pictures = open_annotated(run, method.pictures, method.split)
    pictures = pictures if method.most is None else pictures.some(method.most)
    with folder(method) as out, progress("pictures") as report:
        made_of = [method.layer, method.level, method.seed]
        claim = out.claim(f"dissect-{method.layer}", *identity(run, *map(str, pictures.files)), made_of)
        found = dissect(run, pictures, method.layer, level=method.level, seed=method.seed, progress=report)
        claim.put(found.plot(), found.as_json())
        print(found.describe())


def comparison(method: options.ComparisonOfRuns) -> None:
    (run, store), other = opened_with_store(method), Run.open(method.other, device=method.device, precision="fp32")
    layers = layers_in(run.network, method.layers)
    with folder(method) as out, progress("pictures") as report:
        made_of = [store.fingerprint, method.split, method.most, layers]
        claim = out.claim("compare", identity(run), identity(other), made_of)
        found = compare_representations(
            run, other, store, layers, split=method.split, most=method.most, progress=report
        )
        claim.put(found.plot(), found.as_json())
        print(found.describe())


def map_of_pictures(method: options.MapOfPictures) -> None:
    from alexnet.features.picture_map import picture_map  # scikit-learn, which no other method needs

    run, store = opened_with_store(method)
    with folder(method) as out, progress("pictures") as report:
        about, how = pass_over(run, store, method.split), [method.layer, method.most, method.thumbnails, method.seed]
        claim = out.claim(f"map-{method.method}", about, how)
        given = {"most": method.most, "seed": method.seed, "progress": report}
        found = picture_map(run, store, method.split, method.layer, method.method, **given)
        claim.put(found.draw(thumbnails=method.thumbnails), found.as_json())


def visualisation(method: options.VisualisationOfUnits) -> None:
    """A class is a unit of the last layer."""
    run = opened(method)
    if method.classes and (method.layer or method.channels):
        raise UsageError("--classes names units of the last layer: give it, or --layer and --channels.")
    layer = method.layer or run.network.layers[-1].row.name
    run.network.check_computable(layer)
    maps = run.network.layer(layer).leaving.maps
    named = [run.class_number(words) for words in method.classes] or numbers_in(method.channels, maps, "channels")
    units = named or evenly_spread(maps, 6)
    with folder(method) as out, progress("steps") as report:
        made_of = [layer, units, method.at, method.preset, method.steps, method.starts, method.seed]
        claim = out.claim(f"visualise-{layer}", *identity(run), made_of)
        found = [
            visualise(
                run,
                layer,
                unit,
                position=method.at,
                preset=method.preset,
                steps=method.steps,
                starts=method.starts,
                seed=method.seed,
                progress=partial(report, f"{layer} · {unit}"),
            )
            for unit in units
        ]
        claim.put(images_figure(found), [one.as_json() for one in found])


def inversion(method: options.InversionOfCode) -> None:
    run, picture, layer = opened(method), method.picture, method.layer
    with folder(method) as out, progress("steps") as report:
        claim = out.claim(
            f"invert-{layer}-{Path(picture).stem}", *identity(run, picture), [layer, method.steps, method.seed]
        )
        follow = partial(report, layer)
        found = invert(run, picture, layer, steps=method.steps, seed=method.seed, progress=follow)
        claim.put(found.plot(), found.as_json())


ACTIONS: dict[type, Callable[[Any], None]] = {
    options.Project: project,
    options.TopNine: top,
    options.EvolutionOfFeatures: evolution,
    options.ActivationsOfMaps: activations,
    options.InvarianceOfFeatures: invariance,
    options.FiltersOfLayers: filters,
    options.OcclusionOfPicture: occlusion,
    options.AttributionOfPicture: attribution,
    options.PartsOfPictures: parts,
    options.ContributionsToAnswer: contributions,
    options.InterventionOnUnits: intervention,
    options.AblationOfLayer: ablation,
    options.DissectionOfUnits: dissection,
    options.ComparisonOfRuns: comparison,
    options.MapOfPictures: map_of_pictures,
    options.ScoreOfAttributions: score_attributions,
    options.VisualisationOfUnits: visualisation,
    options.InversionOfCode: inversion,
}
