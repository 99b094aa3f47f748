import type { Harbour } from '../room/harbour'
import type { Person } from '../room/person'
import type { Cursors } from './cursors'

const STEP = 0.025
const ARROWS: Record<string, readonly [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
}

/** Moves our cursor over the chart, by pointer, finger or arrow keys. */
export function steer(surface: HTMLElement, harbour: Harbour, cursors: Cursors, me: Person): void {
  let x = 0.5
  let y = 0.5
  const aim = (event: MouseEvent): void => {
    const box = surface.getBoundingClientRect()
    x = clamp((event.clientX - box.left) / box.width)
    y = clamp((event.clientY - box.top) / box.height)
    harbour.current.point({ x, y })
  }
  surface.addEventListener('pointermove', (event) => {
    cursors.remove(me.tab)
    aim(event)
  })
  // A finger that is lifted leaves its cursor to fade; a mouse takes it along.
  surface.addEventListener('pointerleave', ({ pointerType }) => {
    if (pointerType !== 'touch') harbour.current.point(undefined)
  })
  surface.addEventListener('click', (event) => {
    aim(event)
    harbour.current.ripple(x, y)
  })
  surface.addEventListener('keydown', (event) => {
    const move = ARROWS[event.key]
    if (event.key === 'Enter') harbour.current.ripple(x, y)
    else if (!move) return
    else {
      x = clamp(x + move[0] * STEP)
      y = clamp(y + move[1] * STEP)
      harbour.current.point({ x, y })
      // The browser draws a mouse's cursor; nobody else draws this one.
      cursors.move(me.tab, { from: me.name, colour: me.colour, x, y })
    }
    event.preventDefault()
  })
  surface.addEventListener('blur', () => {
    cursors.remove(me.tab)
    harbour.current.point(undefined)
  })
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share))
}
