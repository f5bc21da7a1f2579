"""The one definition of the collections this version needs, and of who may do what with them.

The embedded store builds its tables from it when it opens; the installer for Directus adds from it what is missing.
Nothing here is ever removed from a store: a field that is no longer needed just leaves this file.
"""

from __future__ import annotations

from collections.abc import Mapping

from geniequeue.records.definition import (
    Action,
    AllOf,
    AnyOf,
    Collection,
    Condition,
    Equals,
    Everything,
    Field,
    Own,
    Rule,
    Through,
)

JOB_STATUSES = ("queued", "processing", "completed", "failed", "cancelled", "error")
SCRAPE_STATUSES = ("idle", "scraping", "success", "error")
SUBSCRIPTION_PERIODS = ("monthly", "annual")

_ID = Field("id", "uuid", nullable=False, fill="uuid")

MEDIA_JOBS = Collection(
    "media_jobs",
    "One job as its owner sees it: the web app creates it, the API accepts it, the worker reports on it.",
    (
        _ID,
        Field(
            "user_created",
            "uuid",
            "who created it; set by the store",
            fill="caller",
            references="directus_users",
            indexed=True,
        ),
        Field("operation", "string", "what to do; a name of the operation registry"),
        Field(
            "status",
            "string",
            "the state to show; error is failed in rows of an older system",
            nullable=False,
            default="queued",
            choices=JOB_STATUSES,
            indexed=True,
        ),
        Field("creator_profile_id", "uuid", "whose profile it is for", references="creator_profiles", indexed=True),
        Field("input_file_id", "uuid", "the file to work on", references="directus_files"),
        Field("input_url", "text", "where the input lies when it is not a stored file"),
        Field("params", "json", "parameters of the operation, as given"),
        Field("priority", "integer", "0 to 2097151, lower first", default=10),
        Field("bull_job_id", "string", "name of the newest run in the ledger; set at acceptance", indexed=True),
        Field("progress", "integer", "per cent, 0 to 100; set by the worker", nullable=False, default=0),
        Field("result", "json", "what the job brought; set when it ends"),
        Field("error_code", "string", "kind of failure; set when it fails"),
        Field("error_message", "text", "one sentence for its owner; set when it fails"),
        Field("retry_count", "integer", "retries by the user; set at acceptance", nullable=False, default=0),
        Field("quota", "string", "unverified where the quota could not be asked; set at acceptance"),
        Field("created_at", "timestamp", "set by the store", nullable=False, fill="now", indexed=True),
        Field("started_at", "timestamp", "start of the newest attempt; set by the worker"),
        Field("completed_at", "timestamp", "end, good or bad; set when it ends"),
    ),
)

MEDIA_JOB_RUNS = Collection(
    "media_job_runs",
    "One accepted round of a job, frozen: what was checked is what runs. For the service alone.",
    (
        _ID,
        Field("job_id", "uuid", "the job", nullable=False, references="media_jobs", indexed=True),
        Field("round", "integer", "from 1; one more for each retry by the user", nullable=False),
        Field("user_id", "uuid", "the owner", nullable=False, references="directus_users", indexed=True),
        Field("operation", "string", "what to do", nullable=False),
        Field("spec", "json", "inputs and params as checked", nullable=False),
        Field("priority", "integer", "0 to 2097151, lower first", nullable=False),
        Field("bull_job_id", "string", "its name in the ledger", nullable=False, indexed=True),
        Field("number", "bigint", "the last part of that name, so that numbers have an order", indexed=True),
        Field("accepted_at", "timestamp", "when it was accepted", nullable=False, fill="now"),
        Field("open", "boolean", "false once the run has ended", nullable=False, default=True, indexed=True),
        Field("attempt", "integer", "the latest attempt beyond its first one, so that Redis may forget the number"),
    ),
)

MEDIA_JOB_RESULTS = Collection(
    "media_job_results",
    "How a run ended; the first one written stands. For the service alone.",
    (
        Field("id", "uuid", "id of the run", nullable=False, references="media_job_runs"),
        Field("attempt", "integer", "the attempt that ended it, from 1", nullable=False),
        Field("outcome", "string", "how it ended", nullable=False, choices=("completed", "failed", "cancelled")),
        Field("error_code", "string", "kind of failure"),
        Field("result", "json", "what the item and the ledger shall show"),
        Field("peak_memory_bytes", "bigint", "highest resident memory of the sandboxed work"),
        Field("finished_at", "timestamp", "when it ended", nullable=False, fill="now"),
    ),
)

