/**
 * Turns the text that xtask made of the wasm back into bytes.
 *
 * Two of the characters are prefixes. A byte of the set `singles` (64 hexadecimal digits, a bit a byte) is one
 * of the other characters, any other byte a prefix and one of them; both in ascending order.
 */
export function decode(text, singles) {
  const places = []
  for (let code = 32, place = 0; code < 127; code++) {
    if (!'"\\$\'<&`'.includes(String.fromCharCode(code))) places[code] = place++ - 2
  }
  const one = []
  const two = []
  for (let byte = 0; byte < 256; byte++) {
    const list = (parseInt(singles[byte >> 2], 16) >> (byte & 3)) & 1 ? one : two
    list.push(byte)
  }
  const bytes = new Uint8Array(text.length)
  let length = 0
  for (let i = 0; i < text.length; i++) {
    const place = places[text.charCodeAt(i)]
    bytes[length++] = place < 0 ? two[(place + 2) * one.length + places[text.charCodeAt(++i)]] : one[place]
  }
  return bytes.subarray(0, length)
}
