/** The page: loads the model, opens photos, shows edits as sliders move, and saves them. */

import { takePhoto } from "./camera.js";
import { Controls, make } from "./controls.js";
import { frameOf } from "./detector.js";
import { Engine } from "./engine.js";
import { EDITED, GENERATED, floatText, isGenerated, marked, packetOf, sha256 } from "./mark.js";
import { Photo, Unusable, canvasOf, context, putPart } from "./photo.js";
import { boxOf, joinCodes, middle, moved } from "./pixels.js";

const LARGE = 5e6; // pixels: editing at full size then takes a moment
const find = (name) => document.getElementById(name);
const [before, after, wipe, file] = ["before", "after", "wipe", "file"].map(find);

let engine; // of worker.js
let model; // model.json
let controls;
let size; // side of the frame
let codeLength;
let photo; // that is edited
let faces; // in its view
let similarity; // from the photo to the frame
let shown; // the last edit: {layer, edits}
let opened = 0; // photos so far
let work = 0; // what is being done
let rendering = null; // the promise of a render
let renderAgain = false;
let accelerated = false; // or it was tried

async function start() {
  const lacking = ["WebAssembly", "Worker", "createImageBitmap"].filter((name) => !(name in globalThis));
  if (lacking.length) {
    throw new Unusable(`This browser lacks ${lacking.join(" and ")}, or it is switched off here. Use a current browser.`);
  }
  const [described, finder] = await Promise.all([load("model.json"), load("vendor/face_detection_short_range.tflite")]);
  model = JSON.parse(new TextDecoder().decode(described));
  const bytes = await load("model.tflite", (share) => (find("progress").value = share));
  find("progress").removeAttribute("value"); // compiling takes an unknown time
  engine = new Engine();
  let found;
  try {
    found = await engine.call("start", { bytes, finderBytes: finder }, [finder]);
  } catch (error) {
    throw new Unusable(`The model cannot be loaded: ${error.message}. Write this page again with “elegant-tf demo”.`);
  }
  size = found.size;
  codeLength = found.codeShape.reduce((a, b) => a * b);
  if (found.attributes !== model.attributes.length || found.codeShape[2] !== model.block_bounds.at(-1)) {
    throw new Unusable("model.tflite and model.json are not of one model. Write this page again with “elegant-tf demo”.");
  }
  controls = new Controls(find("attributes"), model.attributes, render, addExemplar);
  await loadCatalogue();
  showSamples();
  describe();
  find("loading").hidden = true;
  find("start").hidden = false;
  document.body.dataset.state = "ready";
}

/** The bytes of a file beside the page. */
async function load(name, progress = () => {}) {
  let response;
  try {
    response = await fetch(name);
  } catch {
    throw new Unusable(`${name} cannot be loaded: is “elegant-tf demo” still running?`);
  }
  if (!response.ok) throw new Unusable(`${name} cannot be loaded (${response.status} ${response.statusText}).`);
  const length = Number(response.headers.get("Content-Length"));
  const chunks = [];
  let received = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    received += value.length;
    if (length) progress(Math.min(1, received / length));
  }
  return new Blob(chunks).arrayBuffer();
}

async function loadCatalogue() {
  if (!model.catalogue.length) return;
  const codes = new Float32Array(await load("codes.bin"));
  if (codes.length !== codeLength * model.catalogue.length) {
    throw new Unusable("codes.bin and model.json are not of one catalogue. Write this page again with “elegant-tf demo”.");
  }
  model.catalogue.forEach((exemplar, i) => {
    controls.offer({ ...exemplar, code: codes.subarray(i * codeLength, (i + 1) * codeLength) });
  });
}

function showSamples() {
  find("samples").hidden = !model.samples.length;
  for (const [i, address] of model.samples.entries()) {
    const button = make("button", { type: "button" }, make("img", { src: address, alt: `Drawn face ${i + 1}` }));
    const name = `face-${i + 1}.png`;
    button.onclick = () => attempt(async () => openSample(new File([await load(address)], name, { type: "image/png" })));
    find("samples").lastElementChild.append(make("li", {}, button));
  }
}

