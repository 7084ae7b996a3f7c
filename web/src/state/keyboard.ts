/** The keys of the webmail, as users of Gmail and Fastmail know them. */

import type { Role } from "../lib/jmap/types";
import type { Desk } from "./desk.svelte";
import { route } from "./route.svelte";
import { toasts } from "./toasts.svelte";

const AFTER_G: Record<string, Role> = { i: "inbox", d: "drafts", t: "sent", a: "archive", "#": "trash" };
const G_LASTS_MS = 1_500;
const IN_CONTACTS = new Set(["c", "z", "?"]);

/** Listens until the returned function is called. */
export function listen(desk: Desk): () => void {
  let gAt = -Infinity;

  function press(event: KeyboardEvent): void {
    if (desk.isPaused || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    const afterG = performance.now() - gAt < G_LASTS_MS;
    gAt = event.key === "g" ? performance.now() : -Infinity;
    const role = afterG ? AFTER_G[event.key] : undefined;
    if (role !== undefined) desk.goTo(role);
    else if (afterG && event.key === "c" && desk.contacts.isThere) route.go({ contacts: { card: null, edits: false } });
    else if (!isForHere(event.key) || !perform(desk, event.key)) return;
    event.preventDefault();
  }

  addEventListener("keydown", press);
  return () => removeEventListener("keydown", press);
}

/** At the contacts mail is out of sight: its keys change nothing there. */
function isForHere(key: string): boolean {
  return route.place.contacts === undefined || IN_CONTACTS.has(key);
}

/** Inside a field letters are letters; inside a dialog they are its own. */
export function isTyping(event: KeyboardEvent): boolean {
  const target = event.target;
  if (document.querySelector("dialog[open]")) return true;
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("input, textarea, select"));
}

function perform(desk: Desk, key: string): boolean {
  const { actions, list } = desk;
  switch (key) {
    case "j":
      desk.step(1);
      return true;
    case "k":
      desk.step(-1);
      return true;
    case "o":
      desk.openRow(list.cursor);
      return true;
    case "Enter":
      if (document.activeElement !== document.body && document.activeElement?.id !== "messages") return false;
      desk.openRow(list.cursor);
      return true;
    case "Escape":
      if (list.selected.size > 0) list.selected.clear();
      else route.go({ thread: null });
      return true;
    case "x":
      list.toggle(list.cursor);
      return true;
    case "/":
      document.getElementById("search")?.focus();
      return true;
    case "?":
      desk.sheet = "keys";
      return true;
    case "z":
      toasts.undo();
      return true;
    default:
      return write(desk, key) || (!desk.mail.isReadOnly && change(desk, key, actions));
  }
}

function write(desk: Desk, key: string): boolean {
  switch (key) {
    case "c":
      desk.writer?.composing.write();
      return desk.writer !== null;
    case "r":
    case "a":
    case "f":
      return pressButton(key);
    default:
      return false;
  }
}

function change(desk: Desk, key: string, actions: Desk["actions"]): boolean {
  switch (key) {
    case "e":
      desk.act(actions.archive);
      return true;
    case "#":
    case "Delete":
      desk.act(actions.trash);
      return true;
    case "!":
      desk.act(actions.junk);
      return true;
    case "v":
      if (desk.chosen().length > 0) desk.sheet = "move";
      return true;
    case "l":
      if (desk.chosen().length > 0) desk.sheet = "labels";
      return true;
    case "s": {
      const isFlagged = desk.chosen().some((row) => list(desk, row, "$flagged"));
      desk.act((rows) => actions.flag(rows, !isFlagged));
      return true;
    }
    case "u": {
      const isRead = desk.chosen().every((row) => list(desk, row, "$seen"));
      desk.act((rows) => actions.read(rows, !isRead));
      return true;
    }
    default:
      return false;
  }
}

function list(desk: Desk, row: Parameters<Desk["list"]["conversation"]>[0], keyword: string): boolean {
  const emails = desk.list.conversation(row);
  return keyword === "$seen" ? emails.every(({ keywords }) => keyword in keywords) : emails.some(({ keywords }) => keyword in keywords);
}

/** Replies are the newest open message's; reply to all is a reply where there is nobody else. */
function pressButton(key: string): boolean {
  const find = (one: string): HTMLElement | undefined => [...document.querySelectorAll<HTMLElement>(`#reader [aria-keyshortcuts="${one}"]`)].pop();
  const button = find(key) ?? (key === "a" ? find("r") : undefined);
  button?.click();
  return button !== undefined;
}
