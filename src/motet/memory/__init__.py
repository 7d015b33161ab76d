"""What a method remembers between steps: queues, momentum encoders and prototypes."""

from motet.memory.momentum import ema_update, make_twin, momentum_encoder
from motet.memory.prototypes import Prototypes
from motet.memory.queue import Queue

__all__ = ["Prototypes", "Queue", "ema_update", "make_twin", "momentum_encoder"]
