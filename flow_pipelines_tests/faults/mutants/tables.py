"""The guards of prompt tables and templates: what is sent is what was meant."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

_GUARD = "What is sent is what was meant"
_TEMPLATES = "batches/templates.py"
_TEMPLATES_TEST = "unit/batches/test_templates.py"
_RENDER = "batches/render.py"
_RENDER_TEST = "unit/batches/test_render.py"
_FILES_TEST = "unit/batches/test_table_files.py"
_CHECK = "component/table_check.py"
_CHECK_TEST = "dagster/test_table_check.py"

TABLES = (
    Mutant(
        guard=_GUARD,
        removed="braces that are no column are sent as they stand",
        edits=(Edit(_TEMPLATES, "            fault = fault or _fault_of_token(match)\n"),),
        tests=(_TEMPLATES_TEST,),
    ),
    Mutant(
        guard=_GUARD,
        removed="a column's name in doubled braces is sent as text",
        edits=(
            Edit("batches/checks.py", "    if name is None:\n", "    if name is None or True:\n"),
        ),
        tests=(_RENDER_TEST,),
    ),
    Mutant(
        guard=_GUARD,
        removed="two rows with the same request are both bought where no cache answers",
        edits=(
            Edit(
                _RENDER,
                "    if not settings.allow_identical:\n",
                "    if cached_when_identical and not settings.allow_identical:\n",
            ),
        ),
        tests=(_RENDER_TEST,),
    ),
    Mutant(
        guard=_GUARD,
        removed="a seed in a node that nothing depends on makes two requests differ",
        edits=(Edit("batches/recipe.py", "        if not self.idle:\n", "        if True:\n"),),
        tests=(_RENDER_TEST,),
    ),
    Mutant(
        guard=_GUARD,
        removed="an empty cell that a parameter uses is sent",
        edits=(
            Edit(
                "batches/recipe.py",
                "        if self.may_be_empty is None or column in self.may_be_empty:\n",
                "        if True:\n",
            ),
        ),
        tests=(_RENDER_TEST,),
    ),
    Mutant(
        guard=_GUARD,
        removed="a column Seed is ignored without a word",
        edits=(
            Edit(
                "batches/prompt_table.py",
                "            if column != special and column.casefold() == special:\n",
                "            if False:\n",
            ),
        ),
        tests=("unit/batches/test_tables.py",),
    ),
    Mutant(
        guard=_GUARD,
        removed="a number of which a workbook lost digits is sent",
        edits=(
            Edit(
                "batches/spreadsheets.py",
                "    if abs(cell) >= _EXACT_BELOW:\n",
                "    if False:\n",
            ),
        ),
        tests=(_FILES_TEST,),
    ),
    Mutant(
        guard=_GUARD,
        removed="one of several sheets is taken",
        edits=(Edit("batches/spreadsheets.py", "    if len(filled) > 1:\n", "    if False:\n"),),
        tests=(_FILES_TEST,),
    ),
    Mutant(
        guard=_GUARD,
        removed="a packed table may fill the memory",
        edits=(
            Edit("batches/table_files.py", "        if size > MAX_BYTES:\n", "        if False:\n"),
        ),
        tests=(_FILES_TEST,),
    ),
    Mutant(
        guard=_GUARD,
        removed="a check of definitions passes a table that no night can buy",
        edits=(
            Edit(
                "component/prompt_batch.py",
                "        if problems and is_validating():\n",
                "        if False:\n",
            ),
        ),
        tests=(_CHECK_TEST,),
    ),
    Mutant(
        guard=_GUARD,
        removed="run workers read the tables as well",
        edits=(
            Edit(
                _CHECK,
                "    if load.load_type != DefinitionsLoadType.INITIALIZATION or "
                "_spent.get(load, 0.0) >= SECONDS:\n",
                "    if _spent.get(load, 0.0) >= SECONDS:\n",
            ),
        ),
        tests=(_CHECK_TEST,),
    ),
)
