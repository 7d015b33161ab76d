"""Networks that turn raw video and sound into the features of a table."""

from __future__ import annotations

from motet.methods.distillation.extractors.audio import Cnn14, log_mel
from motet.methods.distillation.extractors.image import DenseNet, normalise_pictures
from motet.methods.distillation.extractors.video import R2Plus1D, normalise

__all__ = ["Cnn14", "DenseNet", "R2Plus1D", "log_mel", "normalise", "normalise_pictures"]
