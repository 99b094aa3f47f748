import { drawing, element } from '../dom'
import { flag } from '../room/flag'
import { colourClass, type Colour } from '../room/palette'

interface Cursor {
  node: HTMLElement
  looks: string
  fade: ReturnType<typeof setTimeout>
}

export interface CursorPlace {
  from: string
  colour: Colour
  x: number
  y: number
}

const STALE_MS = 4000
const GONE_MS = 15_000
/** Beyond this many, new cursors are not drawn. */
const CROWD = 100
/** Pixels to the right of a cursor below which its name goes to the left. */
const LABEL_ROOM = 180

/** The cursors on a chart; one that does not move fades, and goes. */
export class Cursors {
  readonly #cursors = new Map<string, Cursor>()

  constructor(private readonly layer: HTMLElement) {}

  move(tab: string, { from, colour, x, y }: CursorPlace): void {
    const cursor = this.#cursors.get(tab) ?? (this.#cursors.size < CROWD ? this.#place(tab) : undefined)
    if (!cursor) return
    const looks = `${colour} ${from}`
    if (cursor.looks !== looks) {
      cursor.looks = looks
      cursor.node.className = `cursor ${colourClass(colour)}`
      cursor.node.replaceChildren(arrow(), element('span', { class: 'cursor-name' }, flag(from), from))
    }
    cursor.node.style.setProperty('--x', String(x))
    cursor.node.style.setProperty('--y', String(y))
    cursor.node.classList.toggle('cursor-turned', (1 - x) * this.layer.clientWidth < LABEL_ROOM)
    cursor.node.classList.remove('cursor-stale')
    clearTimeout(cursor.fade)
    cursor.fade = setTimeout(() => this.#fade(tab), STALE_MS)
  }

  remove(tab: string): void {
    const cursor = this.#cursors.get(tab)
    if (!cursor) return
    clearTimeout(cursor.fade)
    cursor.node.remove()
    this.#cursors.delete(tab)
  }

  clear(): void {
    for (const tab of [...this.#cursors.keys()]) this.remove(tab)
  }

  #place(tab: string): Cursor {
    const node = element('div', { 'data-testid': 'cursor', 'data-tab': tab })
    const cursor = { node, looks: '', fade: setTimeout(() => this.#fade(tab), STALE_MS) }
    this.#cursors.set(tab, cursor)
    this.layer.append(node)
    return cursor
  }

  #fade(tab: string): void {
    const cursor = this.#cursors.get(tab)
    if (!cursor) return
    cursor.node.classList.add('cursor-stale')
    cursor.fade = setTimeout(() => this.remove(tab), GONE_MS - STALE_MS)
  }
}

function arrow(): SVGSVGElement {
  return drawing(
    'svg',
    { class: 'cursor-arrow', viewBox: '0 0 20 22', focusable: 'false' },
    drawing('path', { d: 'M2 1.5 17.5 11l-7 1.3L6.5 19z' }),
  )
}
