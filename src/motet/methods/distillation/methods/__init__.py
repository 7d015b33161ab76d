"""Ways to distil, one file each, behind one interface (:class:`motet.methods.distillation.methods.base.Method`)."""

from __future__ import annotations

from dataclasses import fields

from motet.methods.distillation.methods.amid import Amid
from motet.methods.distillation.methods.ccl import Ccl
from motet.methods.distillation.methods.crd import Crcd, Crd
from motet.methods.distillation.methods.gmc import Gmc
from motet.methods.distillation.methods.plain import Alone, Kd, Teacher

AnyMethod = Alone | Teacher | Kd | Crd | Crcd | Gmc | Ccl | Amid

# every method with its published options; "nce" is AMID with the contrast of CCL
METHODS: dict[str, AnyMethod] = {
    "amid": Amid(),
    "nce": Amid(reduction="nce"),
    "kd": Kd(),
    "crd": Crd(),
    "crcd": Crcd(),
    "gmc": Gmc(),
    "ccl": Ccl(),
    "alone": Alone(),
    "teacher": Teacher(),
}


def owners(option: str) -> list[str]:
    """Methods that have an option of this name."""
    return [name for name, options in METHODS.items() if option in {f.name for f in fields(options)}]


__all__ = ["METHODS", "Alone", "Amid", "AnyMethod", "Ccl", "Crcd", "Crd", "Gmc", "Kd", "Teacher", "owners"]
