"""`alexnet plan`."""

import json
from dataclasses import asdict

from alexnet.commands.options.training import Plan
from alexnet.train import plan


def run(options: Plan) -> None:
    subject = plan.Subject.of(options.name, options.run_folder, options.width, options.speed)
    cluster = plan.Cluster(options.devices, options.link * 1e9, subject.speed, plan.NUMBER_BYTES[options.wire])
    found = plan.forecasts(subject, cluster, batch=options.batch, pictures=options.pictures)
    print(json.dumps([asdict(layout) for layout in found], indent=1) if options.json else plan.describe(found))
