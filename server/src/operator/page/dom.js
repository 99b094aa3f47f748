// Elements, and how things are written. What comes from clients goes in as text, never as markup.

const SVG = 'http://www.w3.org/2000/svg'

export const at = (id) => document.getElementById(id)

export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children)
}

export function drawing(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children)
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value)
  }
  node.append(...children)
  return node
}

/** Writes a text where it is another one: what has not changed is not touched, so that a selection stays. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text
}

/**
 * Makes the children of `parent` those of `items`, in their order. Elements stay with their item's key, so that the
 * keyboard's focus does. `make(item)` gives an element, `update(element, item)` fills it.
 */
export function keep(parent, items, keyOf, make, update) {
  const known = new Map([...parent.children].map((node) => [node.dataset.key, node]))
  let before = parent.firstElementChild
  for (const item of items) {
    const key = keyOf(item)
    let node = known.get(key)
    known.delete(key)
    if (!node) {
      node = make(item)
      node.dataset.key = key
    }
    update(node, item)
    if (node === before) before = before.nextElementSibling
    else parent.insertBefore(node, before)
  }
  for (const node of known.values()) node.remove()
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const tenths = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })

export const count = (value) => (value === undefined || value === null ? '–' : whole.format(value))

/** So many things: `connection` for one, `connections` for others. */
export const many = (value, thing) => `${count(value)} ${thing}${value === 1 ? '' : 's'}`

/** Something by the second: small numbers with one decimal. */
export function rate(value) {
  if (value === undefined || value === null) return '–'
  return value > 0 && value < 99.95 ? tenths.format(value) : whole.format(value)
}

export function bytes(value) {
  if (value === undefined || value === null) return '–'
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? whole.format(value) : tenths.format(value)} ${units[unit]}`
}

export const timeOfDay = (at) => clock.format(at)

/** How long ago, in the two largest units. */
export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const parts = [['d', Math.floor(seconds / 86400)], ['h', Math.floor(seconds / 3600) % 24], ['min', Math.floor(seconds / 60) % 60], ['s', seconds % 60]]
  const first = parts.findIndex(([, value]) => value > 0)
  if (first < 0) return '0 s'
  return parts.slice(first, first + 2).filter(([, value]) => value > 0).map(([unit, value]) => `${value} ${unit}`).join(' ')
}
