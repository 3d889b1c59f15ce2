"""`alexnet calibrate`."""

import json
from functools import partial

from alexnet.commands.options.measuring import Calibrate
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.files.schema import to_json
from alexnet.measure.calibration import calibrate, describe_calibration
from alexnet.measure.run import Run
from alexnet.report.figures import reliability_figure
from alexnet.report.results import Folder
from alexnet.terminal import progress, say


def run(options: Calibrate) -> None:
    opened, store = Run.open(options.run_folder, device=options.device), Store.open(options.store)
    if (earlier := opened.folder.calibration) and not options.replace:
        raise UserError(
            f"{opened.path}: is calibrated already, with temperature {earlier.temperature:.4f}. Add --replace to "
            "calibrate it again."
        )
    folder = Folder(opened.path, "calibrate")
    claim = folder.claim("reliability")
    with progress("pictures") as report:
        calibration, before, after = calibrate(opened, store, options.views, options.precision, partial(report, "val"))
    diagrams = {"before": before.reliability, "after": after.reliability}
    claim.put(reliability_figure(diagrams), {name: to_json(one) for name, one in diagrams.items()})
    stored = to_json(calibration)
    opened.folder.write_config(calibration=stored)
    print(json.dumps(stored, indent=1) if options.json else describe_calibration(calibration, after))
    for path in folder.written:
        say(str(path))
