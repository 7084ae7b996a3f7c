/** PDF files drawn page by page on canvases. Nothing in the file runs, and nothing it names is fetched. */

import { AnnotationMode, getDocument, GlobalWorkerOptions, type PDFDocumentProxy } from "pdfjs-dist/legacy/build/pdf.mjs";
import workerUrl from "pdfjs-dist/legacy/build/pdf.worker.min.mjs?url";
import { ownScript } from "../trusted";

export const MOST_PAGES = 200;
const MOST_PIXELS = 16_000_000;
const LONGEST_TEXT = 20_000;

/** An open file. Close it. */
export class Pdf {
  private constructor(
    private readonly file: PDFDocumentProxy,
    /** Height by width of the first page. */
    readonly shape: number,
  ) {}

  /** Raises what pdf.js raises for a file that is damaged or asks for a password. */
  static async open(octets: ArrayBuffer): Promise<Pdf> {
    GlobalWorkerOptions.workerPort ??= new Worker(ownScript(workerUrl), { type: "module" });
    const file = await getDocument({
      data: octets, useWasm: false, useWorkerFetch: false, isEvalSupported: false, enableXfa: false,
      maxImageSize: MOST_PIXELS * 4, disableAutoFetch: true,
    }).promise;
    const { width, height } = (await file.getPage(1)).getViewport({ scale: 1 });
    return new Pdf(file, height / width);
  }

  get pages(): number {
    return this.file.numPages;
  }

  /** Draw a page (from 1) as wide as the canvas is shown. Resolves to its text, for who cannot see it. */
  async draw(number: number, canvas: HTMLCanvasElement, width: number): Promise<string> {
    const page = await this.file.getPage(number);
    const plain = page.getViewport({ scale: 1 });
    const most = Math.sqrt(MOST_PIXELS / (plain.width * plain.height));
    const viewport = page.getViewport({ scale: Math.min((width / plain.width) * devicePixelRatio, most) });
    canvas.width = Math.floor(viewport.width);
    canvas.height = Math.floor(viewport.height);
    await page.render({ canvas, viewport, annotationMode: AnnotationMode.ENABLE }).promise;
    const { items } = await page.getTextContent();
    return items.map((item) => ("str" in item ? item.str : "")).join(" ").slice(0, LONGEST_TEXT);
  }

  close(): void {
    void this.file.loadingTask.destroy();
  }
}
