import type { EmailSummary, Mailbox } from "../lib/jmap/types";
import { shown } from "../lib/mail/address";
import { toName } from "../lib/mail/labels";
import type { Mail } from "./mail.svelte";
import { settings } from "./settings.svelte";
import { t } from "./i18n.svelte";

/** All labels there are to choose from, in order of their names. */
export function knownLabels(mail: Mail): string[] {
  return [...new Set([...mail.labels, ...settings.labels])].sort((one, other) => toName(one).localeCompare(toName(other)));
}

/** A folder with a role has its name in the person's language. */
export function folderName(folder: Mailbox): string {
  return folder.role === null ? folder.name : t(`folders.${folder.role}`);
}

/** The people of a conversation, for its row: who wrote, or to whom where it is one's own. */
export function peopleOf(emails: readonly EmailSummary[], toOthers: boolean): string {
  const last = emails[emails.length - 1];
  if (toOthers) return t("list.to", { name: (last?.to ?? []).map(shown).join(", ") || t("list.nobody") });
  const names = [...new Set(emails.map((email) => shown(email.from?.[0])).filter(Boolean))];
  if (names.length <= 1) return names[0] ?? t("list.nobody");
  return names.map((name) => name.split(/[\s@]/)[0]).join(", ");
}