function describe() {
  const words = `Model of step ${model.step}, ${size} × ${size} pixels, weights ${model.model_sha256.slice(0, 12)}…`;
  find("about").textContent = `${words} (elegant_tf ${model.elegant_tf}). ${model.licence ?? ""}`;
}

/** Opens a photo, finds its faces, and edits the largest. */
async function openPhoto(given) {
  const next = await show(given);
  if (!next) return;
  say("Looking for a face…");
  const there = await engine.call("detect", { image: next.viewPart() });
  if (photo !== next) return;
  faces = there;
  showPeople();
  if (faces.length) await choose(0);
  else {
    say("");
    complain(`No face was found in “${next.name}”. Choose a photo that shows one from the front.`, {
      "Take the middle of the photo": () => useMiddle(next),
    });
  }
}

async function openSample(given) {
  const next = await show(given);
  if (next) await useMiddle(next);
}

/** Shows a photo, not edited yet; null if the user has opened another one meanwhile. */
async function show(given) {
  const number = ++opened;
  say("Opening the photo…");
  const next = await Photo.open(given);
  if (number !== opened) return null;
  [photo, faces, similarity, shown] = [next, [], undefined, undefined];
  for (const canvas of [before, after]) {
    [canvas.width, canvas.height] = [photo.view.width, photo.view.height];
    context(canvas).drawImage(photo.view, 0, 0);
  }
  find("pictures").style.setProperty("--shape", `${photo.view.width} / ${photo.view.height}`);
  find("pictures").style.setProperty("--ratio", photo.view.width / photo.view.height);
  find("format").value = photo.isJpeg ? "image/jpeg" : "image/png";
  for (const name of ["viewer", "bar", "controls"]) find(name).hidden = false;
  find("start").hidden = true;
  showPeople();
  update();
  return next;
}

function showPeople() {
  find("people").hidden = faces.length < 2;
  const choices = faces.map((face, i) => {
    const radio = make("input", { type: "radio", name: "person", checked: i === 0, onchange: () => attempt(() => choose(i)) });
    radio.setAttribute("aria-label", `Face ${i + 1} of ${faces.length}, by size`);
    const side = 1.6 * Math.max(face.width, face.height);
    const canvas = canvasOf(112, 112);
    context(canvas).drawImage(photo.view, face.x - side / 2, face.y - side / 2, side, side, 0, 0, 112, 112);
    return make("label", { className: "exemplar" }, radio, canvas);
  });
  find("people").lastElementChild.replaceChildren(...choices);
}

/** Edits one of the faces. */
async function choose(number) {
  const frame = frameIn(photo, faces[number]);
  if (!frame) throw new Unusable("The points of this face cannot be those of a face. Choose another photo.");
  await take(photo, frame);
}

/** The similarity from a photo to the frame of a face in its view. */
function frameIn(its, face) {
  return frameOf(face.points.map((point) => point.map((value) => (value + 0.5) / its.factor - 0.5)), size);
}

async function useMiddle(its) {
  await take(its, middle(its.width, its.height, size));
}

async function take(its, frame) {
  say("Preparing the face…");
  const { image, similarity: there } = await its.around(frame, size);
  await engine.call("take", { image, similarity: there }, [image.data.buffer]);
  if (photo !== its) return;
  [similarity, shown] = [frame, undefined];
  context(after).drawImage(photo.view, 0, 0);
  hush();
  await render();
  // What had the focus may be gone.
  if (document.activeElement === document.body) find("change").focus({ preventScroll: true });
}

/** Says how the photo is edited, if it is. */
function sayReady() {
  if (!similarity) {
    say("");
    return;
  }
  const { width, height } = photo.original;
  let text = `${width} × ${height} pixels.`;
  if (photo.isReduced) {
    const large = (width * height) / 1e6;
    text = `This photo has ${large.toFixed(0)} megapixels, more than this browser can hold. It is edited and saved at ${photo.width} × ${photo.height} pixels.`;
  } else if (photo.factor < 1) text += " Shown smaller; downloads have the full size.";
  say(edited().length ? text : `${text} Choose what to change.`);
}

