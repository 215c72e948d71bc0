/**
 * Writes what the page of `elegant-tf demo` needs of the npm packages that package-lock.json pins.
 * `npm ci && npm run build`
 */

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const vendor = join(here, "../../elegant_tf/shipped/web/vendor");
const packages = join(here, "node_modules");

// Files of npm packages, and their names in vendor/.
const FILES = {
  "@litertjs/core": {
    "dist/index.js": "litert.js",
    // Of its four builds, the one that every browser runs. It is as fast as that for relaxed SIMD, which Safari lacks;
    // the others need threads, which need headers that few servers send, or promises inside WebAssembly.
    "wasm/litert_wasm_compat_internal.js": "litert_wasm_compat_internal.js",
    "wasm/litert_wasm_compat_internal.wasm": "litert_wasm_compat_internal.wasm",
  },
  "@litertjs/wasm-utils": { "dist/index.js": "wasm-utils.js" },
  "@mediapipe/face_detection": { "face_detection_short_range.tflite": "face_detection_short_range.tflite" },
};

// Browsers do not know where npm's packages are, nor the maps that are left out.
const REPLACED = [
  ['from "@litertjs/wasm-utils"', 'from "./wasm-utils.js"'],
  [/\n\/\/# sourceMappingURL=.*\s*$/, "\n"],
];

const described = Object.entries(FILES).map(([name, files]) => {
  const { version, license } = JSON.parse(readFileSync(join(packages, name, "package.json"), "utf8"));
  if (license !== "Apache-2.0") throw new Error(`${name}: its licence is ${license}`);
  const sums = Object.entries(files).map(([from, to]) => {
    let content = readFileSync(join(packages, name, from));
    if (to === "litert.js" || to === "wasm-utils.js") {
      content = REPLACED.reduce((text, [what, by]) => text.replace(what, by), content.toString("utf8"));
    }
    writeFileSync(join(vendor, to), content);
    return [to, createHash("sha256").update(content).digest("hex")];
  });
  return { package: name, version, licence: license, files: Object.fromEntries(sums) };
});
writeFileSync(join(vendor, "third_party.json"), JSON.stringify(described, null, 1) + "\n");
