"""The arguments of the standard methods (RFC 8620 §5, RFC 8621)."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from everpost.wire.jmap.core import MAX_OBJECTS_IN_GET, MAX_OBJECTS_IN_SET, MethodError

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Int = Annotated[int, msgspec.Meta(ge=-(2**53) + 1, le=2**53 - 1)]
UnsignedInt = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class OfAccount(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What every method about data has."""

    account_id: str


class Get(OfAccount, kw_only=True):
    ids: list[Id] | None = None
    properties: list[str] | None = None


class EmailGet(Get, kw_only=True):
    body_properties: list[str] | None = None
    fetch_text_body_values: bool = False
    fetch_html_body_values: bool = msgspec.field(default=False, name="fetchHTMLBodyValues")
    fetch_all_body_values: bool = False
    max_body_value_bytes: UnsignedInt = 0


class ChangesOf(OfAccount, kw_only=True):
    since_state: str
    max_changes: UnsignedInt | None = None


class QueryChanges(OfAccount, kw_only=True):
    since_query_state: str
    filter: dict[str, Any] | None = None
    sort: list[dict[str, Any]] | None = None
    max_changes: UnsignedInt | None = None
    up_to_id: Id | None = None
    calculate_total: bool = False


class EmailQueryChanges(QueryChanges, kw_only=True):
    collapse_threads: bool = False


class FolderQueryChanges(QueryChanges, kw_only=True):
    sort_as_tree: bool = False
    filter_as_tree: bool = False


class Query(OfAccount, kw_only=True):
    filter: dict[str, Any] | None = None
    sort: list[dict[str, Any]] | None = None
    position: Int = 0
    anchor: Id | None = None
    anchor_offset: Int = 0
    limit: UnsignedInt | None = None
    calculate_total: bool = False


class EmailQuery(Query, kw_only=True):
    collapse_threads: bool = False


class FolderQuery(Query, kw_only=True):
    sort_as_tree: bool = False
    filter_as_tree: bool = False


class Set(OfAccount, kw_only=True):
    if_in_state: str | None = None
    create: dict[Id, dict[str, Any]] | None = None
    update: dict[Id, dict[str, Any]] | None = None
    destroy: list[Id] | None = None


class FolderSet(Set, kw_only=True):
    on_destroy_remove_emails: bool = False


class BookSet(Set, kw_only=True):
    on_destroy_remove_contents: bool = False
    on_success_set_is_default: Id | None = None


class SubmissionSet(Set, kw_only=True):
    on_success_update_email: dict[Id, dict[str, Any]] | None = None
    on_success_destroy_email: list[Id] | None = None


class FilterApply(OfAccount, kw_only=True):
    ids: list[Id] | None = None
    mailbox_id: Id


class QuarantineAct(OfAccount, kw_only=True):
    ids: list[Id]


class QuarantineAsk(QuarantineAct, kw_only=True):
    comment: str = ""


class EmailImportItem(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    blob_id: Id
    mailbox_ids: dict[Id, bool]
    keywords: dict[str, bool] = {}
    received_at: str | None = None


class EmailImport(OfAccount, kw_only=True):
    if_in_state: str | None = None
    emails: dict[Id, dict[str, Any]]


class EmailParse(OfAccount, kw_only=True):
    blob_ids: list[Id]
    properties: list[str] | None = None
    body_properties: list[str] | None = None
    fetch_text_body_values: bool = False
    fetch_html_body_values: bool = msgspec.field(default=False, name="fetchHTMLBodyValues")
    fetch_all_body_values: bool = False
    max_body_value_bytes: UnsignedInt = 0


class EmailCopy(OfAccount, kw_only=True):
    from_account_id: str
    if_from_in_state: str | None = None
    if_in_state: str | None = None
    create: dict[Id, dict[str, Any]]
    on_success_destroy_original: bool = False
    destroy_from_if_in_state: str | None = None


class BlobCopy(OfAccount, kw_only=True):
    from_account_id: str
    blob_ids: list[Id]


class SnippetGet(OfAccount, kw_only=True):
    email_ids: list[Id]
    filter: dict[str, Any] | None = None


class BlobGet(OfAccount, kw_only=True):
    ids: list[Id]
    properties: list[str] | None = None
    offset: UnsignedInt | None = None
    length: UnsignedInt | None = None


class BlobLookup(OfAccount, kw_only=True):
    type_names: list[str]
    ids: list[Id]


class BlobUpload(OfAccount, kw_only=True):
    create: dict[Id, dict[str, Any]]


T = TypeVar("T")


def read(arguments: dict[str, Any], kind: type[T]) -> T:
    """Arguments as a value of `kind`; raises `MethodError`: invalidArguments, requestTooLarge."""
    try:
        found = msgspec.convert(arguments, kind)
    except msgspec.ValidationError as error:
        raise MethodError("invalidArguments", str(error)) from error
    if isinstance(found, Get) and found.ids is not None and len(found.ids) > MAX_OBJECTS_IN_GET:
        raise MethodError("requestTooLarge", f"at most {MAX_OBJECTS_IN_GET} objects can be asked for")
    for name in ("ids", "blob_ids", "email_ids"):
        if not isinstance(found, Get) and len(getattr(found, name, None) or ()) > MAX_OBJECTS_IN_GET:
            raise MethodError("requestTooLarge", f"at most {MAX_OBJECTS_IN_GET} objects can be asked for")
    count = 0
    if isinstance(found, Set):
        count = len(found.create or ()) + len(found.update or ()) + len(found.destroy or ())
    elif isinstance(found, EmailImport):
        count = len(found.emails)
    elif isinstance(found, (EmailCopy, BlobUpload)):
        count = len(found.create)
    if count > MAX_OBJECTS_IN_SET:
        raise MethodError("requestTooLarge", f"at most {MAX_OBJECTS_IN_SET} objects can be changed")
    return found


def properties_of(wanted: list[str] | None, known: frozenset[str]) -> frozenset[str]:
    """The properties asked for, `id` always; raises `MethodError` (invalidArguments) for an unknown one."""
    if wanted is None:
        return known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise MethodError("invalidArguments", f"unknown properties: {', '.join(unknown)[:200]}")
    return frozenset((*wanted, "id"))
