"""What requests and answers look like; the OpenAPI document is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load, validate, validates_schema

from geniequeue.jobs.job import DEFAULT_PRIORITY, MAX_PRIORITY, ShownState
from geniequeue.log import get_logger
from geniequeue.operations import OPERATIONS, PUBLIC_OPERATIONS
from geniequeue.params import Between, OneOf, StrictInteger, Text, UuidText
from geniequeue.quota.verdict import MESSAGES, Decision

STATES: tuple[str, ...] = get_args(ShownState)
DECISIONS: tuple[str, ...] = get_args(Decision)
MAX_URL_CHARS = 2048
MAX_PAGE = 100_000
MAX_LOGGED_NAMES = 20

log = get_logger(__name__)


class OperationName(fields.String):
    """The name of a public operation."""

    _expected = f"expected one of {', '.join(PUBLIC_OPERATIONS)}"
    default_error_messages = {"required": _expected, "null": _expected}  # noqa: RUF012 (as marshmallow declares it)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        del attr, data, kwargs
        if isinstance(value, str) and value in PUBLIC_OPERATIONS:
            return value
        internal = isinstance(value, str) and (value.startswith("onboarding:") or value in OPERATIONS)
        raise ValidationError(f"this operation is internal; {self._expected}" if internal else self._expected)


class RequestSchema(Schema):
    """Base: unknown members are ignored and logged, as the original system did; null is as good as left out."""

    class Meta:
        unknown = EXCLUDE

    @pre_load
    def _log_unknown(self, data: Any, **_: Any) -> Any:
        if isinstance(data, dict):
            known = {field.data_key or name for name, field in self.load_fields.items()}
            unknown = [str(name)[:64] for name in data if name not in known]
            if unknown:
                log.info("unknown members ignored", count=len(unknown), members=unknown[:MAX_LOGGED_NAMES])
        return data


class MediaRequestSchema(RequestSchema):
    """Enqueue a job. What is left out is taken from the stored `media_jobs` item."""

    job_id = UuidText(data_key="jobId", required=True, metadata={"description": "Id of the `media_jobs` item."})
    operation = OperationName(required=True, metadata={"enum": list(PUBLIC_OPERATIONS)})
    input_file_id = UuidText(allow_none=True, metadata={"description": "Id of the stored file to work on."})
    input_url = Text(allow_none=True, validate=validate.Length(1, MAX_URL_CHARS))
    params = fields.Dict(
        keys=fields.String(), allow_none=True, metadata={"description": "As `GET /api/queue/operations` describes."}
    )
    creator_profile_id = UuidText(allow_none=True)
    priority = StrictInteger(
        allow_none=True,
        validate=Between(0, MAX_PRIORITY),
        metadata={"description": f"Lower runs first; {DEFAULT_PRIORITY} unless given."},
    )

    @validates_schema(skip_on_field_errors=False)
    def _params_fit_the_operation(self, data: Mapping[str, Any], **_: Any) -> None:
        operation = PUBLIC_OPERATIONS.get(data.get("operation", ""))
        if operation is None or data.get("params") is None:
            return
        try:
            operation.load_params(data["params"])
        except ValidationError as error:
            raise ValidationError({"params": error.messages}) from None


class TraceRequestSchema(RequestSchema):
    """Find out whose copy a file is. Without `asset_file_id` the caller's marked files are searched."""

    file_id = UuidText(allow_none=True, metadata={"description": "Id of the stored file that leaked."})
    input_url = Text(allow_none=True, validate=validate.Length(1, MAX_URL_CHARS))
    asset_file_id = UuidText(allow_none=True, metadata={"description": "Id of the file that was marked."})


class JobsQuerySchema(RequestSchema):
    """Which jobs to list."""

    state = fields.String(validate=OneOf(STATES), load_default=None)
    operation = fields.String(validate=OneOf(list(OPERATIONS)), load_default=None)
    page = fields.Integer(validate=Between(1, MAX_PAGE), load_default=1)


class OkSchema(Schema):
    """Base of every answer that is no error."""

    ok = fields.Boolean(dump_default=True, metadata={"enum": [True]})


class AcceptedSchema(OkSchema):
    """The job is on its queue."""

    bull_job_id = fields.String(data_key="bullJobId", metadata={"example": "bull:media-jobs:1042"})
    job_id = fields.String(data_key="jobId", metadata={"format": "uuid"})


class CancelSchema(OkSchema):
    """The job is cancelled, or will be as soon as its worker hears of it."""

    job_id = fields.String(data_key="jobId", metadata={"format": "uuid"})
    state = fields.String(validate=validate.OneOf(["cancelled", "cancelling"]))


class EvidenceKeySchema(OkSchema):
    """What the evidence of a trace is checked with."""

    algorithm = fields.String(metadata={"example": "Ed25519"})
    public_key = fields.String(metadata={"description": "32 bytes in Base64."})


class QueueCountsSchema(Schema):
    """Numbers of one queue."""

    waiting = fields.Integer()
    active = fields.Integer()
    completed = fields.Integer()
    failed = fields.Integer()
    delayed = fields.Integer()


