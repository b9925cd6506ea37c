"""Imports without garbage collection: each script runs in a process of its own."""

from __future__ import annotations

import gc

from lit_textclf.utils.imports.collection import without_collection
from tests.utils.imports.test_postponed import run


def test_what_is_imported_is_never_looked_at_again() -> None:
    run("""
import gc
from lit_textclf.utils.imports.collection import without_collection
collected = []
gc.callbacks.append(lambda phase, info: collected.append(phase))
with without_collection():
    import decimal, email.message, xml.dom.minidom
    kept = [[] for _ in range(100_000)]
    assert not gc.isenabled() and not collected
assert gc.isenabled() and gc.get_freeze_count() > 100_000
found = [[] for _ in range(100_000)]
assert collected
""")


def test_an_error_in_an_import_leaves_the_collector_on() -> None:
    run("""
import gc
from lit_textclf.utils.imports.collection import without_collection
try:
    with without_collection():
        import there_is_no_such_module
except ModuleNotFoundError:
    assert gc.isenabled()
""")


def test_a_collector_that_is_off_stays_off() -> None:
    run("""
import gc
from lit_textclf.utils.imports.collection import without_collection
gc.disable()
with without_collection():
    pass
assert not gc.isenabled() and not gc.get_freeze_count()
""")


def test_a_process_of_the_user_is_left_alone() -> None:
    frozen = gc.get_freeze_count()
    with without_collection():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
