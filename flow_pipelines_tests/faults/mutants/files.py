"""The guards around stored files, and how each is taken out."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

EVERY_FILE = "Every paid file is kept"
NOT_SHOWN = "Nothing foreign is shown in a browser"
STORY = "Every stored object tells its story"

_TRANSFER = "unit/storage/test_transfer.py"
_EXAMINE = "unit/storage/test_examine.py"
_COLLECT = "unit/lifecycle/test_collect.py"
_NIGHT = "faults/test_every_file.py"
_UPGRADE = "faults/test_upgrade_0009.py"

MUTANTS = (
    Mutant(
        guard=EVERY_FILE,
        removed="what can hardly be the output is kept as it comes the first time",
        edits=(
            Edit("storage/transfer.py", "if not belief.covers(facts.doubt, sha256):", "if False:"),
        ),
        tests=(_TRANSFER,),
    ),
    Mutant(
        guard=EVERY_FILE,
        removed="text in the place of a picture is kept before a day is over",
        edits=(
            Edit(
                "lifecycle/transfers.py",
                "return first is not None and ports.clock.now() - first >= DOUBT",
                "return first is not None",
            ),
        ),
        tests=(_COLLECT,),
    ),
    Mutant(
        guard=EVERY_FILE,
        removed="what is damaged takes the key of what may come yet",
        edits=(
            Edit(
                "storage/examine.py",
                'extension=f"damaged.{known[1] if known else promise.extension}"',
                "extension=known[1] if known else promise.extension",
            ),
        ),
        tests=(_TRANSFER, _EXAMINE),
    ),
    Mutant(
        guard=EVERY_FILE,
        removed="a good copy does not take the place of a damaged one",
        edits=(
            Edit(
                "ledger/collecting.py",
                '    if known["verified"] == "damaged" or facts.is_damaged:\n'
                "        return not facts.is_damaged\n",
            ),
        ),
        tests=(_COLLECT, "conformance/ledger/test_collecting.py"),
    ),
    Mutant(
        guard=EVERY_FILE,
        removed="the provider's own word for a file's size is not looked at",
        edits=(
            Edit(
                "storage/examine.py",
                "if announced is not None and size_bytes < announced:",
                "if False:",
            ),
        ),
        tests=(_TRANSFER,),
    ),
    Mutant(
        guard=EVERY_FILE,
        removed="a file above the limit is fetched with every collection",
        edits=(
            Edit(
                "ledger/collecting.py",
                '                values |= {"settled_above": settled_above, "sealed_link": None}\n',
                "                pass\n",
            ),
        ),
        tests=(_COLLECT,),
    ),
    Mutant(
        guard=EVERY_FILE,
        removed="outputs that an older release named by their links are not known again",
        edits=(Edit("model/output.py", "(_same_id, _former_id, _same_place)", "(_same_id,)"),),
        tests=(_UPGRADE,),
    ),
    Mutant(
        guard=NOT_SHOWN,
        removed="an object that may be a page is not marked to be saved",
        edits=(Edit("storage/transfer.py", "attachment=facts.is_attachment", "attachment=False"),),
        tests=(_NIGHT,),
    ),
    Mutant(
        guard=NOT_SHOWN,
        removed="whatever is stored is loaded into the gallery",
        edits=(
            Edit(
                "reports/row_view.py",
                "load=partial(pictures.get, facts) if facts.is_shown else None",
                "load=partial(pictures.get, facts)",
            ),
        ),
        tests=(_NIGHT,),
    ),
    Mutant(
        guard=NOT_SHOWN,
        removed="what others wrote goes into a page as it is",
        edits=(Edit("reports/page/__init__.py", "autoescape=True", "autoescape=False"),),
        tests=("unit/reports/test_gallery.py", "unit/reports/test_comparison_page.py"),
    ),
    Mutant(
        guard=NOT_SHOWN,
        removed="the local bucket lets browsers guess types and run scripts",
        edits=(
            Edit(
                "sandbox/bucket.py",
                '        self.send_header("X-Content-Type-Options", "nosniff")\n'
                '        self.send_header("Content-Security-Policy", self._policy)\n',
            ),
        ),
        tests=(_NIGHT,),
    ),
    Mutant(
        guard=STORY,
        removed="an object carries its checksum only",
        edits=(
            Edit(
                "storage/s3_upload.py",
                '{**more.pop("Metadata", {}), **self.notes.metadata, "sha256": self.sha256}',
                '{"sha256": self.sha256}',
            ),
        ),
        tests=(_NIGHT, "unit/storage/test_s3_faults.py"),
    ),
    Mutant(
        guard=STORY,
        removed="what an object says is not masked",
        edits=(Edit("lifecycle/object_metadata.py", "redact(str(value))", "str(value)"),),
        tests=("unit/lifecycle/test_object_notes.py",),
    ),
)
