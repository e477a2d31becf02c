"""The tiny models and conversations of tests/auditor/evidence, also used here."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_place = Path(__file__).parents[1] / "auditor" / "evidence" / "conftest.py"
_spec = spec_from_file_location("evidence_kit", _place)
assert _spec is not None and _spec.loader is not None
_kit = module_from_spec(_spec)
sys.modules["evidence_kit"] = _kit
_spec.loader.exec_module(_kit)

kit, kit64, saved, kit_of, shop, _one_thread = (
    _kit.kit, _kit.kit64, _kit.saved, _kit.kit_of, _kit.shop, _kit._one_thread,
)  # fmt: skip
