"""Several files as one case: names and contents end to end, so that any change is one of bytes."""

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from mutate import Change, any_bytes

Files = dict[str, bytes]


def packed(files: Mapping[str, bytes]) -> bytes:
    return b"".join(
        struct.pack("<HI", len(name.encode()), len(data)) + name.encode() + data for name, data in files.items()
    )


def unpacked(data: bytes) -> Files:
    """Names and contents; what does not fit any more is cut off."""
    found: Files = {}
    place = 0
    while place + 6 <= len(data):
        name, length = struct.unpack_from("<HI", data, place)
        place += 6
        found[data[place : place + name].decode(errors="replace")] = data[place + name : place + name + length]
        place += name + length
    return found


def laid_out(folder: Path, files: Mapping[str, bytes], known: Mapping[str, bytes]) -> None:
    """Write the files that are `known`; those that the case lacks are removed."""
    for name in known:
        path = folder / name
        if name in files:
            path.write_bytes(files[name])
        else:
            path.unlink(missing_ok=True)


def of_files(changes: Mapping[str, Change], seal: Callable[[Files], Files] = lambda files: files) -> Change:
    """One file changed by what the end of its name says. `seal` brings digests up to date, nine times in ten."""

    def change(random: Random, data: bytes) -> bytes:
        files = unpacked(data)
        if not files:
            return data
        weights = [1 if end_of(name) else 0.02 for name in files]
        name = random.choices(list(files), weights)[0]
        if random.random() < 0.03:
            del files[name]
        else:
            files[name] = changes.get(end_of(name) or "", any_bytes)(random, files[name])
        return packed(seal(files) if random.random() < 0.9 else files)

    def end_of(name: str) -> str | None:
        return next((end for end in changes if name.endswith(end)), None)

    return change
