/**
 * Runs the networks, aside from the page so that it never stops answering. A classic worker, because LiteRT's script is
 * not a module.
 *
 * A message is `{id, call, values}`, and is answered by `{id, result}` or `{id, error}`. Images are
 * `{data, width, height, channels}`; similarities lead from them to the frame that the model sees.
 */

const VENDOR = new URL("vendor/", self.location.href).href;
const AGREES = 3; // of 255: how far a pixel of the GPU's first edit may be from the processor's

const modules = Promise.all([import("./vendor/litert.js"), import("./pixels.js"), import("./detector.js")]);
let litert, pixels, detector;
let data; // of the model's file
let onCpu, onGpu; // the model, compiled; onGpu only if it edits
let finder; // the network that finds faces, compiled
let shapes; // of the inputs of an edit, by name
let size; // side of the frame
let current; // the aligned face that is edited: {face, input, reconstructed}
let last; // the inputs of the last edit

const calls = {
  async start({ bytes, finderBytes }) {
    data = new Uint8Array(bytes);
    if (String.fromCharCode(...data.subarray(4, 8)) !== "TFL3") throw new Error("it is not a TFLite file");
    [litert, pixels, detector] = await modules;
    self.Module = { locateFile: (name) => VENDOR + name };
    await litert.loadLiteRt(`${VENDOR}litert_wasm_compat_internal.js`);
    try {
      onCpu = await litert.loadAndCompile(data, { accelerator: "wasm" });
    } catch (error) {
      throw new Error(`it is damaged, or no model for LiteRT (${error?.message ?? error})`);
    }
    const missing = ["encode", "edit_with_code"].filter((name) => !onCpu.signatures[name]);
    if (missing.length) throw new Error(`it has no signature ${missing.join(" and ")}`);
    const inputs = onCpu.signatures.edit_with_code.getInputDetails();
    shapes = Object.fromEntries(inputs.map((one) => [one.name, Array.from(one.shape)]));
    size = shapes.image[1];
    finder = await litert.loadAndCompile(new Uint8Array(finderBytes), { accelerator: "wasm" });
    return { size, attributes: shapes.weights[1], codeShape: shapes.code.slice(1) };
  },

  /** The faces in an image, see detector.js. */
  async detect({ image }) {
    return detector.detect(image, async (values) => {
      const input = new litert.Tensor(values, [1, detector.SIDE, detector.SIDE, 3]);
      const outputs = await finder.run([input]);
      const [boxes, logits] = outputs.map((one) => one.toTypedArray()).sort((one, other) => other.length - one.length);
      [input, ...outputs].forEach((one) => one.delete());
      return { boxes, logits };
    });
  },

  /** The code of a face, and its bytes, aligned. */
  async encode({ image, similarity }) {
    const face = pixels.align(image, similarity, size).data;
    const { code } = await run(onCpu, "encode", { image: pixels.toFloat(face) });
    return { code, face };
  },

  /** Makes a face the one that is edited; returns its bytes, aligned. */
  async take({ image, similarity }) {
    const face = pixels.align(image, similarity, size).data;
    const input = pixels.toFloat(face);
    current = { face, input, reconstructed: await reconstruct(input) };
    return face;
  },

  /** Edits the face, and gives the change back to an image; `layer` does the same with another one in `giveBack`. */
  async edit({ code, weights, image, similarity }) {
    const began = performance.now();
    const edited = await edit(current.input, code, weights);
    const milliseconds = performance.now() - began;
    const layer = pixels.layerOf(current.face, edited, current.reconstructed, size);
    pixels.giveBack(image, layer, similarity);
    return { image, layer, milliseconds, on: onGpu ? "gpu" : "cpu" };
  },

  async giveBack({ layer, image, similarity }) {
    pixels.giveBack(image, layer, similarity);
    return image;
  },

  /** Moves to the GPU if there is one that repeats the last edit alike and faster; says where edits run, and why. */
  async accelerate() {
    if (!litert.getWebGpuDevice()) return { on: "cpu", why: "none" };
    let model;
    try {
      model = await litert.loadAndCompile(data, { accelerator: "webgpu" });
      if (model.options.accelerator !== "webgpu") return { on: "cpu", why: "operations" };
      await run(model, "edit_with_code", last); // prepares the GPU, which takes long
      const [ours, theirs] = [await timed(onCpu), await timed(model)];
      const difference = ours.edited.reduce((most, value, i) => Math.max(most, Math.abs(value - theirs.edited[i])), 0);
      if (difference > AGREES) return { on: "cpu", why: "difference", difference };
      if (theirs.milliseconds > ours.milliseconds) return { on: "cpu", why: "slower", difference };
      onGpu = model;
      current.reconstructed = await reconstruct(current.input);
      return { on: onGpu ? "gpu" : "cpu", difference };
    } catch (error) {
      return { on: "cpu", why: "error", error: String(error?.message ?? error) };
    } finally {
      if (model !== onGpu) model?.delete();
    }
  },
};

async function timed(model) {
  const began = performance.now();
  const { edited } = await run(model, "edit_with_code", last);
  return { edited: pixels.toBytes(edited), milliseconds: performance.now() - began };
}

function reconstruct(input) {
  return edit(input, new Float32Array(shapes.code.reduce((a, b) => a * b)), new Float32Array(shapes.weights[1]));
}

async function edit(input, code, weights) {
  last = { image: input, code, weights };
  if (onGpu) {
    try {
      return pixels.toBytes((await run(onGpu, "edit_with_code", last)).edited);
    } catch (error) {
      console.warn("the GPU failed, the processor goes on:", error); // drivers take a GPU away from time to time
      onGpu = undefined;
    }
  }
  return pixels.toBytes((await run(onCpu, "edit_with_code", last)).edited);
}

/** Runs a signature on arrays by name, and returns arrays by name. */
async function run(model, name, values) {
  const signature = model.signatures[name];
  const inputs = signature.getInputDetails().map((one) => new litert.Tensor(values[one.name], Array.from(one.shape)));
  const outputs = await signature.run(inputs);
  const arrays = {};
  for (const [i, { name: key }] of signature.getOutputDetails().entries()) arrays[key] = await outputs[i].data();
  [...inputs, ...outputs].forEach((tensor) => tensor.delete());
  return arrays;
}

let queue = Promise.resolve(); // calls are answered one after the other

self.onmessage = ({ data: { id, call, values } }) => {
  queue = queue.then(async () => {
    try {
      self.postMessage({ id, result: await calls[call](values) });
    } catch (error) {
      self.postMessage({ id, error: String(error?.message ?? error) });
    }
  });
};
