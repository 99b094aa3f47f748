import { Chart } from '../chart/chart'
import { element } from '../dom'
import type { Status, StatusWatch } from '../line/status'
import { colourClass } from '../room/palette'
import type { Harbour } from '../room/harbour'
import type { Person } from '../room/person'
import type { Room } from '../room/room'
import { Cursors } from './cursors'
import { steer } from './helm'

const SEEDS: Record<string, number> = { lobby: 11, studio: 5, lighthouse: 23 }

/** The chart of the room one looks at, with everyone's cursor on it. */
export function stage(harbour: Harbour, status: StatusWatch, me: Person): HTMLElement {
  const canvas = element('canvas', { 'aria-hidden': 'true' })
  const title = element('p', { class: 'stage-title', 'aria-hidden': 'true' })
  const layer = element('div', { class: 'cursor-layer', 'aria-hidden': 'true' })
  const empty = element('div', { class: 'stage-empty' })
  const trouble = element('div', { class: 'stage-trouble', role: 'status' })
  const second = element('a', { target: '_blank' }, 'Open a second tab')
  const hint = element(
    'div',
    { class: 'stage-hint' },
    second,
    ' and move over the chart: each sees the other.',
  )
  const surface = element(
    'div',
    {
      class: 'stage-surface',
      tabindex: 0,
      role: 'group',
      'aria-label': 'Chart of the room. The arrow keys move your cursor, Enter makes a ripple.',
    },
    canvas,
    title,
    layer,
  )
  const node = element('section', { class: 'stage', 'aria-label': 'Live cursors' }, surface, hint, empty, trouble)
  const chart = new Chart(canvas, seed(harbour.current))
  const cursors = new Cursors(layer)
  let shown: Room | undefined

  const welcome = (): void => {
    const { joined, crew } = harbour.current
    hint.hidden = !joined || crew.mates.length > 0 || status.current.kind !== 'open'
  }
  const look = (): void => {
    const room = harbour.current
    if (room !== shown) {
      shown?.point(undefined)
      shown = room
      cursors.clear()
      chart.show(seed(room))
      title.textContent = room.title
      second.href = `#${room.id}`
    }
    empty.hidden = room.joined
    welcome()
    if (!room.joined) {
      cursors.clear()
      empty.replaceChildren(...ashore(room))
    }
  }
  harbour.changed.on(look)
  look()

  for (const room of harbour.rooms) {
    room.crew.changed.on(welcome)
    room.pointed.on((pointing) => {
      if (room !== harbour.current) return
      if (pointing.gone) cursors.remove(pointing.tab)
      else cursors.move(pointing.tab, pointing)
    })
    room.rippled.on((point) => {
      if (room === harbour.current) ripple(layer, point.x, point.y, colourClass(point.colour))
    })
  }

  status.changed.on((now) => {
    weather(chart, trouble, now)
    welcome()
  })
  weather(chart, trouble, status.current)
  steer(surface, harbour, cursors, me)
  return node
}

function seed(room: Room): number {
  return SEEDS[room.id] ?? room.id.length
}

function ashore(room: Room): Node[] {
  const join = element('button', { type: 'button', class: 'primary', 'data-testid': `join-${room.id}` }, 'Join this room')
  join.addEventListener('click', () => room.join())
  return [
    element('p', { class: 'stage-empty-title' }, 'You are ashore'),
    element('p', {}, `You left ${room.title}, so none of its events reach this tab.`),
    join,
  ]
}

function weather(chart: Chart, trouble: HTMLElement, status: Status): void {
  chart.tide = status.kind === 'open' ? 1 : 0
  // The first seconds and a short drop explain themselves; a gateway that stays away does not.
  const away = (status.kind === 'waiting' || status.kind === 'trying') && status.attempt >= 4
  const stopped = status.kind === 'stopped'
  trouble.hidden = !away && !stopped
  const words = stopped
    ? 'Disconnected for good. Connect again below.'
    : `The gateway at ${location.host} does not answer. The page keeps trying; what you write waits here.`
  if (!trouble.hidden && trouble.textContent !== words) trouble.textContent = words
}

function ripple(layer: HTMLElement, x: number, y: number, colour: string): void {
  const ring = element('i', { class: `ripple ${colour}` })
  ring.style.setProperty('--x', String(x))
  ring.style.setProperty('--y', String(y))
  setTimeout(() => ring.remove(), 1400)
  layer.append(ring)
}
