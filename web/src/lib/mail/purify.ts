/** The browser's own cleaning of HTML, after the server's. */

import DOMPurify from "dompurify";

const CONFIG = {
  RETURN_DOM_FRAGMENT: true,
  USE_PROFILES: { html: true },
  FORBID_TAGS: ["style", "svg", "math", "form", "input", "button", "textarea", "select", "audio", "video", "picture", "source"],
  FORBID_ATTR: ["srcset", "id", "name", "class"],
  ADD_ATTR: ["target", "background"],
  ALLOW_DATA_ATTR: false,
  ALLOW_UNKNOWN_PROTOCOLS: false,
} as const;

/** Pictures come from this server or are part of the page: nothing is fetched from strangers. */
const OWN_PICTURE = /^(?:\/jmap\/download\/|\/proxy\/|data:image\/(?:png|gif|jpe?g|webp);base64,)/i;
const FETCHES = /url\s*\(|image-set|\\|@import/i;

DOMPurify.addHook("uponSanitizeAttribute", (_node, data) => {
  if (data.attrName === "src" || data.attrName === "background") data.keepAttr = OWN_PICTURE.test(data.attrValue);
  if (data.attrName === "style" && FETCHES.test(data.attrValue)) data.keepAttr = false;
});

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
});

export function purified(html: string): DocumentFragment {
  return DOMPurify.sanitize(html, CONFIG as unknown as { RETURN_DOM_FRAGMENT: true });
}
