import { drawing } from '../dom'

// The second tone of each letter's flag in the International Code of Signals, on a grid of 12.
const SHAPES: Record<string, string> = {
  A: 'M0 0h6v12H0z',
  B: 'M12 0 8 6l4 6z',
  C: 'M0 0h12v2H0zM0 10h12v2H0zM0 5h12v2H0z',
  D: 'M0 0h12v3H0zM0 9h12v3H0z',
  E: 'M0 6h12v6H0z',
  F: 'M0 0h6L0 6zM6 0h6v6zM12 6v6H6zM6 12H0V6z',
  G: 'M2 0h2v12H2zM6 0h2v12H6zM10 0h2v12h-2z',
  H: 'M0 0h6v12H0z',
  I: 'M0 0h12v12H0zM6 3a3 3 0 1 0 0 6 3 3 0 0 0 0-6z',
  J: 'M0 4h12v4H0z',
  K: 'M0 0h6v12H0z',
  L: 'M0 0h6v6H0zM6 6h6v6H6z',
  M: 'M0 0h2l4 4 4-4h2v2L8 6l4 4v2h-2L6 8l-4 4H0v-2l4-4-4-4z',
  N: 'M0 0h3v3H0zM6 0h3v3H6zM3 3h3v3H3zM9 3h3v3H9zM0 6h3v3H0zM6 6h3v3H6zM3 9h3v3H3zM9 9h3v3H9z',
  O: 'M0 0v12h12z',
  P: 'M4 4h4v4H4z',
  Q: 'M0 0h12v1H0zM0 11h12v1H0z',
  R: 'M5 0h2v5h5v2H7v5H5V7H0V5h5z',
  S: 'M0 0h12v12H0zM4 4v4h4V4z',
  T: 'M0 0h4v12H0z',
  U: 'M6 0h6v6H6zM0 6h6v6H0z',
  V: 'M0 0h2l4 4 4-4h2v2L8 6l4 4v2h-2L6 8l-4 4H0v-2l4-4-4-4z',
  W: 'M2 2h8v8H2zM4 4v4h4V4z',
  X: 'M4 0h4v4h4v4H8v4H4V8H0V4h4z',
  Y: 'M0 0h3L0 3zM6 0h3L0 9V6zM12 0v3L3 12H0zM12 6v3l-3 3H6zM12 12h-.1z',
  Z: 'M0 0l6 6-6 6zM12 0L6 6l6 6z',
}

const PLAIN = 'M4 3h4v2H4zM4 7h4v2H4z'

/** The signal flag of a name's first letter, in the person's colour (`currentColor`). */
export function flag(name: string): SVGSVGElement {
  const letter = name.normalize('NFD').trim().charAt(0).toUpperCase()
  return drawing(
    'svg',
    { class: 'flag', viewBox: '0 0 12 12', 'aria-hidden': 'true', focusable: 'false' },
    drawing('rect', { width: 12, height: 12, fill: 'currentColor' }),
    drawing('path', { d: SHAPES[letter] ?? PLAIN, class: 'flag-tone', 'fill-rule': 'evenodd' }),
  )
}
