"""A static copy of the explorer: `alexnet serve --export site/ RUN`. It opens from any web host, or from a USB stick.

The explorer's own addresses are asked, in this process, for all that the copy is to have. Their answers go into
scripts, one for each scope ("pictures/val.12"): scripts load from a disk, where browsers fetch nothing. The page is
the explorer's own, bundled, with page/site/api.js in the place of api.js; page/site/engine.js runs the network in it.
"""

import asyncio
import base64
import io
import json
import re
import secrets
import shlex
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from PIL import Image

from alexnet.errors import UserError
from alexnet.files.atomic import TEMPORARY_SUFFIX, DiskFull, faults_named
from alexnet.files.outputs import kind_of, mark
from alexnet.see.connections import weighted_layers
from alexnet.serve.app import create_app
from alexnet.serve.browser_network import for_browser
from alexnet.serve.bundle import bundle
from alexnet.serve.explorer import Explorer
from alexnet.serve.guard import Access
from alexnet.serve.open_networks import OWN
from alexnet.serve.run_cache import Pass
from alexnet.terminal import Progress, say

KIND = "site"
SMALL, WORTH, QUALITY = 1500, 0.7, 60
"""Images of fewer bytes are kept, and so are those of which WebP of this quality leaves a larger part."""
UNITS = 10
"""Of each layer, those that have pages in a copy."""
METHODS = ("grad-cam", "input-x-gradient", "lrp", "guided")
"""Attributions that a copy has."""
INVARIANT = 2
"""Pictures of which a copy has what shifting, scaling and turning them does."""
PROJECTED = 3
"""Units of a layer whose projections a copy has for a picture."""
CLASSES = 3
"""Of a picture, the most probable, for which a copy has answers that depend on a class."""
TILES = 1024
"""Units of a layer that are at least drawn."""
PICTURES = 600
"""Prepared pictures that a copy has at most, besides those that its pages name."""
REPLACED = {"api.js": "site/api.js"}

RULES = (
    (r"^api/(sides/[^/]+/layers/[^/]+)/units/\d+/tile\.png$", "$1"),
    (r"^api/(sides/[^/]+/layers/[^/]+/units/\d+)(?:/|$)", "$1"),
    (r"^api/(sides/[^/]+/layers/[^/]+)(?:/|$)", "$1"),
    (r"^api/(?:sides/[^/]+/)?(pictures/[^/]+)(?:/|$)", "$1"),
    (r"^api/(store/[^/]+/\d*?)\d?\d?\.jpg$", "$1"),
    (r"^api/(sides/[^/]+/[^/]+)", "$1"),
    (r"^api/([^/]+)", "$1"),
)
"""Which scope an address belongs to, in regular expressions that Python and JavaScript read alike."""


def scope_of(address: str) -> str:
    path = address.split("?")[0]
    return next(found[1] for pattern, _ in RULES if (found := re.match(pattern, path)))


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def asked(app: Any, method: str, address: str) -> tuple[int, bytes]:
    """Status and body of a request to an ASGI application."""
    path, _, query = address.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": f"/{path}",
        "raw_path": quote(f"/{path}").encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
    }
    status, body, given = 500, bytearray(), False

    async def receive() -> dict[str, Any]:
        nonlocal given
        if given:
            await asyncio.sleep(3600)  # the client stays
        given = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return status, bytes(body)


def last_event(stream: bytes) -> dict[str, Any] | None:
    """The parts and the result of a computation; None if it failed."""
    parts, done = [], None
    for block in stream.decode().split("\n\n"):
        if found := re.match(r"event: (\w+)\ndata: (.*)", block, re.S):
            kind, value = found[1], json.loads(found[2])
            if kind == "part":
                parts.append(value)
            if kind == "done":
                done = {"parts": parts, "done": value}
    return done