class TaxonomyCacheSchema(Schema):
    """Use of the taxonomy cache, over all processes."""

    hits = fields.Integer()
    misses = fields.Integer()
    size = fields.Integer()


class StatsSchema(OkSchema):
    """The numbers of every queue."""

    stats = fields.Dict(keys=fields.String(), values=fields.Nested(QueueCountsSchema))
    taxonomy_cache = fields.Nested(TaxonomyCacheSchema)


class GenerationSchema(OkSchema):
    """The taxonomy cache is rebuilt before it is used again."""

    generation = fields.Integer()


class OutputSchema(Schema):
    """One file that a job made."""

    file_id = fields.String(metadata={"format": "uuid"})
    role = fields.String()
    path = fields.String(metadata={"description": "Where its content is: an address, or a path of the embedded store."})
    mime = fields.String()
    width_px = fields.Integer(allow_none=True)
    height_px = fields.Integer(allow_none=True)
    duration_s = fields.Float(allow_none=True)
    size_bytes = fields.Integer()
    sha256 = fields.String()


class TimingsSchema(Schema):
    """When a job was accepted, started and finished."""

    accepted_at = fields.String(allow_none=True, metadata={"format": "date-time"})
    started_at = fields.String(allow_none=True, metadata={"format": "date-time"})
    finished_at = fields.String(allow_none=True, metadata={"format": "date-time"})
    waited_s = fields.Float(allow_none=True)
    ran_s = fields.Float(allow_none=True)


class JobSchema(OkSchema):
    """One job."""

    jobId = fields.String(metadata={"format": "uuid"})
    bullJobId = fields.String(allow_none=True)
    operation = fields.String(allow_none=True)
    input_file_id = fields.String(allow_none=True, metadata={"format": "uuid"})
    priority = fields.Integer(allow_none=True)
    state = fields.String(
        validate=validate.OneOf(STATES), metadata={"description": "`created`: its item exists, but it was never sent."}
    )
    progress = fields.Float(metadata={"description": "0 to 100"})
    attempts = fields.Integer()
    retry_count = fields.Integer()
    outputs = fields.List(fields.Nested(OutputSchema))
    input = fields.Dict(allow_none=True, metadata={"description": "What was found in the input file."})
    trace = fields.Dict(allow_none=True, metadata={"description": "Whose copy a leak was found to be."})
    error = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)
    message = fields.String(allow_none=True)
    peak_memory_bytes = fields.Integer(allow_none=True)
    quota = fields.String(
        allow_none=True, metadata={"description": "`unverified`: let through because the quota could not be asked."}
    )
    timings = fields.Nested(TimingsSchema)


class ShownJobSchema(JobSchema):
    """One job, and how fast it is while it runs."""

    speed = fields.Float(allow_none=True, metadata={"description": "Seconds of video that are done in a second."})
    left_s = fields.Float(allow_none=True, metadata={"description": "Seconds until the work is done."})


class ListedJobSchema(JobSchema):
    """One job in a list."""

    class Meta:
        exclude = ("ok",)


class JobsSchema(OkSchema):
    """One page of jobs, newest first."""

    jobs = fields.List(fields.Nested(ListedJobSchema))
    page = fields.Integer()
    per_page = fields.Integer()
    total = fields.Integer()


class FeatureSchema(Schema):
    """What is left of one feature."""

    feature = fields.String(metadata={"description": "What the operations count as."})
    operations = fields.List(fields.String())
    limit = fields.Integer(metadata={"description": "Units in a billing cycle; -1 is unlimited, 0 not in the plan."})
    used = fields.Integer()
    remaining = fields.Integer(allow_none=True, metadata={"description": "null is unlimited."})
    cycle_start = fields.String(metadata={"format": "date-time"})
    cycle_end = fields.String(metadata={"format": "date-time"})
    verdict = fields.String(validate=validate.OneOf(DECISIONS), metadata={"description": "On a job sent now."})


class QuotaSchema(OkSchema):
    """What the caller may still do in this billing cycle."""

    tier = fields.String()
    features = fields.List(fields.Nested(FeatureSchema))


class QuotaRefusedSchema(Schema):
    """The caller's plan does not allow the job."""

    error = fields.String(required=True, metadata={"enum": ["tier_limit_reached"]})
    reason = fields.String(required=True, validate=validate.OneOf(list(MESSAGES)))
    message = fields.String(required=True)


class OperationSchema(Schema):
    """One operation."""

    name = fields.String()
    queue = fields.String()
    requires = fields.List(fields.String(), metadata={"description": "Inputs that a job must carry."})
    params = fields.Dict(metadata={"description": "JSON Schema of `params`."})


class OperationsSchema(OkSchema):
    """Every operation that a caller may ask for."""

    operations = fields.List(fields.Nested(OperationSchema))


class ErrorSchema(Schema):
    """Why a request was not carried out."""

    ok = fields.Boolean(metadata={"enum": [False]})
    error = fields.String(required=True, metadata={"description": "A stable word for machines."})
    message = fields.String(required=True, metadata={"description": "A sentence for people."})
    reason = fields.String(metadata={"description": "Says `error` more exactly."})
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "Messages by field; names of nested fields are joined with dots."},
    )
    request_id = fields.String(required=True)