/** Takes an exemplar for an attribute from the largest face of another photo. */
async function addExemplar(given, attribute) {
  await attempt(async () => {
    say("Reading the second photo…");
    const other = await Photo.open(given);
    const [face] = await engine.call("detect", { image: other.viewPart() });
    const frame = face && frameIn(other, face);
    if (frame) await encode(other, frame, attribute);
    else {
      sayReady();
      complain(`No face was found in “${other.name}”. Choose a photo that shows one from the front.`, {
        "Take the middle of the photo": () => encode(other, middle(other.width, other.height, size), attribute),
      });
    }
  });
}

async function encode(other, frame, attribute) {
  const { image, similarity: there } = await other.around(frame, size);
  const { code, face } = await engine.call("encode", { image, similarity: there }, [image.data.buffer]);
  const exemplar = {
    name: other.name.replace(/\.\w+$/, ""),
    attributes: null,
    thumbnail: addressOf(face),
    code,
    sha256: await sha256(await other.bytes()),
  };
  controls.offer(exemplar);
  controls.take(exemplar, attribute);
  hush();
  await render();
}

/** A data address of RGB bytes. */
function addressOf(rgb) {
  const canvas = canvasOf(size, size);
  const pixels = new Uint8ClampedArray(size * size * 4).fill(255);
  for (let i = 0; i < size * size; i++) pixels.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
  putPart(canvas, { data: pixels, width: size, height: size }, 0, 0);
  return canvas.toDataURL();
}

/** The edits that change something. */
function edited() {
  return controls.edits.filter(({ exemplar, strength }) => exemplar && strength > 0);
}

/** Shows the edit that the controls ask for; while one is computed, only the newest of the next ones counts. */
function render() {
  update();
  if (rendering) renderAgain = true;
  else {
    rendering = busy(async () => {
      do {
        renderAgain = false;
        await renderOnce();
      } while (renderAgain);
    }).finally(() => {
      rendering = null;
      update();
    });
  }
  return rendering.catch(report);
}

/** Does something while the page says that it is busy. */
async function busy(act) {
  work++;
  find("viewer").setAttribute("aria-busy", "true");
  try {
    return await act();
  } finally {
    if (!--work) find("viewer").setAttribute("aria-busy", "false");
  }
}

async function renderOnce() {
  if (!similarity) return;
  const [its, frame, edits] = [photo, similarity, controls.edits];
  const box = boxOf(moved(frame, its.factor, 0, 0), size, its.view.width, its.view.height);
  const image = its.viewPart(box);
  const codes = edits.map(({ exemplar, strength }) => (strength > 0 ? exemplar?.code : null));
  const result = await engine.call("edit", {
    code: joinCodes(codes, model.block_bounds, codeLength),
    weights: Float32Array.from(edits, ({ exemplar, strength }) => (exemplar ? strength : 0)),
    image,
    similarity: moved(frame, its.factor, box.left, box.top),
  });
  if (similarity !== frame) return;
  putPart(after, result.image, box.left, box.top);
  shown = { layer: result.layer, edits: edits.filter(({ exemplar, strength }) => exemplar && strength > 0) };
  sayReady();
  sayWhere(result);
  if (shown.edits.length && !accelerated) {
    accelerated = true;
    accelerate(result).catch(report);
  }
}

/** Moves to the GPU, if that is right; `result`: of the edit until now. */
async function accelerate(result) {
  const { on, why, difference } = await engine.call("accelerate");
  document.body.dataset.accelerator = on;
  const reasons = {
    difference: `the GPU's result is ${difference} of 255 off`,
    error: "the GPU cannot be used",
    operations: "the GPU lacks operations",
    slower: "the GPU is slower",
  };
  find("where").dataset.why = reasons[why] ?? "";
  if (on === "gpu") await render();
  else sayWhere(result);
}