def as_data_uri(image: bytes, quality: int = QUALITY) -> str:
    """An image as an address that holds it: a WebP with some loss where that is much smaller."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    with Image.open(io.BytesIO(image)) as opened:
        if opened.mode in ("RGB", "L") and len(image) > SMALL:
            small = io.BytesIO()
            opened.save(small, "WEBP", quality=quality)
            if small.tell() < WORTH * len(image):
                image, kind = small.getvalue(), "webp"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────

LEADING = (("side", "picture"), ("picture",), ("side", "layer", "unit"), ("side", "layer"), ("side",), ())
"""Parameters by which requests are ordered, so that all about one picture or unit is asked together, and the pictures
first: what they name of units is worth a page."""
COUNTED = ("rank", "step", "column")
"""Parameters that count from 0 until there is no more."""
MOST_COUNTED, MOST_PAGES = 64, 200
LEFT_OUT = re.compile(
    r"/passes/|/events$|/follow|/teach|/marks/|/stamp|/frame$|^/api/pictures$|^/api/store/|/errors/pictures$"
    r"|/optimised|^/api/filters|/(top|evolution|occlusion|invariance)\.png$"
)
"""Addresses that only a server has, or that draw again what others have: the figures of whole pages."""


@dataclass(frozen=True)
class Route:
    """An address of the API, as its schema describes it."""

    method: str
    path: str
    parameters: dict[str, dict[str, Any]]
    queries: dict[str, dict[str, Any]]

    @cached_property
    def leading(self) -> tuple[str, ...]:
        return next(some for some in LEADING if set(some) <= set(self.parameters))

    def address(self, values: Mapping[str, Any], query: Mapping[str, Any]) -> str:
        path = re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), self.path)
        return path.removeprefix("/") + ("?" + urlencode(sorted(query.items()), safe="*") if query else "")


def routes_of(app: FastAPI) -> list[Route]:
    """Those that a copy has, computations first: what they find is drawn by others."""
    found = [
        Route(
            method.upper(),
            path,
            *(
                {one["name"]: one["schema"] | {"required": one["required"]} for one in about if one["in"] == place}
                for place in ("path", "query")
            ),
        )
        for path, methods in app.openapi()["paths"].items()
        for method, described in methods.items()
        for about in [described.get("parameters", [])]
        if not LEFT_OUT.search(path)
    ]
    return sorted(found, key=lambda route: route.method != "POST")


@dataclass
class Copy:
    """What is asked for a copy, and what was answered."""

    explorer: Explorer
    app: FastAPI
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By scope, then by address, which begins with "POST " for computations."""

    @cached_property
    def sides(self) -> list[str]:
        return list(self.explorer.networks.paths)

    @cached_property
    def pictures(self) -> list[str]:
        """Those that pages offer, by their ids."""
        prepared = self.explorer.prepared
        return [f"{prepared.split}.{number}" for number in prepared.offered] if prepared else []

    @cached_property
    def maps(self) -> dict[str, int]:
        """Of layers that have a page."""
        return {one.row.name: one.leaving.maps for one in weighted_layers(self.explorer.networks[OWN].network)}

    async def ask_all(self, progress: Progress) -> None:
        routes = routes_of(self.app)
        for leading in LEADING:
            choices = list(self.combined(leading, {}))
            for done, values in enumerate(choices, 1):
                for route in routes:
                    late = "/invariance" in route.path and values.get("picture") not in self.pictures[:INVARIANT]
                    if route.leading == leading and not late:
                        await self.ask_rest(route, [name for name in route.parameters if name not in values], values)
                progress(f"copying: {leading[-1] if leading else 'run'}", done, len(choices))

    def combined(self, names: tuple[str, ...], known: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Every choice of values for the parameters `names`."""
        if not names:
            yield known
            return
        for value in self.values(names[0], known):
            yield from self.combined(names[1:], known | {names[0]: value})

    def values(self, name: str, known: Mapping[str, Any]) -> Iterable[Any]:
        match name:
            case "side":
                return self.sides
            case "picture":
                return self.pictures
            case "layer":
                return self.maps
            case "unit":
                return self.units(known["layer"], UNITS)
        return []

    def units(self, layer: str, most: int) -> list[int]:
        """So many units of a layer: those that the pictures excite most, and others evenly."""
        maps = self.maps[layer]
        evenly = [n * maps // min(most, maps) for n in range(min(most, maps))]
        named = [unit for picture in self.pictures for unit in self.strongest(picture, layer)[:1]]
        return sorted(list(dict.fromkeys([*named, *evenly]))[:most])

    async def ask_rest(self, route: Route, rest: list[str], known: dict[str, Any]) -> bool:
        """Ask an address with all values of its remaining parameters. Whether there was an answer."""
        if not rest:
            return await self.ask_queries(route, known)
        name, found = rest[0], False
        if name in COUNTED:
            for number in range(MOST_COUNTED):
                if not await self.ask_rest(route, rest[1:], known | {name: number}):
                    break
                found = True
            return found
        for value in self.rest_of(route, name, known):
            found |= await self.ask_rest(route, rest[1:], known | {name: value})
        return found

    def rest_of(self, route: Route, name: str, known: Mapping[str, Any]) -> Iterable[Any]:
        """Values of a parameter that is not among the leading ones."""
        if "enum" in route.parameters[name]:
            chosen = METHODS if "attribution" in route.path else route.parameters[name]["enum"]
            return [one for one in route.parameters[name]["enum"] if one in chosen]
        if name == "name" and "curves" in route.path:
            return ("loss", "error", "rate")
        if name == "layer":
            rows = [layer.row.name for layer in self.explorer.networks[OWN].network.layers]
            return self.maps if "projection" in route.path else rows
        if name == "unit":
            strongest = self.strongest(known["picture"], known["layer"])
            return strongest[: PROJECTED if "projection" in route.path else None]
        return []

    def strongest(self, picture: str, layer: str) -> list[int]:
        """Units of a layer that the picture activates most."""
        answer = self.answers.get(f"pictures/{picture}", {}).get(f"POST api/sides/{OWN}/pictures/{picture}/layers")
        layers = answer["done"] if answer else []
        return [one["unit"] for found in layers if found["name"] == layer for one in found["strongest"]]

    async def ask_queries(self, route: Route, known: dict[str, Any]) -> bool:
        found = False
        for query in self.queries(route, known):
            found |= await self.ask(route.method, route.address(known, query))
        return found

    def queries(self, route: Route, known: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """None, if none is required; each choice of one parameter that has a few; each class."""
        required = [name for name, about in route.queries.items() if about["required"]]
        if required == ["edits"]:  # the answer as it is, before anything was switched off
            picture = known["picture"]
            split = self.answers[f"pictures/{picture}"].get(f"api/sides/{OWN}/pictures/{picture}/contributions")
            unchanged = f"{split['layers'][0]['layer']}:0*1" if split else ""
            yield from ({"class": number, "edits": unchanged} for number in self.answers_to(picture) if split)
        if required:
            return
        best = self.answers_to(known["picture"]) if "class" in route.queries and "picture" in known else []
        if route.method == "POST" and "class" in route.queries:  # these take long
            yield from ({"class": number} for number in best[:1])
            return
        yield {}
        yield from ({"class": number} for number in best)
        if "picture" not in known:
            choices = {name: about["enum"] for name, about in route.queries.items() if "enum" in about}
            yield from ({name: one} for name, some in choices.items() for one in some)

    def answers_to(self, picture: str) -> list[int]:
        """The numbers of the most probable classes of a picture."""
        found = self.answers.get(f"pictures/{picture}", {}).get(f"POST api/sides/{OWN}/pictures/{picture}/prediction")
        names = self.explorer.networks[OWN].run.class_names
        return [names.index(label["class"]) for label in found["parts"][0]["labels"][:CLASSES]] if found else []

    async def ask(self, method: str, address: str) -> bool:
        """Whether there is an answer; it is kept."""
        status, body = await asked(self.app, method, address)
        if status != 200:
            return False
        key, answer = address, None
        if method == "POST":
            key, answer = f"POST {address}", last_event(body)
        elif body.startswith((b"\x89PNG", b"\xff\xd8")):
            answer = as_data_uri(body)
        else:
            answer = self.pruned(json.loads(body))
        if answer is None:
            return False
        self.answers.setdefault(scope_of(address), {})[key] = answer
        return True

    def pruned(self, answer: Any) -> Any:
        """Without what a copy doesn't offer: other splits, earlier epochs, training pictures beside wrong ones."""
        if isinstance(answer, dict):
            prepared = self.explorer.prepared
            for about in (answer, answer.get("store")):
                if prepared and isinstance(about, dict) and isinstance(about.get("splits"), dict):
                    about["splits"] = {prepared.split: about["splits"][prepared.split]}
            if "sides" in answer:
                answer["sides"] = self.sides
            for one in answer["pictures"] if {"pictures", "pages"} <= answer.keys() else ():  # of the gallery
                one["nearest"] = None
        return answer

    async def ask_gallery(self) -> None:
        """All pictures of the page of errors in both orders; page/site/gallery.js chooses among them."""
        for side, order in product(self.sides, ("store", "worst")):
            path = f"api/sides/{side}/errors/pictures?order={order}&page="
            for page in range(MOST_PAGES):
                if not await self.ask("GET", f"{path}{page}"):
                    break
                if page + 1 >= self.answers[scope_of(path)][f"{path}{page}"]["pages"]:
                    break

    async def ask_tiles(self) -> None:
        """Every unit of a layer at a glance, as far as there aren't too many."""
        for side, (layer, maps) in product(self.sides, self.maps.items()):
            for unit in range(min(maps, TILES)):
                await self.ask("GET", f"api/sides/{side}/layers/{layer}/units/{unit}/tile.png")

    async def ask_pictures(self) -> None:
        """Prepared pictures: of the split that pages show, and those that the answers name of others."""
        if not (prepared := self.explorer.prepared):
            return
        count = len(prepared.store.splits[prepared.split])
        wanted = {(prepared.split, n * count // min(count, PICTURES)) for n in range(min(count, PICTURES))}
        wanted |= {(prepared.split, number) for number in prepared.offered}
        for scope in self.answers.values():
            for key, answer in scope.items():
                if key.endswith("/neighbours"):
                    wanted |= {("train", one["picture"]) for one in answer["done"]}
        for split, number in sorted(wanted):
            await self.ask("GET", f"api/store/{split}/{number}.jpg")


# ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Exported:
    """A copy: its folder, what to open, its size in bytes; the bytes of its network, or `why` it has none."""

    folder: Path
    page: Path
    size: int
    files: int
    pictures: int
    network: int
    why: str


def refuse_foreign_folder(out: Path) -> None:
    """Raises UserError if writing a copy to `out` would replace anything but an earlier copy."""
    with faults_named(out):
        if not out.exists() and not out.is_symlink():
            return
        if not out.is_dir():
            raise UserError(f"{out}: exists and is no folder. It is not replaced: choose another --export, or move it.")
        ours = (out / PAGE).is_file() and kind_of(out / PAGE) == KIND
        if any(not ours or one.name not in ENTRIES for one in out.iterdir()):
            raise UserError(
                f"{out}: this folder holds something besides a copy of the explorer. It is not replaced: choose "
                "another --export, or move it."
            )


PAGE = "index.html"
ENTRIES = (PAGE, "page", "data")
"""What a copy consists of."""
ANALYSES: tuple[Pass, ...] = tuple(what for what in get_args(Pass) if what != "map-umap")


def export_site(
    run: Path, out: Path, *, store: Path | None = None, beside: Path | None = None, progress: Progress
) -> Exported:
    """Write a static copy of the explorer of `run` into the folder `out`, whole or not at all; an earlier copy is
    replaced. What needs a pass over the prepared pictures is computed first and kept in the run folder. Raises
    UserError if the run can't be opened, has no weights yet, or `out` holds anything else."""
    refuse_foreign_folder(out)
    explorer = Explorer(run, store, beside)
    explorer.networks[OWN].network  # noqa: B018 - raises UserError if there are no weights yet
    analyse(explorer, progress)
    copy = Copy(explorer, create_app(explorer, Access("localhost", 80)).app)  # pyright: ignore[reportArgumentType]
    asyncio.run(fill(copy, progress))
    try:
        network, why = for_browser(explorer.networks[OWN].run), ""
    except UserError as fault:
        network, why = None, str(fault)
    files = files_of(copy, network, why)
    write_folder(out, files)
    held = sum(len(scope) for name, scope in copy.answers.items() if name.startswith("store/"))
    size = sum(map(len, files.values()))
    return Exported(out, out / PAGE, size, len(files), held, len(network[1]) if network else 0, why)


def analyse(explorer: Explorer, progress: Progress) -> None:
    """Compute what the run's cache lacks."""
    for side in explorer.networks.paths:
        cache = explorer.run_cache(explorer.networks[side])
        for what in ANALYSES:
            if cache is None:
                break
            if what == "evolution" and not explorer.networks[side].run.folder.snapshots:
                continue
            try:
                cache.compute(what, partial(progress, what))
            except DiskFull:
                raise
            except UserError as fault:  # as without training pictures
                say(f"the copy lacks {what}: {fault}")


async def fill(copy: Copy, progress: Progress) -> None:
    await copy.ask_all(progress)
    await copy.ask_gallery()
    await copy.ask_tiles()
    await copy.ask_pictures()


def files_of(copy: Copy, network: tuple[dict[str, Any], bytes] | None, why: str) -> dict[str, bytes]:
    """A copy's files by name."""
    private = private_paths(copy.explorer)
    files = {}
    scopes = {}
    for scope, answers in copy.answers.items():
        scopes[scope] = f"data/{re.sub(r'[^a-zA-Z0-9./-]', '_', scope).rstrip('/')}.js"
        if scopes[scope] in files:
            scopes[scope] = f"data/{len(files)}.js"
        text = json.dumps(answers, ensure_ascii=False, separators=(",", ":"))
        for path, name in private.items():
            text = text.replace(json.dumps(path, ensure_ascii=False)[1:-1], name)
        packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
        files[scopes[scope]] = f'alexnetScopes[{json.dumps(scope)}] = "{packed}";\n'.encode()
    if network:
        model, values = network
        known = {"model": model, "values": base64.b64encode(values).decode()}
        files["data/network.js"] = f"alexnetNetwork = {json.dumps(known)};\n".encode()
    site = {
        "rules": RULES,
        "defaults": {
            "method": ["deconvnet"],
            "figure": ["false"],
            "dark": ["false"],
            "split": [copy.explorer.prepared.split if copy.explorer.prepared else ""],
        },
        "files": scopes,
        "network": network and {"file": "data/network.js", "bytes": len(network[1])},
        "why": why,
        "command": shlex.join(["alexnet", "serve", copy.explorer.networks[OWN].run.path.resolve().name]),
    }
    return files | page_files(site)


def private_paths(explorer: Explorer) -> dict[str, str]:
    """Paths of this machine, and what stands for them in a copy that others see."""
    folders = list(explorer.networks.paths.values())
    folders += [explorer.prepared.store.path] if explorer.prepared else []
    forms = [form for path in folders for form in (path, path.resolve())]
    names = {f"{form.parent}/": "" for form in forms if len(form.parts) > 2} | {
        str(form): form.resolve().name for form in forms
    }
    return dict(sorted(names.items(), key=lambda item: -len(item[0])))


def page_files(site: dict[str, Any]) -> dict[str, bytes]:
    """The page: one document, its modules as one script, styles and pictures as they are."""
    folder = resources.files("alexnet.serve").joinpath("page")
    own = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    inner = {f"site/{file.name}": file.read_bytes() for file in folder.joinpath("site").iterdir()}
    modules = {name: text.decode() for name, text in (own | inner).items() if name.endswith(".js") and name != "api.js"}
    kept = {
        f"page/{name}": data
        for name, data in (own | inner).items()
        if not name.endswith((".js", ".ts", ".html", ".wat"))
    }
    index = own[PAGE].decode()
    index = re.sub(r'<link rel="(preload|modulepreload)"[^>]*>\n', "", index)  # refused on a disk
    index = index.replace("{{base}}", "./").replace("<html ", '<html class="copy" ')
    head = (
        f'<meta name="generator" content="{mark(KIND)}">\n'
        '<link rel="stylesheet" href="page/site/copy.css">\n'
        f'<script defer src="page/about.js"></script>\n<script defer src="page/page.js"></script>'
    )
    index, count = re.subn(r'<script type="module"[^>]*></script>', lambda _: head, index)
    assert count == 1
    fonts = {name: base64.b64encode(data).decode() for name, data in kept.items() if name.endswith(".woff2")}
    site |= {"embedded": {name: f"data:font/woff2;base64,{data}" for name, data in fonts.items()}}
    return kept | {
        PAGE: index.encode(),
        "page/about.js": f"alexnetSite = {json.dumps(site, ensure_ascii=False)};\n".encode(),
        "page/page.js": bundle(modules, "main.js", REPLACED).encode(),
    }


def write_folder(out: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder whole or not at all: under another name, which then takes the place of the old one."""
    word = secrets.token_hex(4)
    fresh, old = (out.with_name(f".{out.name}.{word}{suffix}") for suffix in (TEMPORARY_SUFFIX, ".old"))
    with faults_named(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            for name, data in files.items():
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                (fresh / name).write_bytes(data)
            if out.exists():
                out.rename(old)
            try:
                fresh.rename(out)
            except OSError:
                with suppress(OSError):
                    old.rename(out)
                raise
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
