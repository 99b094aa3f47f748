import { element, panel } from '../dom'
import type { Line } from '../line/line'
import { fromEvent, fromFrame, isChatter, searchable, tableRow, type Row } from './inspector-row'
import { Later } from './later'
import { Ring } from './ring'

const KEPT = 500
const SHOWN = 200
const DRAW_MS = 120

type Source = 'events' | 'frames'

/** Everything that arrives on the joined channels, or every frame on the socket. */
export function inspector(line: Line): HTMLElement {
  const kept = { events: new Ring<Row>(KEPT), frames: new Ring<Row>(KEPT) }
  let source: Source = 'events'
  let paused: Row[] | undefined

  const filter = element('input', { type: 'search', placeholder: 'Filter', 'aria-label': 'Filter by any text', 'data-testid': 'inspector-filter' })
  const chatter = element('input', { type: 'checkbox', 'data-testid': 'inspector-chatter' })
  const pause = element('button', { type: 'button', 'aria-pressed': 'false', 'data-testid': 'inspector-pause' }, 'Pause')
  const clear = element('button', { type: 'button', 'data-testid': 'inspector-clear' }, 'Clear')
  const note = element('p', { class: 'inspector-note', 'data-testid': 'inspector-note' })
  const body = element('tbody')
  const drawn = new WeakMap<Row, HTMLTableRowElement>()

  const draw = (): void => {
    const rows = paused ?? kept[source].newestFirst()
    const wanted = filter.value.trim().toLowerCase()
    const matching = rows.filter(
      (row) => (chatter.checked || !isChatter(row)) && (!wanted || searchable(row).includes(wanted)),
    )
    const lines = matching.slice(0, SHOWN).map((row) => {
      const line = drawn.get(row) ?? tableRow(row)
      drawn.set(row, line)
      return line
    })
    settle(body, lines)
    const hidden = rows.length - matching.length
    note.textContent = [
      lines.length === 0 && (rows.length === 0 ? 'Nothing yet.' : 'Nothing that matches.'),
      matching.length > SHOWN && `The newest ${SHOWN} of ${matching.length}.`,
      hidden > 0 && `${hidden} not shown.`,
      paused && 'Paused; events still arrive and are kept.',
    ]
      .filter(Boolean)
      .join(' ')
  }
  const later = new Later(DRAW_MS, draw)
  const request = (): void => {
    if (!paused) later.request()
  }

  line.event.on((event) => {
    kept.events.push(fromEvent(event))
    if (source === 'events') request()
  })
  line.wire.frame.on((frame) => {
    kept.frames.push(fromFrame(frame))
    if (source === 'frames') request()
  })
  filter.addEventListener('input', draw)
  chatter.addEventListener('change', draw)
  pause.addEventListener('click', () => {
    paused = paused ? undefined : kept[source].newestFirst()
    pause.setAttribute('aria-pressed', String(paused !== undefined))
    pause.textContent = paused ? 'Resume' : 'Pause'
    draw()
  })
  clear.addEventListener('click', () => {
    kept[source].clear()
    if (paused) paused = []
    draw()
  })
  const choice = sourceChoice((chosen) => {
    source = chosen
    if (paused) paused = kept[source].newestFirst()
    draw()
  })
  draw()

  const heads = ['Time', 'Channel', 'Event', 'Payload', 'Id'].map((head) => element('th', { scope: 'col' }, head))
  const table = element('table', {}, element('thead', {}, element('tr', {}, ...heads)), body)
  const node = panel(
    'inspector',
    'Inspector',
    element('div', { class: 'inspector-tools' }, choice, filter, element('label', { class: 'check' }, chatter, 'cursors and pulses'), pause, clear),
    element('div', { class: 'inspector-scroll', tabindex: 0, role: 'region', 'aria-label': 'Events, the newest first' }, table, note),
  )
  node.dataset['testid'] = 'inspector'
  return node
}

function sourceChoice(choose: (source: Source) => void): HTMLElement {
  const option = (source: Source, text: string): HTMLElement => {
    const input = element('input', { type: 'radio', name: 'source', value: source, checked: source === 'events' })
    input.addEventListener('change', () => choose(source))
    return element('label', {}, input, element('span', {}, text))
  }
  return element(
    'div',
    { class: 'segments', role: 'radiogroup', 'aria-label': 'What to show' },
    option('events', 'Events'),
    option('frames', 'Frames'),
  )
}

/** Leaves the rows that are there where they are, so that focus and selection stay. */
function settle(body: HTMLElement, rows: HTMLElement[]): void {
  const wanted = new Set<Element>(rows)
  for (const row of [...body.children]) if (!wanted.has(row)) row.remove()
  let place = body.firstElementChild
  for (const row of rows) {
    if (row === place) place = place.nextElementSibling
    else body.insertBefore(row, place)
  }
}
