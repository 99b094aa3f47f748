/** The colours a person can pick; each has a custom property `--person-<index>` in both themes. */
export const COLOURS = ['Magenta', 'Red', 'Amber', 'Green', 'Teal', 'Blue', 'Violet', 'Slate'] as const

export type Colour = number

export function isColour(value: unknown): value is Colour {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < COLOURS.length
}

/** A steady colour for a sender that names none, such as a script. */
export function colourOf(name: string): Colour {
  let hash = 7
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0
  return hash % COLOURS.length
}

/** Set by a class and not by a style attribute, which the page's policy refuses. */
export function colourClass(colour: Colour): string {
  return `person-${colour}`
}
