/** Marks image files as edited: the XMP packet of `elegant_tf/marks.py`, byte for byte, and where PNG and JPEG keep it. */

const SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/";
export const EDITED = `${SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia`;
export const GENERATED = `${SOURCE_TYPES}trainedAlgorithmicMedia`;

const SPACES = {
  x: "adobe:ns:meta/",
  rdf: "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
  Iptc4xmpExt: "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
  elegant: "urn:elegant-tf:receipt:1/",
};
const PNG_KEY = "XML:com.adobe.xmp";
const JPEG_KEY = "http://ns.adobe.com/xap/1.0/\0";

/**
 * The packet of an edited photo.
 *
 * @param receipt `{model, step, exemplars, attributes, strength, version}`, in this order; what is empty is left out.
 * @param sourceType `EDITED`, or `GENERATED` if the photo says so, since that says more.
 */
export function packetOf(receipt, sourceType = EDITED) {
  const fields = Object.entries(receipt).filter(([, value]) => value !== null && value !== "" && value?.length !== 0);
  const item = fields.map(([name, value]) => element(`elegant:${name}`, Array.isArray(value) ? list(value) : text(value)));
  const spaces = Object.entries(SPACES).map(([prefix, uri]) => ` xmlns:${prefix}="${uri}"`);
  const edits = `<rdf:Seq><rdf:li rdf:parseType="Resource">${item.join("")}</rdf:li></rdf:Seq>`;
  const properties = element("Iptc4xmpExt:DigitalSourceType", text(sourceType)) + element("elegant:edits", edits);
  const body = element("rdf:RDF", `<rdf:Description rdf:about="">${properties}</rdf:Description>`);
  return (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n' +
    `<x:xmpmeta${spaces.join("")} x:xmptk="elegant_tf">${body}</x:xmpmeta>\n<?xpacket end="w"?>`
  );
}

/** Whether a file says that a model made the whole image. */
export function isGenerated(bytes) {
  return new TextDecoder("latin1").decode(bytes).includes(GENERATED);
}

/** The bytes of a PNG or JPEG file without a packet, with one. */
export function marked(bytes, packet) {
  const isPng = bytes[0] === 0x89;
  const segment = isPng ? pngChunk(packet) : jpegSegment(packet);
  const place = isPng ? 33 : afterHeader(bytes); // behind the signature and IHDR
  const result = new Uint8Array(bytes.length + segment.length);
  result.set(bytes.subarray(0, place));
  result.set(segment, place);
  result.set(bytes.subarray(place), place + segment.length);
  return result;
}

/** SHA-256 in hexadecimal; empty where the browser offers none, because the page came over an open network. */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return "";
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function element(name, content) {
  return `<${name}>${content}</${name}>`;
}

function list(values) {
  return element("rdf:Seq", values.map((value) => element("rdf:li", text(value))).join(""));
}

function text(value) {
  return String(value)
    .replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll("\r", "&#13;");
}

/** A number as Python writes a float. */
export function floatText(value) {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function pngChunk(packet) {
  // An iTXt chunk: the key, no compression, neither language nor translation of the key, and the text.
  const content = new TextEncoder().encode(`iTXt${PNG_KEY}\0\0\0\0\0${packet}`);
  const chunk = new Uint8Array(content.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, content.length - 4);
  chunk.set(content, 4);
  view.setUint32(content.length + 4, crc32(content));
  return chunk;
}

function jpegSegment(packet) {
  const content = new TextEncoder().encode(JPEG_KEY + packet);
  const segment = new Uint8Array(content.length + 4);
  const view = new DataView(segment.buffer);
  view.setUint16(0, 0xffe1); // APP1
  view.setUint16(2, content.length + 2);
  segment.set(content, 4);
  return segment;
}

/** Behind the marker that begins a JPEG file, and the segment APP0, if it has one. */
function afterHeader(bytes) {
  return bytes[2] === 0xff && bytes[3] === 0xe0 ? 4 + bytes[4] * 256 + bytes[5] : 2;
}

/** CRC-32 as PNG has it. */
function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