function sayWhere({ on, milliseconds }) {
  const why = find("where").dataset.why;
  const place = on === "gpu" ? "the GPU" : `the processor${why ? ` (${why})` : ""}`;
  find("where").textContent = `Runs on ${place}: ${milliseconds.toFixed(0)} ms for an edit.`;
}

/** Writes the photo at its own size, marked as edited. */
async function save() {
  await rendering;
  const [its, { layer, edits }] = [photo, shown];
  const type = find("format").value;
  say(its.width * its.height > LARGE ? "Editing the photo at its full size…" : "Writing the photo…");
  const change = (image, there) => engine.call("giveBack", { layer, image, similarity: there }, [image.data.buffer]);
  const bytes = await its.edited(similarity, size, change, type);
  const receipt = {
    model: model.model_sha256,
    step: model.step,
    exemplars: [...new Set(edits.map(({ exemplar }) => exemplar.sha256))].filter(Boolean),
    attributes: edits.map(({ name }) => name),
    strength: edits.map(({ strength }) => floatText(strength)),
    version: model.elegant_tf,
  };
  const packet = packetOf(receipt, isGenerated(await its.bytes()) ? GENERATED : EDITED);
  const address = URL.createObjectURL(new Blob([marked(bytes, packet)], { type }));
  const name = its.name.replace(/\.\w+$/, "") + (type === "image/png" ? "-edited.png" : "-edited.jpg");
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  say(`Saved as ${name}, marked as edited.`);
}

function update() {
  const changes = shown?.edits.length;
  find("controls").inert = !similarity; // until there is a face
  find("save").disabled = !changes;
  find("reset").disabled = !edited().length;
  // Where the border leaves room for them.
  find("tag-before").hidden = !changes || wipe.value < 20;
  find("tag-after").hidden = !changes || wipe.value > 80;
}

function say(text) {
  find("status").textContent = text;
}

/** Shows what is wrong, and what to do: texts of buttons to functions. */
function complain(text, actions = {}) {
  const message = find("message");
  message.hidden = false; // before its text changes, or screen readers may not read it
  message.firstElementChild.textContent = text;
  const buttons = Object.entries(actions).map(([words, act]) =>
    make("button", { type: "button", onclick: () => attempt(act) }, words),
  );
  if (document.body.dataset.state) buttons.push(make("button", { type: "button", onclick: hush }, "Close"));
  message.lastElementChild.replaceChildren(...buttons);
  message.scrollIntoView({ block: "nearest" });
}

function hush() {
  find("message").hidden = true;
}

function report(error) {
  if (!(error instanceof Unusable)) console.error(error);
  sayReady();
  complain(error instanceof Unusable ? error.message : `Something went wrong: ${error.message}. Load the page again.`);
}

/** Does something that the user asked for, and says why it failed. */
async function attempt(act) {
  hush();
  try {
    await busy(act);
  } catch (error) {
    report(error);
  }
}

function listen() {
  for (const button of document.querySelectorAll('[data-do="choose"]')) button.onclick = () => file.click();
  for (const button of document.querySelectorAll('[data-do="camera"]')) {
    button.onclick = () =>
      attempt(async () => {
        const taken = await takePhoto(find("camera"));
        if (taken) await openPhoto(taken);
      });
  }
  file.onchange = () => {
    const [given] = file.files;
    file.value = "";
    if (given) attempt(() => openPhoto(given));
  };
  const receive = (files) => {
    if (files?.length && document.body.dataset.state) attempt(() => openPhoto(files[0]));
  };
  document.addEventListener("paste", (event) => receive(event.clipboardData?.files));
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // or the browser shows the file in the place of the page
    receive(event.dataTransfer?.files);
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  wipe.oninput = () => {
    find("pictures").style.setProperty("--wipe", `${wipe.value}%`);
    update();
  };
  find("save").onclick = () => attempt(save);
  find("reset").onclick = () => {
    controls.reset();
    render();
  };
}

listen();
start().catch((error) => {
  find("loading").hidden = true;
  report(error);
});
