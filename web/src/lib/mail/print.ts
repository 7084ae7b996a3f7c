/** A message on paper: who, when, what about, and the message; nothing of the page around it. */

import { purified } from "./purify";

export interface Paper {
  title: string;
  head: [label: string, value: string][];
  /** Cleaned HTML, or null where `text` is what there is. */
  html: string | null;
  text: string;
}

const FORGOTTEN_AFTER_MS = 60_000;

/** Opens the browser's print dialogue. */
export function print(paper: Paper): void {
  document.querySelector(".paper")?.remove();
  const frame = document.createElement("iframe");
  frame.className = "paper";
  frame.setAttribute("sandbox", "allow-same-origin allow-modals");
  frame.setAttribute("aria-hidden", "true");
  frame.tabIndex = -1;
  frame.src = "/view/frame";
  frame.onload = () => {
    const page = frame.contentDocument!;
    page.title = paper.title;
    page.body.replaceChildren(...written(page, paper));
    // Where nothing runs, `on…` properties do not either; listeners of ours do.
    frame.contentWindow!.addEventListener("afterprint", () => frame.remove());
    setTimeout(() => frame.remove(), FORGOTTEN_AFTER_MS);
    void loaded(page).then(() => frame.contentWindow?.print());
  };
  document.body.append(frame);
}

function written(page: Document, { title, head, html, text }: Paper): Node[] {
  const heading = page.createElement("h1");
  heading.textContent = title;
  const list = page.createElement("p");
  for (const [label, value] of head) {
    const strong = page.createElement("strong");
    strong.textContent = `${label}: `;
    list.append(strong, value, page.createElement("br"));
  }
  const body = page.createElement(html === null ? "pre" : "div");
  body.dir = "auto";
  if (html === null) body.textContent = text;
  else body.append(page.importNode(purified(html), true));
  return [heading, list, page.createElement("hr"), body];
}

/** What is not there yet is waited for, but not for long. */
function loaded(page: Document): Promise<unknown> {
  const pictures = [...page.images].filter((image) => !image.complete);
  const all = pictures.map((image) => new Promise((done) => ["load", "error"].forEach((name) => image.addEventListener(name, done))));
  return Promise.race([Promise.all(all), new Promise((done) => setTimeout(done, 5_000))]);
}
