import { randomBytes } from 'node:crypto'

const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** A ULID: 48 bits of time in milliseconds and 80 random bits, in 26 characters. */
export function ulid() {
  let bits = (BigInt(Date.now()) << 80n) | BigInt(`0x${randomBytes(10).toString('hex')}`)
  let text = ''
  for (let i = 0; i < 26; i++) {
    text = DIGITS[Number(bits & 31n)] + text
    bits >>= 5n
  }
  return text
}

export const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/
