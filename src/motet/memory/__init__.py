"""What a method remembers between steps: queues, momentum twins and prototypes."""

from motet.memory.prototypes import Prototypes
from motet.memory.queue import Queue
from motet.memory.twin import ema_update, make_twin

__all__ = ["Prototypes", "Queue", "ema_update", "make_twin"]
