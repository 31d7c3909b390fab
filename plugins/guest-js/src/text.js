// UTF-8, by functions of the engine: a loop over characters would be the slowest part of every script.

const CHUNK = 32768; // arguments of one call
const BEYOND_ASCII = /[^\x00-\x7f]/;

/** Bytes as a string with one character for each. */
function latin1(bytes) {
  if (bytes.length <= CHUNK) return String.fromCharCode.apply(null, bytes);
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + CHUNK));
  }
  return text;
}

/** The texts between offsets. */
export function decodeAll(bytes, offsets, rows) {
  const all = latin1(bytes);
  const texts = new Array(rows);
  for (let row = 0; row < rows; row++) texts[row] = all.slice(offsets[row], offsets[row + 1]);
  if (BEYOND_ASCII.test(all)) {
    for (let row = 0; row < rows; row++) {
      if (BEYOND_ASCII.test(texts[row])) texts[row] = decodeURIComponent(escape(texts[row]));
    }
  }
  return texts;
}

/** One text. */
export function decode(bytes) {
  const text = latin1(bytes);
  return BEYOND_ASCII.test(text) ? decodeURIComponent(escape(text)) : text;
}

/** A string with one character for each byte, as bytes. */
const bytesOf = (latin1) => Uint8Array.fromBase64(btoa(latin1));

/** The same with a character for each byte of the text. */
const utf8 = (text) => (BEYOND_ASCII.test(text) ? unescape(encodeURIComponent(text.toWellFormed())) : text);

/** Texts one after the other, and where each begins. */
export function encodeAll(texts) {
  const offsets = new Int32Array(texts.length + 1);
  const parts = new Array(texts.length);
  let end = 0;
  for (let row = 0; row < texts.length; row++) {
    const part = utf8(texts[row]);
    parts[row] = part;
    end += part.length;
    offsets[row + 1] = end;
  }
  return { offsets, bytes: bytesOf(parts.join("")) };
}

/** The bytes of a text. */
export const encode = (text) => bytesOf(utf8(text));
