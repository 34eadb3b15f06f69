"""The guards of hosts that share a ledger, and how each is taken out."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

TIME = "Hosts of one ledger go by its time"
AWAY = "A database that went away may be back"
FILE = "A ledger file serves one host"

_SHARED_TIME = "faults/processes/test_shared_time.py"
_TWO_HOSTS = "dagster/test_two_hosts.py"

HOSTS = (
    Mutant(
        guard=TIME,
        removed="a ledger on PostgreSQL goes by each host's own clock",
        edits=(Edit("ledger/connect.py", "clock or DatabaseClock(host)", "clock or host"),),
        tests=(_SHARED_TIME,),
    ),
    Mutant(
        guard=TIME,
        removed="before a POST the age of the intent is told by what the host counts",
        edits=(
            Edit(
                "ledger/database.py",
                "            with self.read():\n                return self.clock.now()\n",
                "            return self.clock.now()\n",
            ),
        ),
        tests=(_SHARED_TIME,),
    ),
    Mutant(
        guard=TIME,
        removed="only the first transaction reads the time",
        edits=(
            Edit(
                "ledger/connect.py",
                "if isinstance(clock, DatabaseClock):\n",
                "if isinstance(clock, DatabaseClock) and clock.now().year == 1:\n",
            ),
        ),
        tests=(_SHARED_TIME,),
    ),
    Mutant(
        guard=TIME,
        removed="the time of a lease is read before its transaction",
        edits=(
            Edit(
                "ledger/leases.py",
                "        with self._database.write() as connection:\n"
                "            now = self._database.clock.now()  # read within the transaction, "
                "never before it\n",
                "        now = self._database.clock.now()\n"
                "        with self._database.write() as connection:\n",
            ),
        ),
        tests=(_SHARED_TIME,),
    ),
    Mutant(
        guard=TIME,
        removed="the time of a claim is read before its transaction",
        edits=(
            Edit(
                "ledger/polling.py",
                "        with self._database.write() as connection:\n"
                "            now = self._database.clock.now()\n"
                "            due = in_flight.where(\n",
                "        now = self._database.clock.now()\n"
                "        with self._database.write() as connection:\n"
                "            due = in_flight.where(\n",
            ),
        ),
        tests=(_SHARED_TIME,),
    ),
    Mutant(
        guard=TIME,
        removed="the time of an account's stop is read before its transaction",
        edits=(
            Edit(
                "ledger/leases.py",
                "        with self._database.write() as connection:\n"
                '            values = {"code": code, "message": message, '
                '"at": self._database.clock.now()}\n',
                '        values = {"code": code, "message": message, '
                '"at": self._database.clock.now()}\n'
                "        with self._database.write() as connection:\n",
            ),
        ),
        tests=(_SHARED_TIME,),
    ),
    Mutant(
        guard=TIME,
        removed="a ledger that cannot tell the time before a POST is not caught",
        edits=(
            Edit(
                "lifecycle/submit.py",
                "(StorageError, ConfigurationError, LedgerError) as",
                "(StorageError, ConfigurationError) as",
            ),
        ),
        tests=("unit/lifecycle/test_requests.py",),
    ),
    Mutant(
        guard=TIME,
        removed="a sensor says nothing of a host's wrong clock",
        edits=(
            Edit(
                "sensors.py",
                "        if skew is not None and abs(skew) > LARGEST_SKEW:\n",
                "        if False:\n",
            ),
        ),
        tests=("dagster/test_wrong_clock.py",),
    ),
    Mutant(
        guard=TIME,
        removed="doctor says nothing of a host's wrong clock",
        edits=(
            Edit(
                "cli/doctor.py",
                "        if ledger is not None and (skew := ledger.skew()) is not None:\n",
                "        if False and (skew := ledger.skew()) is not None:\n",
            ),
        ),
        tests=("dagster/test_wrong_clock.py",),
    ),
    Mutant(
        guard=AWAY,
        removed="a database that was restarted counts as broken for good",
        edits=(Edit("ledger/database.py", "    if _is_away(error):\n", "    if False:\n"),),
        tests=("conformance/ledger/test_opening.py",),
    ),
    Mutant(
        guard=FILE,
        removed="a step that an executor sent elsewhere may open a file",
        edits=(
            Edit(
                "resources/run_ledger.py",
                "        if not _steps_stay(executor):\n",
                "        if False:\n",
            ),
        ),
        tests=(_TWO_HOSTS,),
    ),
    Mutant(
        guard=FILE,
        removed="a code server whose name stands for other machines may open a file",
        edits=(
            Edit(
                "resources/run_ledger.py",
                "is_file(setting(self.url, VARIABLE)) and not _is_this_machine(host)",
                "False",
            ),
        ),
        tests=(_TWO_HOSTS,),
    ),
    Mutant(
        guard=FILE,
        removed="a step does not look whose code server started it",
        edits=(
            Edit(
                "resources/run_ledger.py",
                "self.of_location(origin and origin.repository_origin.code_location_origin)",
                "self.get_ledger()",
            ),
        ),
        tests=(_TWO_HOSTS,),
    ),
    Mutant(
        guard=FILE,
        removed="a tick does not look whose code server it is in",
        edits=(
            Edit(
                "sensors.py",
                "run_ledger.of_location(\n            self.context.code_location_origin\n        )",
                "run_ledger.get_ledger()",
            ),
        ),
        tests=(_TWO_HOSTS,),
    ),
    Mutant(
        guard=FILE,
        removed="PostgreSQL is refused, too, where work goes elsewhere",
        edits=(
            Edit(
                "resources/run_ledger.py",
                "        if self._elsewhere and is_file(url):\n",
                "        if self._elsewhere:\n",
            ),
        ),
        tests=(_TWO_HOSTS,),
    ),
    Mutant(
        guard=FILE,
        removed="`workflow` reads for a batch of another ledger",
        edits=(
            Edit(
                "assets/workflow.py",
                "        refuse_other_ledger(ports.store, batch.name, ports.ledger.ledger_id)\n",
            ),
        ),
        tests=(_TWO_HOSTS,),
    ),
    Mutant(
        guard=FILE,
        removed="a comparison shows a batch of another ledger",
        edits=(
            Edit(
                "assets/comparison.py",
                "            refuse_other_ledger(store, night.batch, ledger.ledger_id)\n",
                "            pass\n",
            ),
        ),
        tests=(_TWO_HOSTS,),
    ),
    Mutant(
        guard=FILE,
        removed="a step works on a batch of another ledger",
        edits=(
            Edit(
                "storage/receipts.py",
                "    if note is not None and note.ledger_id != ledger_id:\n",
                "    if False:\n",
            ),
        ),
        tests=(_TWO_HOSTS,),
    ),
    Mutant(
        guard=FILE,
        removed="images of a night that was never sent end green",
        edits=(Edit("assets/images.py", "            _refuse_unsent(night, ports)\n"),),
        tests=(_TWO_HOSTS,),
    ),
)
