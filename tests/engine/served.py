"""What processes of the tests would import one by one: the server that they come from imports it once."""

from __future__ import annotations

import gc
from importlib import import_module
from importlib.util import find_spec

ALL = (
    *("lightning_fabric", "lightning_fabric.strategies.ddp", "safetensors.torch"),
    *("motet.cli.data", "motet.cli.data_edit", "motet.cli.evaluate", "motet.cli.pretrain", "motet.cli.show"),
    *("motet.cli.tables", "motet.data.formats.csv", "motet.data.formats.importer", "motet.evaluate.runner"),
    *("motet.methods.distillation.run", "motet.methods.recipes.contrastive", "motet.methods.recipes.shipped"),
    *("motet.use.embed", "motet.use.weights", "tests.engine.test_processes", "tests.kills"),
    *(("motet.methods.distillation.raw.run",) if find_spec("av") else ()),
)
for module in ALL:
    import_module(module)
gc.freeze()  # pages with objects stay shared with the processes
