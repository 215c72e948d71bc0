/**
 * What happens to pixels, as `elegant_tf/photos.py` and `elegant_tf/data/similarity.py` do it: the same numbers, and
 * Pillow's rounding.
 *
 * A similarity `{a, b, x, y}` maps z to (a + ib)·z + (x + iy): it rotates, scales and moves. Coordinates are pixels;
 * those of a pixel's centre are integers. An image is `{data, width, height, channels}`, rows from the top.
 */

const MARGIN = 3; // pixels around what is sampled, for the bicubic filter

// As in photos.py: the change fades over this share of the frame's side; the outermost pixels do not change; the
// photo's fine detail begins to fade where the change is this large, of 255, and is gone at the second.
const FADE = 1 / 16;
const RIM = 3;
const FADES_FROM = 4;
const GONE_AT = 40;

export function apply({ a, b, x, y }, [px, py]) {
  return [a * px - b * py + x, b * px + a * py + y];
}

export function invert({ a, b, x, y }) {
  const [c, d] = divide(1, 0, a, b);
  const [u, v] = divide(-x, -y, a, b);
  return { a: c, b: d, x: u, y: v };
}

/** The quotient of complex numbers, in the order in which Python computes it: the last bit decides where to round. */
function divide(x, y, a, b) {
  if (Math.abs(a) >= Math.abs(b)) {
    const ratio = b / a;
    const total = a + b * ratio;
    return [(x + y * ratio) / total, (y - x * ratio) / total];
  }
  const ratio = a / b;
  const total = a * ratio + b;
  return [(x * ratio + y) / total, (y * ratio - x) / total];
}

/** The similarity for a photo that is `factor` times as large, and begins at `left` and `top`. */
export function moved(similarity, factor, left, top) {
  const half = (factor - 1) / 2; // where the centre of the first pixel goes
  const back = invert(similarity);
  return invert({
    a: back.a * factor,
    b: back.b * factor,
    x: back.x * factor + half - left,
    y: back.y * factor + half - top,
  });
}

/** The similarity that maps points to targets with the least squared error, weighted; null if there is none. */
export function fit(points, targets, weights) {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const mean = (values, axis) => values.reduce((sum, value, i) => sum + weights[i] * value[axis], 0) / total;
  const [px, py, tx, ty] = [mean(points, 0), mean(points, 1), mean(targets, 0), mean(targets, 1)];
  let [real, imaginary, spread] = [0, 0, 0];
  points.forEach(([x, y], i) => {
    const [u, v, s, t] = [x - px, y - py, targets[i][0] - tx, targets[i][1] - ty];
    real += weights[i] * (u * s + v * t);
    imaginary += weights[i] * (u * t - v * s);
    spread += weights[i] * (u * u + v * v);
  });
  if (!(spread > 1e-6) || !Number.isFinite(spread)) return null;
  const [a, b] = [real / spread, imaginary / spread];
  return Math.hypot(a, b) < 1e-9 ? null : { a, b, x: tx - (a * px - b * py), y: ty - (b * px + a * py) };
}

/** The similarity from an image to the frame that is its centred square. */
export function middle(width, height, size) {
  const edge = Math.min(width, height);
  const a = size / edge;
  const at = (side) => a * (0.5 - Math.floor((side - edge) / 2)) - 0.5;
  return { a, b: 0, x: at(width), y: at(height) };
}

/** The part of a photo in which a frame lies, `{left, top, right, bottom}`, with a margin. */
export function boxOf(similarity, size, width, height, margin = 0) {
  const bounds = boundsOf(invert(similarity), size, size);
  const within = (value, most) => Math.min(Math.max(value, 0), most);
  return {
    left: within(Math.floor(bounds.left) - margin, width),
    top: within(Math.floor(bounds.top) - margin, height),
    right: within(Math.ceil(bounds.right) + 1 + margin, width),
    bottom: within(Math.ceil(bounds.bottom) + 1 + margin, height),
  };
}

/** How many pixels around the box of a frame `align` reads. */
export function marginOf(similarity) {
  return MARGIN * reductionOf(invert(similarity)) + 1;
}

/**
 * Moves a face from a photo into its frame: `similarity.warp`.
 *
 * @param image RGB or RGBA, bytes; pixels at its border are repeated beyond it.
 * @param similarity from the image to the frame.
 * @param size side of the frame.
 * @returns RGB, bytes.
 */
