/** Photos: reading files, showing them at the size of a screen, and writing them at their own. */

import { boxOf, marginOf, moved } from "./pixels.js";

const VIEW_SIDE = 1280; // pixels of the longer side on the screen
const SAFE_AREA = 4096 * 4096; // pixels: what every browser holds in a canvas; Safari's limit
const LARGEST_AREA = 50e6;
const ROWS_AREA = 2 ** 20; // pixels that are edited at once, which bounds the memory
const QUALITY = 0.95; // of JPEG files

/** What the user did or chose cannot be used; the text says why. */
export class Unusable extends Error {}

export class Photo {
  #file;

  /** Reads a file. Throws `Unusable` if it is not an image. */
  static async open(file) {
    const bitmap = await decode(file);
    const photo = new Photo();
    photo.#file = file;
    photo.name = file.name || "photo.png";
    photo.isJpeg = file.type === "image/jpeg";
    photo.original = { width: bitmap.width, height: bitmap.height };
    [photo.width, photo.height] = fitting(bitmap.width, bitmap.height);
    photo.factor = Math.min(1, VIEW_SIDE / Math.max(photo.width, photo.height)); // of the view
    photo.view = canvasOf(Math.round(photo.width * photo.factor), Math.round(photo.height * photo.factor));
    draw(photo.view, bitmap);
    bitmap.close();
    return photo;
  }

  get isReduced() {
    return this.width < this.original.width;
  }

  /** The bytes of the file. */
  async bytes() {
    return new Uint8Array(await this.#file.arrayBuffer());
  }

  /** The part of the view `{left, top, right, bottom}`, RGBA. */
  viewPart(box) {
    return partOf(this.view, box);
  }

  /** The part of the photo around a frame of this side, and the similarity from that part to the frame. */
  async around(similarity, size) {
    const box = boxOf(similarity, size, this.width, this.height, marginOf(similarity));
    const bitmap = await decode(this.#file);
    const canvas = canvasOf(box.right - box.left, box.bottom - box.top);
    draw(canvas, bitmap, this.width, this.height, box.left, box.top);
    bitmap.close();
    return { image: partOf(canvas), similarity: moved(similarity, 1, box.left, box.top) };
  }

  /**
   * The photo at its own size with an edit, as a file.
   *
   * @param change edits a part RGBA: a function of the part and the similarity from it to the frame, asynchronous.
   * @param type `image/png` or `image/jpeg`.
   */
  async edited(similarity, size, change, type) {
    const bitmap = await decode(this.#file);
    const canvas = canvasOf(this.width, this.height);
    draw(canvas, bitmap);
    bitmap.close();
    const { left, top, right, bottom } = boxOf(similarity, size, this.width, this.height);
    const rows = Math.max(1, Math.floor(ROWS_AREA / (right - left)));
    for (let row = top; row < bottom; row += rows) {
      const part = partOf(canvas, { left, top: row, right, bottom: Math.min(row + rows, bottom) });
      putPart(canvas, await change(part, moved(similarity, 1, left, row)), left, row);
    }
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, QUALITY));
    canvas.width = canvas.height = 0; // frees its memory at once, which Safari does not do otherwise
    if (!blob) throw new Unusable("The browser could not write the file. It may be short of memory.");
    return new Uint8Array(await blob.arrayBuffer());
  }
}

export function putPart(canvas, { data, width, height }, left, top) {
  context(canvas).putImageData(new ImageData(data, width, height), left, top);
}

export function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas;
}

/** A canvas's context, in memory where its pixels can be read exactly and fast. */
export function context(canvas) {
  return canvas.getContext("2d", { willReadFrequently: true });
}

function partOf(canvas, { left, top, right, bottom } = { left: 0, top: 0, right: canvas.width, bottom: canvas.height }) {
  const { data, width, height } = context(canvas).getImageData(left, top, right - left, bottom - top);
  return { data, width, height, channels: 4 };
}

/** Draws a photo of this size on white; its left and top are outside the canvas. */
function draw(canvas, bitmap, width = canvas.width, height = canvas.height, left = 0, top = 0) {
  const paper = context(canvas);
  paper.fillStyle = "white";
  paper.fillRect(0, 0, canvas.width, canvas.height);
  paper.imageSmoothingQuality = "high";
  paper.drawImage(bitmap, -left, -top, width, height);
}

/** The upright image in a file. */
async function decode(file) {
  if (!file.size) throw new Unusable(`“${file.name}” is empty.`);
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    const what = file.type.startsWith("image/") ? "is damaged, or an image of a kind that" : "is not an image that";
    throw new Unusable(`“${file.name}” ${what} this browser can read. Choose a JPEG, PNG or WebP file.`);
  }
}

/** The width and height at which a photo of this size can be edited here. */
function fitting(width, height) {
  // Browsers say how many gigabytes a device has, up to 8, or nothing.
  let area = (navigator.deviceMemory ?? 8) < 4 ? SAFE_AREA : LARGEST_AREA;
  if (area > SAFE_AREA && width * height > SAFE_AREA && !canHold(...reducedTo(area, width, height))) area = SAFE_AREA;
  return reducedTo(area, width, height);
}

function reducedTo(area, width, height) {
  const factor = Math.min(1, Math.sqrt(area / (width * height)));
  return [Math.floor(width * factor), Math.floor(height * factor)];
}

/** Whether a canvas of this size works: where it does not, browsers leave it empty without an error. */
function canHold(width, height) {
  const canvas = canvasOf(width, height);
  try {
    context(canvas).fillRect(width - 1, height - 1, 1, 1);
    return context(canvas).getImageData(width - 1, height - 1, 1, 1).data[3] === 255;
  } catch {
    return false;
  } finally {
    canvas.width = canvas.height = 0;
  }
}
