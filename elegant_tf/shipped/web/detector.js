/**
 * Finds faces with BlazeFace (short range), a TFLite file of the npm package @mediapipe/face_detection.
 *
 * Numbers are those of MediaPipe's graph `modules/face_detection/face_detection_short_range.pbtxt`.
 */

import { align, apply, fit, invert } from "./pixels.js";

export const SIDE = 128;

// Two anchors for each place of 16 x 16, and six for each of 8 x 8: layers of strides 8, 16, 16 and 16 have two each.
const GRIDS = [
  [16, 2],
  [8, 6],
];
const VALUES = 16; // of a face: middle, width and height of its box, and six points
const LEAST_SCORE = 0.5;
const OVERLAP = 0.3;

// A face takes at least a tenth of what the network sees. Where the whole photo shows none, parts of it are searched
// that have these shares of its longer side and overlap by half.
const SHARES = [1, 1 / 2, 1 / 4];
// A second look at the part around a face, upright, finds its points more exactly.
const AROUND = 2;
const MOST_FACES = 8;

// Where the eyes, the tip of the nose and the middle of the mouth lie, as BlazeFace finds them, in the frames into which
// `elegant_tf/data/align.py` aligns faces by MTCNN's points, as shares of the side: medians over 40 portraits, made
// symmetric. On 40 others, the corners of the frame are then nearer to MTCNN's than with the mean face itself.
const IN_FRAME = [
  [0.3514, 0.4388],
  [0.6468, 0.4388],
  [0.4991, 0.6023],
  [0.4991, 0.7541],
];
const WEIGHTS = [1, 1, 1, 2]; // the mouth stands for its two corners

const ANCHORS = GRIDS.flatMap(([side, count]) =>
  Array.from({ length: side * side * count }, (_, i) => {
    const place = Math.floor(i / count);
    return [((place % side) + 0.5) / side, (Math.floor(place / side) + 0.5) / side];
  }),
);

/**
 * The faces in an image.
 *
 * @param image RGBA, bytes, of some thousand pixels a side at most.
 * @param run runs the network: float32 RGB `[128, 128, 3]` in [-1, 1] to boxes `[896, 16]` and logits `[896]`.
 * @returns faces `{points, x, y, width, height, score}` in pixels of the image, the largest first. Points: the eye on
 *   the left as the viewer sees it, the other eye, tip of the nose, middle of the mouth, and both ears.
 */
export async function detect(image, run) {
  const look = async (similarity) => {
    const { boxes, logits } = await run(seen(image, similarity));
    return decode(boxes, logits).map((face) => placed(face, invert(similarity)));
  };
  let found = [];
  for (const share of SHARES) {
    const parts = [];
    for (const similarity of squares(image.width, image.height, share)) parts.push(...(await look(similarity)));
    found = merge(parts);
    if (found.length) break;
  }
  const faces = [];
  for (const face of found.slice(0, MOST_FACES)) faces.push(nearest(await look(upright(face)), face) ?? face);
  return merge(faces).sort((one, other) => other.width * other.height - one.width * one.height);
}

/** The similarity from an image to a frame of side `size` that shows a face as models see it; null if there is none. */
export function frameOf(points, size) {
  return fit(points.slice(0, WEIGHTS.length), IN_FRAME.map(([x, y]) => [x * size, y * size]), WEIGHTS);
}

/** Faces from what the network returns, in pixels of what it saw. */
export function decode(boxes, logits) {
  const faces = [];
  for (let i = 0; i < ANCHORS.length; i++) {
    const score = 1 / (1 + Math.exp(-logits[i]));
    if (!(score >= LEAST_SCORE)) continue;
    const [anchorX, anchorY] = ANCHORS[i];
    const values = boxes.subarray(i * VALUES, (i + 1) * VALUES);
    const point = (k) => [values[k] + anchorX * SIDE - 0.5, values[k + 1] + anchorY * SIDE - 0.5];
    const [x, y] = point(0);
    const points = [4, 6, 8, 10, 12, 14].map(point);
    faces.push({ points, x, y, width: values[2], height: values[3], score });
  }
  return faces;
}

/** Faces that overlap become their mean, weighted by the scores; the surest come first. */
export function merge(faces) {
  let rest = [...faces].sort((one, other) => other.score - one.score);
  const merged = [];
  while (rest.length) {
    const same = rest.filter((face) => overlap(face, rest[0]) > OVERLAP || face === rest[0]);
    const total = same.reduce((sum, face) => sum + face.score, 0);
    const mean = (value) => same.reduce((sum, face) => sum + face.score * value(face), 0) / total;
    merged.push({
      points: rest[0].points.map((_, i) => [mean((face) => face.points[i][0]), mean((face) => face.points[i][1])]),
      x: mean((face) => face.x),
      y: mean((face) => face.y),
      width: mean((face) => face.width),
      height: mean((face) => face.height),
      score: rest[0].score,
    });
    rest = rest.filter((face) => !same.includes(face));
  }
  return merged;
}

function overlap(one, other) {
  const along = (x, width) =>
    Math.min(one[x] + one[width] / 2, other[x] + other[width] / 2) -
    Math.max(one[x] - one[width] / 2, other[x] - other[width] / 2);
  const shared = Math.max(0, along("x", "width")) * Math.max(0, along("y", "height"));
  return shared / (one.width * one.height + other.width * other.height - shared);
}

/** Similarities from an image to squares with this share of its longer side, which cover it. */
function* squares(width, height, share) {
  const side = Math.max(width, height) * share;
  for (const top of starts(height, side)) for (const left of starts(width, side)) yield square(left, top, side);
}

function starts(length, side) {
  if (length <= side) return [(length - side) / 2];
  const count = Math.ceil((length - side) / (side / 2)) + 1;
  return Array.from({ length: count }, (_, i) => ((length - side) * i) / (count - 1));
}

function square(left, top, side) {
  const a = SIDE / side;
  return { a, b: 0, x: a * (0.5 - left) - 0.5, y: a * (0.5 - top) - 0.5 };
}

/** The similarity to a square around a face, in which its eyes are level. */
function upright(face) {
  const [[leftX, leftY], [rightX, rightY]] = face.points;
  const turn = -Math.atan2(rightY - leftY, rightX - leftX);
  const scale = SIDE / (AROUND * Math.max(face.width, face.height));
  const [a, b] = [scale * Math.cos(turn), scale * Math.sin(turn)];
  const middle = SIDE / 2 - 0.5;
  return { a, b, x: middle - (a * face.x - b * face.y), y: middle - (b * face.x + a * face.y) };
}

function nearest(faces, face) {
  return merge(faces).find((one) => overlap(one, face) > OVERLAP);
}

function placed(face, back) {
  const scale = Math.hypot(back.a, back.b);
  const [x, y] = apply(back, [face.x, face.y]);
  const points = face.points.map((point) => apply(back, point));
  return { points, x, y, width: face.width * scale, height: face.height * scale, score: face.score };
}

/** What the network sees of an image: black beyond its border. */
function seen(image, similarity) {
  const { data } = align(image, similarity, SIDE);
  const back = invert(similarity);
  const values = new Float32Array(data.length);
  for (let y = 0, place = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++, place += 3) {
      const [u, v] = apply(back, [x, y]);
      const inside = u >= -0.5 && v >= -0.5 && u < image.width - 0.5 && v < image.height - 0.5;
      for (let c = place; c < place + 3; c++) values[c] = inside ? data[c] / 127.5 - 1 : -1;
    }
  }
  return values;
}
