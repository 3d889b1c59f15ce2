"""Looking inside: every method of Zeiler & Fergus 2014, on any network of the zoo and any run folder.

    run = alexnet.load("runs/photos")
    passed = run_forward(run.network, inputs_of(run.viewer, torch.from_numpy(records_of(run, ["cat.jpg"]))))
    seen = project(passed, strongest_units(run.network, passed["conv5"], "conv5", 9))

Everything walks the table of rows; nothing uses hooks. Figures are drawn by `alexnet.see.figures`.
Imports `report`, `measure`, `runs`, `data`, `images`, `nets`.
"""

from alexnet.see.ablation import AblationCurve, ablation_curve
from alexnet.see.annotated import AnnotatedPictures, AnnotatedView, open_annotated
from alexnet.see.contributions import Contribution, Contributions, contributions
from alexnet.see.correspondence import Correspondence, correspondence_of
from alexnet.see.deconvnet import RULES, Projections, Rules, descend, project
from alexnet.see.diagnosis import Filters, diagnose, linear_pattern
from alexnet.see.dissection import Dissection, dissect
from alexnet.see.evolution import Evolution, evolve
from alexnet.see.follow import NumberPath, follow
from alexnet.see.forward_pass import ForwardPass, inputs_of, records_of, run_forward
from alexnet.see.interventions import Edit, Intervention, SplitEffect, effect_on_split, intervene
from alexnet.see.invariance import Invariance, invariance_of
from alexnet.see.invert import Inversion, invert
from alexnet.see.keypoints import read_keypoints
from alexnet.see.occlusion import Occluder, Occlusion, Square, occlusion_map
from alexnet.see.patches import UnitPatch, patches_of
from alexnet.see.representation import Representations, compare_representations
from alexnet.see.top import Strongest, Top, find_top, merge
from alexnet.see.units import Unit, box_of, feature_row, strongest_units
from alexnet.see.visualise import PRESETS, Visualisation, visualise

__all__ = [
    "PRESETS",
    "RULES",
    "AblationCurve",
    "AnnotatedPictures",
    "AnnotatedView",
    "Contribution",
    "Contributions",
    "Correspondence",
    "Dissection",
    "Edit",
    "Evolution",
    "Filters",
    "ForwardPass",
    "Intervention",
    "Invariance",
    "Inversion",
    "NumberPath",
    "Occluder",
    "Occlusion",
    "Projections",
    "Representations",
    "Rules",
    "SplitEffect",
    "Square",
    "Strongest",
    "Top",
    "Unit",
    "UnitPatch",
    "Visualisation",
    "ablation_curve",
    "box_of",
    "compare_representations",
    "contributions",
    "correspondence_of",
    "descend",
    "diagnose",
    "dissect",
    "effect_on_split",
    "evolve",
    "feature_row",
    "find_top",
    "follow",
    "inputs_of",
    "intervene",
    "invariance_of",
    "invert",
    "linear_pattern",
    "merge",
    "occlusion_map",
    "open_annotated",
    "patches_of",
    "project",
    "read_keypoints",
    "records_of",
    "run_forward",
    "strongest_units",
    "visualise",
]
