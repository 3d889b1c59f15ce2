"""The page's modules as one classic script: browsers load no modules from a disk. Written for our own modules only."""

import json
import re
from collections.abc import Mapping

LINKED = """function linked(definitions, place) {
  const made = {};
  return function require(name) {
    if (!made[name]) {
      definitions[name]((made[name] = {}), require, name.startsWith("site/") ? undefined : place().location);
    }
    return made[name];
  };
}"""
"""Modules by name, each run once. `place`: what gives the page's modules the `location` of a copy."""

_IMPORT = re.compile(r'^import (?:(\{[^}]*\})|\* as (\w+)) from "([^"]+)";$', re.M)
_BARE_IMPORT = re.compile(r'^import "([^"]+)";$', re.M)
_EXPORTED = re.compile(r"^export ((?:async )?function\*?|class|const|let) (\w+)", re.M)
_EXPORT_LIST = re.compile(r'^export \{([^}]*)\}(?: from "([^"]+)")?;$', re.M)
_DYNAMIC = re.compile(r'\bimport\("([^"]+)"\)')


def bundle(modules: Mapping[str, str], first: str, replaced: Mapping[str, str]) -> str:
    """A script that runs the module `first`. `modules`: their text by name, those of a static copy below "site/";
    `replaced`: names of modules for which others stand. ValueError for what isn't understood."""
    definitions = [f"{json.dumps(name)}: {_definition(name, text, replaced)}" for name, text in sorted(modules.items())]
    return (
        f'"use strict";\n(() => {{\nconst definitions = {{\n{",".join(definitions)}\n}};\n{LINKED}\n'
        'const required = linked(definitions, () => required("site/place.js"));\n'
        "window.alexnetBundle = { definitions, linked, required };\n"
        f"required({json.dumps(first)});\n}})();\n"
    )


def _definition(name: str, text: str, replaced: Mapping[str, str]) -> str:
    """The module as a function that fills `exports`."""
    folder, exported = name.rpartition("/")[0], dict[str, str]()

    def required(written: str) -> str:
        words = [word for word in folder.split("/") if word]
        for word in written.split("/"):
            if word == "..":
                words.pop()
            elif word != ".":
                words.append(word)
        found = "/".join(words)
        return f"require({json.dumps(replaced.get(found, found))})"

    def declared(found: re.Match[str]) -> str:
        exported[found[2]] = found[2]
        return f"{found[1]} {found[2]}"

    def listed(found: re.Match[str]) -> str:
        source = f"{required(found[2])}." if found[2] else ""
        for one in filter(None, (word.strip() for word in found[1].split(","))):
            inner, _, outer = one.partition(" as ")
            exported[outer or inner] = source + inner
        return ""

    def imported(found: re.Match[str]) -> str:
        names = found[2] or found[1].replace(" as ", ": ")
        return f"const {names} = {required(found[3])};"

    text = _IMPORT.sub(imported, text)
    text = _BARE_IMPORT.sub(lambda found: f"{required(found[1])};", text)
    text = _EXPORT_LIST.sub(listed, _EXPORTED.sub(declared, text))
    text = _DYNAMIC.sub(lambda found: f"Promise.resolve().then(() => {required(found[1])})", text)
    if strange := re.search(r"^(import|export)\b.*|import\.meta.*", text, re.M):
        raise ValueError(f"{name}: {strange[0]}: this can't be bundled")
    # Getters, as modules' own bindings are: a module that is imported in a circle is complete when it is used.
    getters = "".join(f"{outer}: {{ get: () => {inner} }}, " for outer, inner in exported.items())
    given = "exports, require" if folder == "site" else "exports, require, location"
    return f"({given}) => {{\nObject.defineProperties(exports, {{ {getters}}});\n{text}\n}}"