export function align(image, similarity, size) {
  const sampled = reduced(image, invert(similarity), size, size, 3, Uint8Array, meanByte);
  const data = new Uint8ClampedArray(size * size * 3);
  const values = new Float64Array(3);
  for (let y = 0, place = 0; y < size; y++) {
    for (let x = 0; x < size; x++, place += 3) {
      sampled.at(x, y, values);
      for (let c = 0; c < 3; c++) data[place + c] = Math.floor(values[c]); // as Pillow does
    }
  }
  return { data, width: size, height: size, channels: 3 };
}

/**
 * What an edit adds to a photo, in the frame: `photos._layer` with the blend `detail`.
 *
 * @param face, edited, reconstructed bytes of RGB images of this size.
 * @returns float32, four channels: what is added to red, green and blue, and the share of the photo that it covers.
 */
export function layerOf(face, edited, reconstructed, size) {
  const largest = new Uint8Array(size * size);
  for (let i = 0; i < largest.length; i++) {
    for (let c = 3 * i; c < 3 * i + 3; c++) largest[i] = Math.max(largest[i], Math.abs(edited[c] - reconstructed[c]));
  }
  const near = blurred(largest, size);
  const ramp = Float32Array.from({ length: size }, (_, i) =>
    smoothStep((Math.min(i, size - 1 - i) - (RIM - 1)) / Math.max(1, FADE * size)),
  );
  const data = new Float32Array(size * size * 4);
  for (let y = 0, i = 0; y < size; y++) {
    for (let x = 0; x < size; x++, i++) {
      const fade = ramp[y] * ramp[x];
      const cover = fade * smoothStep((near[i] - FADES_FROM) / (GONE_AT - FADES_FROM));
      for (let c = 0; c < 3; c++) {
        const change = edited[3 * i + c] - reconstructed[3 * i + c];
        data[4 * i + c] = fade * change + cover * face[3 * i + c];
      }
      data[4 * i + 3] = cover;
    }
  }
  return { data, width: size, height: size, channels: 4 };
}

/**
 * Gives an edit back to a part of the photo, in place: `photos.give_back`.
 *
 * @param part RGBA, a `Uint8ClampedArray`, which rounds as NumPy's `rint` does.
 * @param layer of `layerOf`.
 * @param similarity from the part to the frame.
 */
export function giveBack(part, layer, similarity) {
  const { data, width, height } = part;
  const sampled = reduced(layer, similarity, width, height, 4, Float32Array, (sum, count) => sum / count);
  const { a, b, x: shiftX, y: shiftY } = similarity;
  const values = new Float64Array(4);
  for (let y = 0, place = 0; y < height; y++) {
    for (let x = 0; x < width; x++, place += 4) {
      const [u, v] = [a * x - b * y + shiftX, b * x + a * y + shiftY];
      if (!(u > 0 && v > 0 && u < layer.width - 1 && v < layer.height - 1)) continue; // the layer is 0 there
      sampled.at(x, y, values);
      for (let c = 0; c < 3; c++) data[place + c] = data[place + c] * (1 - values[3]) + values[c];
    }
  }
}

/** The code that takes each attribute's channels from another code; null: zeros. */
export function joinCodes(codes, bounds, length) {
  const channels = bounds[bounds.length - 1];
  const joined = new Float32Array(length);
  codes.forEach((code, attribute) => {
    if (!code) return;
    for (let place = 0; place < length; place += channels) {
      for (let c = place + bounds[attribute]; c < place + bounds[attribute + 1]; c++) joined[c] = code[c];
    }
  });
  return joined;
}

/** Bytes of pixels as the model takes them. */
export function toFloat(bytes) {
  return Float32Array.from(bytes, (value) => Math.fround(value / 127.5) - 1);
}

/** What the model returns as bytes: rounded to the nearest, and clipped. */
export function toBytes(values) {
  return Uint8ClampedArray.from(values, (value) => Math.fround(Math.fround(value + 1) * 127.5));
}

function reductionOf(back) {
  return Math.max(1, Math.floor(Math.hypot(back.a, back.b)));
}

function boundsOf(map, width, height) {
  const corners = [0, width - 1].flatMap((x) => [0, height - 1].map((y) => apply(map, [x, y])));
  const [xs, ys] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
}

/**
 * An image to sample bicubically, averaged over blocks if it shrinks.
 *
 * @param back from the pixels of the result to the image.
 * @param mean of a block: a function of the sum and the number of its values.
 * @returns an object with `at(x, y, values)`, which fills in the values of the result's pixel.
 */
