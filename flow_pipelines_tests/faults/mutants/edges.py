"""Guards at the edges: files that rows name, the bucket, callbacks, keys, bounds that are none."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

KEYS = "A download carries no key"
INPUTS = "Rows read pictures from listed places only"
BUCKET = "The bucket takes, refuses and loses as S3 does"
RECEIVER = "The receiver answers whatever else is connected"
BOUNDS = "A bound that is written bounds"
OWNER = "A ledger's report is its own"
PLAIN = "Plain http is for one host that a person allowed"

_CONTRACT = "conformance/providers/test_contract.py"
_WEBHOOKS = "webhooks/test_command.py"
_S3 = "unit/storage/test_s3_settings.py"
_INPUTS = "unit/lifecycle/test_inputs.py"
_PLACES = "dagster/test_input_places.py"
_LOADING = "dagster/test_loading.py"
_RESOURCES = "dagster/test_resources.py"
_COST_REPORT = "dagster/test_cost_report.py"
_PLAIN_HTTP = "faults/security/test_plain_http.py"

EDGES = (
    Mutant(
        guard=PLAIN,
        removed="allow_http allows every address of the resource",
        edits=(
            Edit(
                "transport/addresses.py",
                "    if goes_in_plain(origin) and origin.host != plain_host:\n",
                "    if goes_in_plain(origin) and plain_host is None:\n",
            ),
        ),
        tests=(_PLAIN_HTTP,),
    ),
    Mutant(
        guard=PLAIN,
        removed="allow_http allows what answers name, too",
        edits=(
            Edit(
                "transport/addresses.py",
                '            if origin.scheme != "https":\n',
                '            if origin.scheme != "https" and not goes_in_plain(self._own[0]):\n',
            ),
        ),
        tests=(_PLAIN_HTTP,),
    ),
    Mutant(
        guard=PLAIN,
        removed="a provider with allow_http counts as one on this machine",
        edits=(
            Edit(
                "transport/addresses.py",
                "        self.local = is_loopback(self._own[0].host)\n",
                "        self.local = is_loopback(self._own[0].host) or allow_http\n",
            ),
        ),
        tests=(_PLAIN_HTTP,),
    ),
    Mutant(
        guard=PLAIN,
        removed="a proxy passes plain http on",
        edits=(
            Edit(
                "transport/http.py",
                'self._book.local or origin_of(url).scheme == "http"',
                "self._book.local",
            ),
        ),
        tests=(_PLAIN_HTTP,),
    ),
    Mutant(
        guard=PLAIN,
        removed="doctor does not say that a key goes in plain",
        edits=(
            Edit(
                "cli/doctor_accounts.py",
                "                yield from self._in_plain(finding.check)\n",
                "                pass\n",
            ),
        ),
        tests=(_PLAIN_HTTP,),
    ),
    Mutant(
        guard=KEYS,
        removed="the token goes along with a download from the provider's own host",
        edits=(
            Edit(
                "provider/client.py",
                "max_bytes, authenticated=False, **declared)",
                "max_bytes, **declared)",
            ),
        ),
        tests=(_CONTRACT,),
    ),
    Mutant(
        guard=RECEIVER,
        removed="connections that wait are not bounded",
        edits=(
            Edit(
                "webhooks/serving.py",
                "        self._time_head()\n        self._make_room()\n",
                "        self._time_head()\n",
            ),
        ),
        tests=(_WEBHOOKS,),
    ),
    Mutant(
        guard=RECEIVER,
        removed="headers may take for ever",
        edits=(
            Edit(
                "webhooks/serving.py",
                "self.loop.call_later(self.head_seconds, self.transport.abort)",
                "self.loop.call_later(self.lives_seconds, self.transport.abort)",
            ),
        ),
        tests=(_WEBHOOKS,),
    ),
    Mutant(
        guard=BUCKET,
        removed="no checksum goes along with an object",
        edits=(
            Edit(
                "storage/s3_upload.py",
                '        **{"ContentMD5": base64.b64encode(md5).decode(), **upload.put_args},\n',
                "        **upload.put_args,\n",
            ),
        ),
        tests=(_S3,),
    ),
    Mutant(
        guard=BUCKET,
        removed="a refusal for good counts as passing",
        edits=(Edit("storage/s3_errors.py", "    if is_for_good(error):\n", "    if False:\n"),),
        tests=(_S3,),
    ),
    Mutant(
        guard=INPUTS,
        removed="a local picture may lie anywhere",
        edits=(
            Edit(
                "lifecycle/inputs.py",
                "        if Path(reference).is_absolute() or not path.is_relative_to(root):\n",
                "        if False:\n",
            ),
        ),
        tests=(_INPUTS,),
    ),
    Mutant(
        guard=INPUTS,
        removed="any bucket is read",
        edits=(
            Edit(
                "resources/input_places.py",
                "        if not key or leaves_its_folder(key) or not listed:\n",
                "        if False:\n",
            ),
        ),
        tests=(_PLACES,),
    ),
    Mutant(
        guard=INPUTS,
        removed="any address is read, and any redirect followed",
        edits=(
            Edit(
                "transport/addresses.py",
                "        if not any(is_below(path, place.path) for place in places):\n",
                "        if False:\n",
            ),
        ),
        tests=(_PLACES,),
    ),
    Mutant(
        guard=BOUNDS,
        removed="a budget that is written and resolves to nothing means no cap",
        edits=(
            Edit(
                "component/fields.py",
                "    resolved = context.resolve_value(value)\n",
                "    resolved = context.resolve_value(value)\n"
                "    if resolved is None:\n        return None  # type: ignore[return-value]\n",
            ),
        ),
        tests=(_LOADING,),
    ),
    Mutant(
        guard=BOUNDS,
        removed="a resource's bound that is written as nothing means none",
        edits=(
            Edit(
                "resources/environment.py",
                "            if value is None and not _FILLED_IN.get() and",
                "            if False and",
            ),
        ),
        tests=(_RESOURCES,),
    ),
    Mutant(
        guard=OWNER,
        removed="another ledger's cost report is overwritten",
        edits=(
            Edit(
                "resources/io_manager.py",
                "    if owner in {None, ledger_id}:\n",
                "    if True:\n",
            ),
        ),
        tests=(_COST_REPORT,),
    ),
)
