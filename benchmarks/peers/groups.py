"""What `alexnet bench` compares with other programs, by group."""

from collections.abc import Callable

from alexnet.bench.own import Bench
from alexnet.bench.timing import Row
from peers import inference, norms, pictures, seeing, training

GROUPS: dict[str, Callable[[Bench], list[Row]]] = {
    "train": training.rows,
    "infer": inference.infer_rows,
    "lrn": norms.rows,
    "prepare": pictures.prepare_rows,
    "data": pictures.data_rows,
    "see": seeing.rows,
}