function reduced(image, back, width, height, channels, ArrayType, mean) {
  const block = reductionOf(back);
  const bounds = boundsOf(back, width, height);
  const left = Math.floor(bounds.left) - MARGIN * block;
  const top = Math.floor(bounds.top) - MARGIN * block;
  const columns = Math.ceil((Math.ceil(bounds.right) + MARGIN * block + 1 - left) / block);
  const rows = Math.ceil((Math.ceil(bounds.bottom) + MARGIN * block + 1 - top) / block);
  let sampled = { ...image, left, top };
  if (block > 1) {
    const data = new ArrayType(rows * columns * channels);
    const sums = new Float64Array(channels);
    for (let row = 0, place = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, place += channels) {
        sumBlock(image, left + column * block, top + row * block, block, sums);
        for (let c = 0; c < channels; c++) data[place + c] = mean(sums[c], block * block);
      }
    }
    sampled = { data, width: columns, height: rows, channels, left: 0, top: 0 };
  }
  const { data, channels: stride } = sampled;
  const [lastX, lastY] = [sampled.width - 1, sampled.height - 1];
  // Without blocks, the image itself is sampled, and its own border is repeated: nothing is copied.
  const [offsetX, offsetY] = block > 1 ? [left, top] : [0, 0];
  // In Pillow's coordinates, integers are edges of pixels, not centres.
  const [a, b] = [back.a / block, back.b / block];
  const startX = (back.x - 0.5 * (back.a - back.b) + 0.5 - offsetX) / block;
  const startY = (back.y - 0.5 * (back.a + back.b) + 0.5 - offsetY) / block;
  const columnOf = new Int32Array(4);
  const rowOf = new Int32Array(4);
  const line = new Float64Array(4);

  function at(x, y, values) {
    const u = a * (x + 0.5) - b * (y + 0.5) + startX - 0.5;
    const v = b * (x + 0.5) + a * (y + 0.5) + startY - 0.5;
    const [column, row] = [Math.floor(u), Math.floor(v)];
    for (let i = 0; i < 4; i++) {
      columnOf[i] = Math.min(Math.max(column - 1 + i, 0), lastX) * stride;
      rowOf[i] = Math.min(Math.max(row - 1 + i, 0), lastY) * (lastX + 1) * stride;
    }
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < 4; i++) {
        const start = rowOf[i] + c;
        line[i] = cubic(
          data[start + columnOf[0]],
          data[start + columnOf[1]],
          data[start + columnOf[2]],
          data[start + columnOf[3]],
          u - column,
        );
      }
      values[c] = cubic(line[0], line[1], line[2], line[3], v - row);
    }
  }
  return { at };
}

/** Pillow's cubic through four values, between the second and the third. */
function cubic(v1, v2, v3, v4, d) {
  return v2 + d * (v3 - v1 + d * (2 * (v1 - v2) + v3 - v4 + d * (v2 - v1 - v3 + v4)));
}

/** The mean of whole numbers, rounded as Pillow does it: by a factor in 32 bits that is a little too small. */
function meanByte(sum, count) {
  const factor = Math.floor(Math.fround(2 ** 32 / (256 * count)));
  return Math.floor(((sum + (count >> 1)) * factor) / 2 ** 24);
}

function sumBlock({ data, width, height, channels }, left, top, block, sums) {
  sums.fill(0);
  for (let row = top; row < top + block; row++) {
    const start = Math.min(Math.max(row, 0), height - 1) * width;
    for (let column = left; column < left + block; column++) {
      const place = (start + Math.min(Math.max(column, 0), width - 1)) * channels;
      for (let c = 0; c < sums.length; c++) sums[c] += data[place + c];
    }
  }
}

/** Means of 3 x 3 pixels, each direction rounded, as Pillow's `BoxBlur(1)`. */
function blurred(values, size) {
  const along = (source, step, across) => {
    const result = new Uint8Array(source.length);
    for (let line = 0; line < size; line++) {
      for (let i = 0; i < size; i++) {
        const sum =
          source[line * across + Math.max(i - 1, 0) * step] +
          source[line * across + i * step] +
          source[line * across + Math.min(i + 1, size - 1) * step];
        result[line * across + i * step] = Math.round(sum / 3);
      }
    }
    return result;
  };
  return along(along(values, 1, size), size, 1);
}

function smoothStep(value) {
  const v = Math.min(Math.max(value, 0), 1);
  return v * v * (3 - 2 * v);
}
