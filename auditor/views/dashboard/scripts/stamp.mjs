// Writes a digest of the sources beside the bundle, or checks it (--check), so that a stale bundle is noticed.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const files = ["index.html", "package.json", "package-lock.json", "svelte.config.js", "tsconfig.json", "vite.config.ts"].map((f) => join(root, f));
for (const entry of readdirSync(join(root, "src"), { recursive: true, withFileTypes: true }))
  if (entry.isFile()) files.push(join(entry.parentPath ?? entry.path, entry.name));

const hash = createHash("sha256");
for (const file of files.map((f) => relative(root, f).split("\\").join("/")).sort()) {
  hash.update(`${file}\0`);
  hash.update(readFileSync(join(root, file)));
  hash.update("\0");
}
const digest = hash.digest("hex");
const stamp = join(root, "dist", "sources.sha256");
if (process.argv.includes("--check")) {
  const written = readFileSync(stamp, "utf8").trim();
  if (written !== digest) {
    console.error("the committed bundle is older than its sources; run: npm ci && npm run build");
    process.exit(1);
  }
} else writeFileSync(stamp, `${digest}\n`);
