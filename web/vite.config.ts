import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const standby = process.env.EVERPOST_URL ?? "http://127.0.0.1:8080";

/** What the service worker keeps; the viewer for PDF files is large and comes when it is wanted. */
function shell(): Plugin {
  return {
    name: "shell",
    generateBundle(_, bundle) {
      const names = Object.keys(bundle).filter((name) => /\.(js|css)$|latin-wght.*woff2$/.test(name) && !/pdf/i.test(name));
      this.emitFile({ type: "asset", fileName: "shell.json", source: JSON.stringify(names.sort()) });
    },
  };
}

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// Two builds beside each other share no file but fonts: neither application carries what only the other needs.
export default defineConfig(({ mode }) => ({
  plugins: mode === "console" ? [svelte()] : [svelte(), shell()],
  base: "/",
  build: {
    outDir: at("../src/everpost/serve/web/static"),
    emptyOutDir: mode !== "console",
    target: "es2022",
    // The strict content security policy knows no data: scripts or fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    rolldownOptions: { input: at(mode === "console" ? "console/index.html" : "index.html") },
  },
  server: {
    proxy: Object.fromEntries(["/jmap", "/auth", "/api", "/view", "/proxy", "/.well-known"].map((path) => [path, standby])),
  },
  test: { include: ["src/**/*.test.ts"] },
}));
