"""Roofcast: how long a Transformer takes to answer, on a device you name.

>>> import simulator
>>> answer = simulator.predict("openai-davinci", "a100-sxm-80gb", tp=8, prompt_tokens=512, output_tokens=32)
>>> answer.basis
'calibrated'
"""

from simulator.errors import CheckFailed, ImpossibleError, InputError, RoofcastError
from simulator.prediction import Prediction, predict

__all__ = ["CheckFailed", "ImpossibleError", "InputError", "Prediction", "RoofcastError", "predict"]