MEDIA_JOB_OUTPUTS = Collection(
    "media_job_outputs",
    "One file a job made, announced before it is uploaded.",
    (
        _ID,
        Field("job_id", "uuid", "the job", nullable=False, references="media_jobs", indexed=True),
        Field("attempt", "integer", "the attempt that made it, from 1", nullable=False),
        Field("file_id", "uuid", "the stored file", nullable=False, references="directus_files", indexed=True),
        Field("role", "string", "what it is to the job", nullable=False, default="output"),
        Field("mime", "string", "media type, from its content"),
        Field("width_px", "integer"),
        Field("height_px", "integer"),
        Field("duration_s", "float"),
        Field("size_bytes", "bigint"),
        Field("sha256", "string", "of the content, in lower-case hex"),
        Field("work", "json", "of how many files it is one, and figures of the work, for an attempt that adopts it"),
        Field("announced_at", "timestamp", "set by the store", fill="now", indexed=True),
    ),
)

CREATOR_PROFILES = Collection(
    "creator_profiles",
    "One account of a creator on a platform.",
    (
        _ID,
        Field("user_id", "uuid", "the creator", references="directus_users", indexed=True),
        Field(
            "media_folder_id",
            "uuid",
            "folder of his files: whoever owns the profile reads all in it",
            references="directus_folders",
            indexed=True,
        ),
        Field("platform", "string", "name of a platform adapter"),
        Field("username", "string"),
        Field("profile_url", "text"),
        Field("scrape_status", "string", "set by the worker", nullable=False, default="idle", choices=SCRAPE_STATUSES),
        Field("last_scraped_at", "timestamp", "last success; set by the worker"),
        Field("stats", "json", "figures of the last success; set by the worker"),
    ),
)

USER_USAGE_COUNTS = Collection(
    "user_usage_counts",
    "One unit of a feature that a user has used in a billing cycle; written by the service.",
    (
        _ID,
        Field("user_id", "uuid", "who used it", nullable=False, references="directus_users", indexed=True),
        Field("feature", "string", "what the operation counts as", nullable=False),
        Field("billing_cycle_start", "timestamp", "start of the cycle it counts in", nullable=False, indexed=True),
        Field("count", "integer", "units; more than one only in rows of an older system", nullable=False, default=1),
    ),
)

WATERMARK_ISSUES = Collection(
    "watermark_issues",
    "One copy that was marked for a fan; written before the copy is released. For the service alone.",
    (
        Field("id", "uuid", "from the job, so that a job issues one copy however often it is tried", nullable=False),
        Field("trace_id", "string", "64 random bits in the copy, 16 hex digits", nullable=False, unique=True),
        Field("payload", "string", "its first 12 digits, which can be read without the asset", indexed=True),
        Field("fan_id", "string", "whose copy it is, as the web app calls him", nullable=False),
        Field("job_id", "uuid", "the job", nullable=False, references="media_jobs", unique=True),
        Field("owner_id", "uuid", "owner of the job", nullable=False, references="directus_users", indexed=True),
        Field("asset_file_id", "uuid", "what was marked", nullable=False, references="directus_files", indexed=True),
        Field("output_file_id", "uuid", "the copy", nullable=False, references="directus_files", indexed=True),
        Field("key_id", "string", "names the key that made the mark", nullable=False),
        Field("strength", "float", "factor of the mark's amplitude", nullable=False),
        Field("parent_issue_id", "uuid", "the copy that was marked once more", references="watermark_issues"),
        Field("version", "integer", "of the mark", nullable=False, default=1),
        Field("issued_at", "timestamp", "set by the store", nullable=False, fill="now"),
    ),
)

