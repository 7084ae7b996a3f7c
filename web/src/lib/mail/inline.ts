/** Pictures inside what is written: shown from their blobs, sent as parts that the HTML names (RFC 2392). */

import type { Id } from "../jmap/types";
import { purified } from "./purify";

export interface InlinePicture {
  blobId: Id;
  type: string;
  cid: string;
}

export interface Outgoing {
  html: string;
  pictures: InlinePicture[];
}

const TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

export function canBeInline(file: Blob): boolean {
  return TYPES.includes(file.type);
}

/** HTML as it is edited → as it is sent, with the pictures it shows, each once. `idOf`: where a blob is by now. */
export function outgoing(html: string, idOf: (blobId: Id) => Id = (blobId) => blobId): Outgoing {
  // In a document of its own, which fetches nothing.
  const page = document.implementation.createHTMLDocument("");
  const box = page.body;
  box.append(page.importNode(purified(html), true));
  const pictures = new Map<Id, InlinePicture>();
  for (const image of box.querySelectorAll("img")) {
    const picture = pictureAt(image.getAttribute("src") ?? "");
    if (picture === null) continue;
    if (!pictures.has(picture.blobId)) pictures.set(picture.blobId, { ...picture, blobId: idOf(picture.blobId) });
    image.setAttribute("src", `cid:${picture.cid}`);
  }
  return { html: box.innerHTML, pictures: [...pictures.values()] };
}

/** `/jmap/download/{account}/{blob}/{name}?type={type}` */
function pictureAt(address: string): InlinePicture | null {
  if (!address.startsWith("/jmap/download/")) return null;
  const url = new URL(address, location.origin);
  const blobId = decodeURIComponent(url.pathname.split("/")[4] ?? "");
  const type = url.searchParams.get("type") ?? "";
  return blobId !== "" && TYPES.includes(type) ? { blobId, type, cid: `${blobId}@picture` } : null;
}
