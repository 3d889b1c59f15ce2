"""The command line's verbs: `options/` declares their options, a file named like the verb runs it.

May import every other folder. A verb's file is imported only when that verb runs.
"""

from alexnet.commands.options import data, features, measuring, papers, seeing, tools, training, weights

VERBS: dict[str, type] = {
    "nets": training.Nets,
    "prepare": data.Prepare,
    "check": data.Check,
    "train": training.Train,
    "crossvalidate": training.CrossValidate,
    "plan": training.Plan,
    "evaluate": measuring.Evaluate,
    "errors": measuring.Errors,
    "calibrate": measuring.Calibrate,
    "predict": measuring.Predict,
    "average": measuring.Average,
    "report": measuring.Report,
    "paper": papers.Paper,
    "see": seeing.See,
    "serve": tools.Serve,
    "features": features.Features,
    "transfer": features.Transfer,
    "similar build": features.SimilarBuild,
    "similar": features.Similar,
    "verify": measuring.Verify,
    "weights": weights.Weights,
    "import": weights.Import,
    "export": weights.Export,
    "demo": tools.Demo,
    "bench": tools.Bench,
    "completion": tools.Completion,
}
