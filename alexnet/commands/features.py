"""`alexnet features` and `alexnet transfer`: a trained network put to other uses."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from alexnet.commands.arguments import Device, Precision, RunFolderArgument
from alexnet.errors import UsageError, UserError

if TYPE_CHECKING:
    from alexnet.features.file import Collection
    from alexnet.measure.run import Run

Layer = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the last hidden layer)")]


@dataclass(frozen=True)
class Features:
    """Write what a layer makes of pictures into an .npy file, and a JSON file that says what is in it.

    The file can be memory-mapped: numpy.load(F, mmap_mode="r"). Stopped, the same command goes on.

    Examples:
        alexnet features runs/photos photos.store --out fc7.npy
        alexnet features runs/photos holiday/ cat.jpg --layer pool5 --views 10 --type float16 --out pool5.npy
    """

    run_folder: RunFolderArgument
    """The run."""
    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="STORE|FILE ...", help_behavior_hint="(required)")]
    """A store; or picture files, folders of them, and - for one on standard input."""
    out: Annotated[Path, arg(metavar="F.npy")]
    """The file to make; F.json is made beside it."""
    layer: Layer = None
    """A row of the network (conv1, relu7, …: `alexnet nets NAME` lists them), or a layer by its number as the papers
    count, 1 to 8, with its non-linearity, pooling and norm."""
    views: Annotated[Literal[1, 5, 9, 10], arg(metavar="{1,5,9,10}")] = 1
    """1: the centre; 10: centre, corners and their mirrors, averaged."""
    type: Literal["float32", "float16"] = "float32"
    """Type of the numbers in the file."""
    parts: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(default: all)")] = ()
    """Which parts of the store, one behind the other."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""
    precision: Precision = "auto"
    """Arithmetic of the layers; auto: as in the training, on another kind of device fp32."""

    def run(self) -> None:
        from alexnet.features.file import write_features
        from alexnet.measure.run import Run
        from alexnet.terminal import progress, say
        from alexnet.text import counted

        run = Run.open(self.run_folder, device=self.device, precision=self.precision)
        collection = collected(run, self.pictures, self.parts)
        with progress("pictures") as report:
            about = write_features(
                run,
                collection,
                self.out,
                layer=self.layer,
                views=self.views,
                number_type=self.type,
                progress=partial(report, self.out.name),
            )
        shape = " × ".join(map(str, (about["count"], *about["shape"])))
        print(f"{self.out}: {about['layer']} of {counted(about['count'], 'picture')}, {about['type']} {shape}")
        if left_out := about["left_out"]:
            for entry in left_out:
                say(f"{entry['key']}: {entry['why']}")
            raise UserError(f"pictures that could not be read, and are left out: {len(left_out):,}")


def collected(run: "Run", pictures: tuple[str, ...], parts: tuple[str, ...]) -> "Collection":
    """What is named: one store, or pictures. Raises UsageError for both at once."""
    from alexnet.data.store.description import is_store
    from alexnet.data.store.read import Store
    from alexnet.features.file import Collection
    from alexnet.measure.predict import found_pictures

    stores = [name for name in pictures if is_store(Path(name))]
    if not pictures:
        raise UsageError("no picture given. Name a store, or one or more files or folders.")
    if stores and len(pictures) != 1:
        raise UsageError(f"{stores[0]} is a store: give it alone. Features of other pictures go into a file of theirs.")
    if stores:
        return Collection.of_store(run, Store.open(stores[0]), parts)
    if parts:
        raise UsageError(f"--parts {parts[0]}: only a store has parts, and these are pictures.")
    return Collection.of_files(run, list(found_pictures(pictures)))


@dataclass(frozen=True)
class Transfer:
    """Measure what a run's layers are worth on other pictures: probes on each, by folds ([Z] §5.2).

    All pictures of the store are pooled, and folds drawn from them: so many training pictures of each class, up to 50
    of the others to test. Of an annotated folder (Pascal VOC, LabelMe) the average precision of each class is measured.
    Stopped, the same command goes on.

    Examples:
        alexnet transfer runs/photos caltech.store --per-class 15 30 --out transfer
        alexnet transfer runs/photos caltech.store --beside random target fine-tune --seen photos.store --out transfer
        alexnet transfer runs/photos VOCdevkit/VOC2012/ --layers 7 --out transfer
    """

    run_folder: RunFolderArgument
    """The run."""
    store: Annotated[Positional[Path], arg(metavar="STORE|VOC")]
    """The other pictures, prepared; or a folder with Annotations/ beside JPEGImages/ or Images/."""
    out: Annotated[Path, arg(metavar="FOLDER")]
    """Where what was measured, the table and the figure go."""
    layers: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ("1", "2", "3", "4", "5", "7")
    """Rows of the network, or layers by their numbers as the papers count."""
    probes: Annotated[tuple[Literal["svm", "softmax"], ...], arg(metavar="{svm,softmax} ...")] = ("svm", "softmax")
    """What is trained on a layer: a linear SVM for each class, softmax regression."""
    per_class: Annotated[tuple[int, ...], arg(metavar="N ...")] = (15, 30)
    """Training pictures of each class."""
    beside: Annotated[tuple[Literal["random", "target", "fine-tune"], ...], arg(metavar="WHAT ...")] = ("random",)
    """random: the same probes on the network untrained; target: the network trained on these pictures only; fine-tune:
    all its layers trained on."""
    folds: int = 5
    """How often pictures are drawn anew."""
    views: Annotated[Literal[1, 5, 9, 10], arg(metavar="{1,5,9,10}")] = 1
    """Views that are averaged."""
    epochs: int = 60
    """Of the trainings that target and fine-tune ask for."""
    seen: Annotated[Path | None, arg(metavar="STORE", help_behavior_hint="(default: not looked for)")] = None
    """What the run was trained on: pictures that are there too, by normalised correlation, are left out."""
    seed: int = 0
    """Of the draws."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""
    precision: Precision = "auto"
    """Arithmetic of the layers; auto: as in the training, on another kind of device fp32."""

    def run(self) -> None:
        from alexnet.data.sources.labelme import is_labelme
        from alexnet.features.probes import require_scikit_learn
        from alexnet.features.report import transfer_in_words, voc_in_words, write_transfer, write_voc
        from alexnet.features.transfer import TransferPlan
        from alexnet.measure.run import Run
        from alexnet.terminal import progress

        require_scikit_learn()
        run = Run.open(self.run_folder, device=self.device, precision=self.precision)
        with progress("steps") as report:
            if is_labelme(self.store):
                written = write_voc(run, self.store, self.out, self.layers, self.views, seed=self.seed)
                describe: Any = voc_in_words
            else:
                wish = TransferPlan(
                    layers=self.layers,
                    kinds=self.probes,
                    per_class=self.per_class,
                    beside=self.beside,
                    folds=self.folds,
                    views=self.views,
                    epochs=self.epochs,
                    seed=self.seed,
                )
                written = write_transfer(run, self.store, self.out, wish, seen=self.seen, progress=report)
                describe = transfer_in_words
        print(describe(written))
        print(self.out / "transfer.json")
