/** What a person does to conversations: at once, with undo. */

import { keyword, move } from "../lib/jmap/patch";
import type { EmailSummary, Id, Mailbox, Patch, Role } from "../lib/jmap/types";
import { toName } from "../lib/mail/labels";
import { t, type Key } from "./i18n.svelte";
import type { List } from "./list.svelte";
import { reasonOf, type Mail } from "./mail.svelte";
import { toasts } from "./toasts.svelte";

const DESTROY_AFTER_MS = 8_000;
/** Where a move of a whole conversation does not reach, unless the person is there. */
const APART: readonly Role[] = ["sent", "drafts", "trash", "junk"];

type Rows = readonly EmailSummary[];

export class Actions {
  constructor(
    private readonly mail: Mail,
    private readonly list: () => List,
  ) {}

  archive = (rows: Rows): void => this.moveToRole(rows, "archive", "done.archive");
  junk = (rows: Rows): void => this.moveToRole(rows, "junk", "done.junk");
  notJunk = (rows: Rows): void => this.moveToRole(rows, "inbox", "done.move");

  /** To the trash; from the trash, for good. */
  trash = (rows: Rows): void => {
    const { source } = this.list();
    const role = this.mail.folder(source.folder)?.role;
    if (role === "trash") this.destroy(rows);
    else this.moveToRole(rows, "trash", "done.trash");
  };

  move(rows: Rows, to: Mailbox, done: Key = "done.move"): void {
    const { folder } = this.list().source;
    const patches = new Map<Id, Patch>();
    for (const email of this.movable(rows)) {
      if (!(to.id in email.mailboxIds)) patches.set(email.id, move(folder !== null && folder in email.mailboxIds ? folder : null, to.id));
    }
    this.perform(rows, patches, t(done, { count: rows.length, folder: to.name }), folder !== null);
  }

  flag(rows: Rows, on: boolean): void {
    // A flag on a conversation is one on its newest message; taking it away takes all.
    const emails = on ? rows : rows.flatMap((row) => this.list().conversation(row)).filter((email) => "$flagged" in email.keywords);
    this.keyword(rows, emails, "$flagged", on, on ? "done.flag" : "done.unflag");
  }

  /** On or off all emails of the conversations. */
  label(rows: Rows, keywordOf: string, on: boolean): void {
    const emails = rows.flatMap((row) => this.list().conversation(row)).filter((email) => keywordOf in email.keywords !== on);
    this.keyword(rows, emails, keywordOf, on, on ? "done.label" : "done.unlabel", toName(keywordOf));
  }

  read(rows: Rows, on: boolean): void {
    const emails = on ? rows.flatMap((row) => this.list().conversation(row)).filter((email) => !("$seen" in email.keywords)) : rows;
    this.keyword(rows, emails, "$seen", on, on ? "done.read" : "done.unread");
  }

  /** Read because it was opened: without a word about it. */
  seen(emails: Rows): void {
    const unread = emails.filter((email) => !("$seen" in email.keywords));
    if (unread.length > 0 && !this.mail.isReadOnly) void this.mail.change(new Map(unread.map(({ id }) => [id, keyword("$seen", true)])));
  }

  private keyword(rows: Rows, emails: Rows, name: string, on: boolean, done: Key, label = ""): void {
    this.perform(rows, new Map(emails.map(({ id }) => [id, keyword(name, on)])), t(done, { count: rows.length, label }), false);
  }

  private moveToRole(rows: Rows, role: Role, done: Key): void {
    const to = this.mail.withRole(role);
    if (to !== undefined) this.move(rows, to, done);
  }

  private movable(rows: Rows): EmailSummary[] {
    const { folder } = this.list().source;
    const apart = this.mail.folders.filter(({ role }) => role !== null && APART.includes(role));
    return rows.flatMap((row) =>
      this.list()
        .conversation(row)
        .filter((email) => (folder === null ? email.id === row.id || !apart.some(({ id }) => id in email.mailboxIds) : folder in email.mailboxIds)),
    );
  }

  private perform(rows: Rows, patches: Map<Id, Patch>, text: string, leaves: boolean): void {
    if (patches.size === 0 || this.mail.isReadOnly) return;
    const list = this.list();
    const putBack = leaves ? list.remove(new Set(rows.map(({ id }) => id))) : () => {};
    const changing = this.mail.change(patches);
    void changing.then((undo) => undo === null && putBack());
    toasts.show(text, () => {
      if (list === this.list()) putBack();
      void changing.then((undo) => (undo === null ? null : this.mail.change(undo)));
    });
  }

  /** What cannot be taken back later is done later. */
  private destroy(rows: Rows): void {
    if (this.mail.isReadOnly || rows.length === 0) return;
    const ids = this.movable(rows).map(({ id }) => id);
    const list = this.list();
    const putBack = list.remove(new Set(rows.map(({ id }) => id)));
    const timer = setTimeout(() => {
      this.mail.destroy(ids).catch((error: unknown) => {
        putBack();
        toasts.problem(t("done.failed", { why: reasonOf(error) }));
      });
    }, DESTROY_AFTER_MS);
    toasts.show(t("done.destroy", { count: rows.length }), () => {
      clearTimeout(timer);
      if (list === this.list()) putBack();
    });
  }
}
