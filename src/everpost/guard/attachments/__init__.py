"""What a message carries: attachments are typed by content, unpacked within limits and looked into."""

from everpost.guard.attachments.model import Attachment, Finding, FindingKind, Inspection, Limits, Member
from everpost.guard.attachments.walk import inspect

__all__ = ["Attachment", "Finding", "FindingKind", "Inspection", "Limits", "Member", "inspect"]
