"""/api/code/…: the files of the code that the tour leads to, as text."""

from importlib import resources

from fastapi import APIRouter, Response

from alexnet.serve.open_networks import Absent

routes = APIRouter(tags=["tour"])
FILES = (
    *("data/augment.py", "nets/layers.py", "nets/dropout.py", "nets/zoo.py", "nets/table.py", "kernels/reference.py"),
    *("train/update.py", "train/schedule.py", "train/loop.py", "measure/evaluation.py", "features/similar/index.py"),
)
_files = {f"alexnet/{name}": resources.files("alexnet").joinpath(name) for name in FILES}


@routes.get("/code/{name:path}")
def code(name: str) -> Response:
    """A file of the code by its name in the repository: one of those that the tour names."""
    if name not in _files:
        raise Absent("there is no such file here")
    return Response(_files[name].read_bytes(), media_type="text/plain", headers={"cache-control": "no-cache"})
