"""Pictures that people mark on the page of errors: a file of corrections for `alexnet prepare`."""

from pathlib import Path
from typing import Any, Literal

from alexnet.data.sources.corrections import CorrectionsFile, Mark
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.serve.open_networks import Absent, version_of

DEFAULT_NAME = "corrections.csv"


class Marks:
    """The marks of a store's pictures, which go by their split and number, as in "val.12". For any thread."""

    def __init__(self, store: Store, path: Path | None = None) -> None:
        """In a file, by default beside the store. Raises UserError if one that was named is no file of corrections."""
        self.store, self.file = store, CorrectionsFile(path or store.path.resolve().with_name(DEFAULT_NAME))
        if path is not None:
            self.file.marks()
        self._read: tuple[str, dict[str, Mark], int] = "none", {}, 0

    @property
    def version(self) -> str:
        """Changes when the file does."""
        return version_of(self.file.path)

    def found(self) -> tuple[dict[str, Mark], int]:
        """The marks by picture, and how many lines of the file name none of the store's pictures. Raises UserError if
        it is no file of corrections."""
        if (version := self.version) != self._read[0]:
            marks, numbers = self.file.marks(), dict[str, Mark]()
            for name, split in self.store.splits.items():
                some = ((number, marks.get(str(key))) for number, key in enumerate(split.keys))
                numbers |= {f"{name}.{number}": mark for number, mark in some if mark}
            self._read = version, numbers, len(marks) - len(numbers)
        return self._read[1:]

    def as_json(self) -> dict[str, Any]:
        """All marks, the classes that a picture can be of, and how the file is applied."""
        try:
            marks, elsewhere, fault = *self.found(), ""
        except UserError as error:
            marks, elsewhere, fault = {}, 0, str(error)
        return {
            "path": str(self.file.path),
            "marks": {ident: {"kind": mark.kind, "class": mark.suggested or None} for ident, mark in marks.items()},
            "elsewhere": elsewhere,
            "fault": fault,
            "classes": list(self.classes),
            "store": str(self.store.path),
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, or the ids of classes that share a name."""
        names, ids = self.store.class_names, self.store.class_ids
        return tuple(name if names.count(name) == 1 else ident for name, ident in zip(names, ids, strict=True))

    def mark(self, ident: str, kind: Literal["right", "wrong", "leave out"] | None, class_name: str = "") -> None:
        """Mark a picture, or take its mark away. Raises Absent if there is no such picture or class, UserError if the
        file can't be read or written."""
        split, _, number = ident.rpartition(".")
        pictures = self.store.splits.get(split)
        if pictures is None or not number.isdecimal() or int(number) >= len(pictures):
            raise Absent("there is no such prepared picture")
        if kind == "wrong" and class_name not in self.classes:
            raise Absent(f"no class of the store is called {class_name!r}")
        label = self.classes[int(pictures.labels[int(number)])]
        mark = Mark(kind, class_name if kind == "wrong" else "") if kind else None
        self.file.mark(str(pictures.keys[int(number)]), label, mark)
