import { describe, expect, test } from "vitest";
import { readInvitation, reply } from "./calendar";

const ZONE = `BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
`;

function calendar(event: string, method = "REQUEST", zone = ""): string {
  return `BEGIN:VCALENDAR\nVERSION:2.0\nMETHOD:${method}\n${zone}BEGIN:VEVENT\nUID:1@x\n${event}\nEND:VEVENT\nEND:VCALENDAR\n`;
}

function startOf(line: string, zone = ""): string | undefined {
  return readInvitation(calendar(line, "REQUEST", zone))?.start.at.toISOString();
}

describe("readInvitation", () => {
  test.each([
    ["DTSTART:20260701T090000Z", "", "2026-07-01T09:00:00.000Z"],
    ["DTSTART;TZID=Europe/Berlin:20260701T090000", "", "2026-07-01T07:00:00.000Z"],
    ["DTSTART;TZID=America/New_York:20260115T090000", "", "2026-01-15T14:00:00.000Z"],
    ['DTSTART;TZID="W. Europe Standard Time":20260701T090000', ZONE, "2026-07-01T07:00:00.000Z"],
    ["DTSTART;TZID=W. Europe Standard Time:20260115T090000", ZONE, "2026-01-15T08:00:00.000Z"],
    ["DTSTART;TZID=W. Europe Standard Time:20260329T015900", ZONE, "2026-03-29T00:59:00.000Z"],
    ["DTSTART;TZID=W. Europe Standard Time:20260329T030000", ZONE, "2026-03-29T01:00:00.000Z"],
  ])("%s", (line, zone, moment) => expect(startOf(line, zone)).toBe(moment));

  test("a day is a day, and a time without a zone is that time here", () => {
    const day = readInvitation(calendar("DTSTART;VALUE=DATE:20260701"))!.start;
    expect([day.isDay, day.at.getDate(), day.at.getHours()]).toEqual([true, 1, 0]);
    expect(readInvitation(calendar("DTSTART:20260701T090000"))!.start.at.getHours()).toBe(9);
  });

  test("what, where, who, how long, how often", () => {
    const found = readInvitation(calendar([
      "DTSTART:20260701T090000Z", "DURATION:PT1H30M", "SUMMARY:Plan\\, draft\\nand more", "LOCATION:Room", " 12", "RRULE:FREQ=WEEKLY;COUNT=3",
      'ORGANIZER;CN="Lee; Ann":mailto:ann@example.com', "ATTENDEE;PARTSTAT=ACCEPTED;CN=Ben:MAILTO:ben@example.org", "ATTENDEE:urn:nobody", "SEQUENCE:2",
    ].join("\r\n")))!;
    expect(found.summary).toBe("Plan, draft\nand more");
    expect(found.location).toBe("Room12");
    expect(found.end!.at.toISOString()).toBe("2026-07-01T10:30:00.000Z");
    expect(found.organizer).toEqual({ name: "Lee; Ann", email: "ann@example.com", partstat: "NEEDS-ACTION" });
    expect(found.attendees).toEqual([{ name: "Ben", email: "ben@example.org", partstat: "ACCEPTED" }]);
    expect([found.frequency, found.sequence]).toEqual(["WEEKLY", 2]);
  });

  test.each([
    ["nothing", ""], ["no calendar", "hello"], ["no event", "BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR"], ["no start", calendar("SUMMARY:x")],
    ["no sense in the start", calendar("DTSTART:yesterday")], ["another method", calendar("DTSTART:20260701T090000Z", "COUNTER")],
    ["too deep", "BEGIN:VCALENDAR\n" + "BEGIN:VEVENT\n".repeat(10_000)],
  ])("%s is none", (_, text) => expect(readInvitation(text)).toBeNull());

  test("what is huge costs little", () => {
    const began = performance.now();
    readInvitation(calendar("DTSTART:20260701T090000Z\n" + "ATTENDEE;CN=a:mailto:a@b.c\n".repeat(50_000)));
    readInvitation(`BEGIN:VCALENDAR\n${";A=".repeat(200_000)}\nX${';A="'.repeat(100_000)}:\n`);
    readInvitation(`BEGIN:VCALENDAR\nX${";A=b,c".repeat(50_000)}\n`);
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

describe("reply", () => {
  test("repeats what it is about, says who and what, in short lines", () => {
    const text = calendar(`DTSTART;TZID=W. Europe Standard Time:20260701T090000\nRECURRENCE-ID;TZID=W. Europe Standard Time:20260701T090000\nSUMMARY:${"ä".repeat(100)}\nORGANIZER:mailto:ann@example.com\nSEQUENCE:1\nATTACH:secret`, "REQUEST", ZONE);
    const answer = reply(readInvitation(text)!, { name: 'Ben "B"\r\nX:y', email: "ben@example.org" }, "ACCEPTED", new Date("2026-06-01T10:00:00Z"));
    for (const line of ["METHOD:REPLY", "UID:1@x", "SEQUENCE:1", "ORGANIZER:mailto:ann@example.com", "DTSTAMP:20260601T100000Z", 'ATTENDEE;PARTSTAT=ACCEPTED;CN="Ben BX:y":mailto:ben@example.org', "BEGIN:VTIMEZONE"]) expect(answer.split("\n")).toContain(line);
    expect(answer).not.toContain("secret");
    for (const line of answer.split("\n")) expect(new TextEncoder().encode(line).length).toBeLessThanOrEqual(75);
    expect(readInvitation(answer.replace("METHOD:REPLY", "METHOD:REPLY").replace("SEQUENCE:1", "SEQUENCE:1\nDTSTART:20260701T090000Z"))!.attendees[0]!.partstat).toBe("ACCEPTED");
  });
});
