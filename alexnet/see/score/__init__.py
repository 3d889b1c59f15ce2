"""Is an attribution map true? Every method and two controls, measured on many pictures."""

from alexnet.see.score.metrics import METRICS
from alexnet.see.score.scores import CONTROLS, Scores, score

__all__ = ["CONTROLS", "METRICS", "Scores", "score"]
