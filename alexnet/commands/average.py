"""`alexnet average`."""

from alexnet.commands.options.measuring import Average
from alexnet.errors import UsageError
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import refuse_foreign
from alexnet.measure import ensemble
from alexnet.measure.probabilities import Probabilities
from alexnet.report import text


def run(options: Average) -> None:
    if not options.files:
        raise UsageError("no file given. `alexnet evaluate … --save-probabilities FILE` makes one.")
    if options.weights and options.search:
        raise UsageError("--weights and --search: give one of the two.")
    if options.save is not None:
        Probabilities.refuse_foreign(options.save, "--save")
        if options.save.exists() and any(options.save.samefile(path) for path in options.files if path.exists()):
            raise UsageError(f"--save {options.save}: is one of the files to average. Name another.")
    members = [Probabilities.load(path) for path in options.files]
    found = ensemble.search_weights(members, options.search) if options.search else None
    weights = found.weights if found else ensemble.weights_from(options.weights)
    averaged = ensemble.average(members, weights)
    print(text.describe_average([str(path) for path in options.files], members, averaged))
    if options.save is not None:
        averaged.save(options.save)
    if options.submission is not None:
        lines = ensemble.submission(averaged).encode()
        refuse_foreign(options.submission, lambda path: path.read_bytes() == lines, "--submission")
        write_atomically(options.submission, lines)
