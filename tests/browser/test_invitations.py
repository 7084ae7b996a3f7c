"""Invitations in a real browser: shown as what they are, answered to their organiser."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from browser.test_sending import go
from browser.test_webmail import check, row
from browser_tools import ANNA, BEN, Standby


def invite(installation: Standby, subject: str, method: str = "REQUEST") -> None:
    event = (
        f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Elsewhere//EN\r\nMETHOD:{method}\r\nBEGIN:VEVENT\r\n"
        f"UID:{time.monotonic_ns()}@elsewhere.example\r\nSEQUENCE:1\r\nDTSTAMP:20260101T000000Z\r\n"
        f"DTSTART:20260701T070000Z\r\nDTEND:20260701T083000Z\r\nSUMMARY:{subject}\r\n"
        "LOCATION:Room 12\\, ground floor\r\n"
        f"RRULE:FREQ=WEEKLY\r\nORGANIZER;CN=Ben:mailto:{BEN.address}\r\n"
        f"ATTENDEE;CN=Anna;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:{ANNA.address}\r\n"
        "END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    text = (
        f"From: Ben <{BEN.address}>\r\nTo: {ANNA.address}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
        f"Message-ID: <{time.monotonic_ns()}@example.com>\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nPlease come.\r\n"
        f"--b\r\nContent-Type: text/calendar; charset=us-ascii; method={method}\r\n\r\n{event}--b--\r\n"
    )
    installation.send(text.encode())


@pytest.mark.parametrize(("button", "state"), [("Accept", "ACCEPTED"), ("Maybe", "TENTATIVE"), ("Decline", "DECLINED")])
def test_answered_to_the_organiser(page: Page, installation: Standby, size: str, button: str, state: str) -> None:
    subject = f"Planning {size} {time.monotonic_ns()}"
    invite(installation, subject)
    row(page, subject)
    card = page.get_by_role("region", name="Invitation")
    expect(card).to_contain_text("Room 12, ground floor")
    expect(card).to_contain_text("1 July 2026")
    expect(card).to_contain_text("Every week")
    expect(card).to_contain_text(f"Ben <{BEN.address}>")
    card.get_by_role("button", name=button).click()
    expect(card.get_by_role("button", name=button)).to_have_attribute("aria-pressed", "true")
    check(page, size, f"invitation-{state.lower()}")
    page.keyboard.press("Escape")
    go(page, "Sent")
    page.locator(".row", has_text=subject).first.locator(".subject").click()
    page.reload()  # unfolds the newest
    reply = page.get_by_role("article", name="Message from Anna")
    reply.get_by_role("button", name="Show source").click()
    page.get_by_role("button", name="Everything").click()
    source = page.get_by_role("dialog").locator("pre")
    expect(source).to_contain_text("Content-Type: text/calendar; charset=us-ascii; method=REPLY")
    expect(source).to_contain_text("METHOD:REPLY")
    expect(source).to_contain_text(f"PARTSTAT={state}")
    expect(source).to_contain_text(f'To: "Ben" <{BEN.address}>')


def test_an_answer_is_taken_back(page: Page, installation: Standby) -> None:
    subject = f"Second thoughts {time.monotonic_ns()}"
    invite(installation, subject)
    row(page, subject)
    card = page.get_by_role("region", name="Invitation")
    card.get_by_role("button", name="Accept").click()
    page.get_by_role("button", name="Undo").click()
    expect(card.get_by_role("button", name="Accept")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Escape")
    go(page, "Sent")
    page.wait_for_timeout(500)
    expect(page.locator(".row", has_text=subject)).to_have_count(0)


def test_what_is_cancelled_cannot_be_answered(page: Page, installation: Standby) -> None:
    subject = f"Called off {time.monotonic_ns()}"
    invite(installation, subject, "CANCEL")
    row(page, subject)
    card = page.get_by_role("region", name="Cancelled")
    expect(card).to_be_visible()
    expect(card.get_by_role("button")).to_have_count(0)
