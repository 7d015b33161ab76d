"""What a method remembers between steps: queues and momentum twins."""

from motet.memory.queue import Queue
from motet.memory.twin import ema_update, make_twin

__all__ = ["Queue", "ema_update", "make_twin"]