WATERMARK_ASSETS = Collection(
    "watermark_assets",
    "What is kept of a file of which marked copies exist, to lay a leak over it. For the service alone.",
    (
        Field("id", "uuid", "from the asset's file, so that it is kept once", nullable=False),
        Field("asset_file_id", "uuid", "what was marked", nullable=False, references="directus_files"),
        Field("owner_id", "uuid", "of the job that marked it first", nullable=False, references="directus_users"),
        Field("plane_file_id", "uuid", "its luma, small, as PNG", nullable=False, references="directus_files"),
        Field("plane_sha256", "string", "of the pixels of that, in lower-case hex", nullable=False),
        Field("width_px", "integer", "of the asset, upright", nullable=False),
        Field("height_px", "integer", nullable=False),
        Field("kind", "string", "what it is", nullable=False, default="picture", choices=("picture", "video")),
        Field("version", "integer", "of the plane", nullable=False, default=1),
        Field("created_at", "timestamp", "set by the store", nullable=False, fill="now", indexed=True),
    ),
)

COLLECTIONS: Mapping[str, Collection] = {
    collection.name: collection
    for collection in (
        MEDIA_JOBS,
        MEDIA_JOB_RUNS,
        MEDIA_JOB_RESULTS,
        MEDIA_JOB_OUTPUTS,
        CREATOR_PROFILES,
        USER_USAGE_COUNTS,
        WATERMARK_ISSUES,
        WATERMARK_ASSETS,
    )
}

USER_FIELDS = (
    Field("subscription_tier", "string", "what the quota goes by; set by billing"),
    Field("subscription_start", "timestamp", "start of the first billing cycle; set by billing"),
    Field("subscription_period", "string", "length of a billing cycle", choices=SUBSCRIPTION_PERIODS),
)
"""What the accounts of Directus (`directus_users`) gain."""

_OWN_PROFILE = Own("user_id")
_OF_OWN_PROFILE = Through("creator_profile_id", "creator_profiles", "id", _OWN_PROFILE)
_OWN_JOB = AnyOf((Own("user_created"), _OF_OWN_PROFILE))
_OWN_FOLDER = Through("folder", "creator_profiles", "media_folder_id", _OWN_PROFILE)

_REQUEST_FIELDS = ("operation", "creator_profile_id", "input_file_id", "input_url", "params", "priority")
_PROFILE_FIELDS = ("platform", "username", "profile_url")

CREATOR_RULES = (
    Rule("media_jobs", "read", _OWN_JOB),
    Rule(
        "media_jobs",
        "create",
        AllOf(
            (
                Own("user_created"),
                Equals("status", "queued"),
                AnyOf((Equals("creator_profile_id", None), _OF_OWN_PROFILE)),
            )
        ),
        ("id", "status", *_REQUEST_FIELDS),
    ),
    Rule(
        "media_jobs",
        "update",
        Own("user_created"),
        # a profile is named at creation alone, where it is checked: through it the job is another's, too
        tuple(name for name in _REQUEST_FIELDS if name != "creator_profile_id"),
    ),
    Rule("media_job_outputs", "read", Through("job_id", "media_jobs", "id", _OWN_JOB)),
    Rule("creator_profiles", "read", _OWN_PROFILE),
    Rule("creator_profiles", "create", _OWN_PROFILE, ("id", "user_id", *_PROFILE_FIELDS)),
    Rule("creator_profiles", "update", _OWN_PROFILE, _PROFILE_FIELDS),
    Rule("user_usage_counts", "read", Own("user_id")),
    Rule("directus_files", "read", AnyOf((Own("uploaded_by"), _OWN_FOLDER))),
    Rule(
        "directus_files",
        "create",
        AllOf((Own("uploaded_by"), AnyOf((Equals("folder", None), _OWN_FOLDER)))),
    ),
    Rule("directus_users", "read", Own("id"), ("id", "status", *(field.name for field in USER_FIELDS))),
)
"""What every account may do. What is not here is forbidden: runs and results are for the service alone, and nobody
names a profile's folder himself, for it opens the files in it."""

_ALL_ACTIONS: tuple[Action, ...] = ("create", "read", "update", "delete")
_ALL: Condition = Everything()

SERVICE_RULES = (
    *(Rule(name, action, _ALL) for name in (*COLLECTIONS, "directus_files") for action in _ALL_ACTIONS),
    Rule("directus_users", "read", _ALL),
)
"""What the service needs: all of its own collections and the files, and to read accounts."""


def creator_rule(collection: str, action: Action) -> Rule | None:
    """Return the rule that lets an account do `action`, or None where none does."""
    return _CREATOR_RULES.get((collection, action))


_CREATOR_RULES = {(rule.collection, rule.action): rule for rule in CREATOR_RULES}
