/** Folders in the order people expect. */

import type { Id, Mailbox } from "../jmap/types";

const FIRST = ["inbox", "drafts", "sent", "archive", "junk", "trash"];

export interface Branch {
  folder: Mailbox;
  depth: number;
}

/** Depth first; those with a role before the others, then as sorted by the server and by name. */
export function folderTree(folders: readonly Mailbox[]): Branch[] {
  const children = new Map<Id | null, Mailbox[]>();
  for (const folder of folders) {
    const parent = folders.some(({ id }) => id === folder.parentId) ? folder.parentId : null;
    children.set(parent, [...(children.get(parent) ?? []), folder]);
  }
  const found: Branch[] = [];
  const add = (parent: Id | null, depth: number): void => {
    for (const folder of (children.get(parent) ?? []).sort(compare)) {
      found.push({ folder, depth });
      add(folder.id, depth + 1);
    }
  };
  add(null, 0);
  return found;
}

function compare(one: Mailbox, other: Mailbox): number {
  return rank(one) - rank(other) || one.sortOrder - other.sortOrder || one.name.localeCompare(other.name);
}

function rank({ role }: Mailbox): number {
  const place = role === null ? -1 : FIRST.indexOf(role);
  return place < 0 ? FIRST.length : place;
}
