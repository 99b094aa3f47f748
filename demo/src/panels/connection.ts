import { SharpCanvas } from '../chart/canvas'
import { milliseconds, timeOfDay } from '../clock'
import { element, panel } from '../dom'
import type { Line } from '../line/line'
import type { Entry, Logbook } from '../line/logbook'
import type { Status, StatusWatch } from '../line/status'
import type { Tide } from '../line/tide'
import { every } from './beat'
import { drawTide } from './tide-strip'

/** How the connection fares, and the means to disturb it. */
export function connection(line: Line, status: StatusWatch, tide: Tide, logbook: Logbook): HTMLElement {
  const now = element('p', { class: 'connection-now' })
  const detail = element('p', { class: 'connection-detail' })
  const bar = element('i')
  const countdown = element('div', { class: 'countdown', 'aria-hidden': 'true' }, bar)
  const strip = element('canvas', {
    class: 'tide-strip',
    role: 'img',
    'aria-label': 'The last minute of the connection: high water while open, low water while not',
  })
  const canvas = new SharpCanvas(strip, (sheet) => drawTide(sheet, tide))
  every(80, () => canvas.request())

  const update = (): void => {
    const current = status.current
    const [headline, words] = describe(current)
    if (now.textContent !== headline) now.textContent = headline
    if (detail.textContent !== words) detail.textContent = words
    const left = current.kind === 'waiting' ? (current.dueAt - Date.now()) / current.delayMs : 0
    bar.style.setProperty('--left', String(Math.min(1, Math.max(0, left))))
    countdown.dataset['running'] = String(current.kind === 'waiting')
  }
  status.changed.on(update)
  every(60, update)
  update()

  const node = panel(
    'connection',
    'Connection',
    element('div', { class: 'connection-state' }, now, detail, countdown, controls(line, status)),
    element('div', { class: 'connection-story' }, strip, story(logbook)),
  )
  node.id = 'connection'
  return node
}

function describe(status: Status): [string, string] {
  switch (status.kind) {
    case 'open':
      return ['Open', `High water since ${timeOfDay(status.since)}.`]
    case 'waiting':
      return [`Attempt ${status.attempt}`, `next try in ${milliseconds(status.dueAt - Date.now())}`]
    case 'trying':
      return [status.attempt ? `Attempt ${status.attempt}` : 'Connecting', navigator.onLine ? 'trying now…' : 'no network; waiting for it to come back']
    case 'stopped':
      return ['Disconnected', 'Low water until you connect again.']
  }
}

function controls(line: Line, status: StatusWatch): HTMLElement {
  const cut = element('button', { type: 'button', class: 'danger', 'data-testid': 'cut-button' }, 'Cut the socket')
  const toggle = element('button', { type: 'button', 'data-testid': 'disconnect-button' })
  const block = element('input', { type: 'checkbox', role: 'switch', 'data-testid': 'block-switch' })
  const hold = element(
    'label',
    { class: 'switch' },
    block,
    element('span', {}, 'Keep it cut', element('small', {}, 'every new socket fails until you switch this off')),
  )
  cut.addEventListener('click', () => line.wire.cut())
  toggle.addEventListener('click', () => {
    if (status.current.kind === 'stopped') line.start()
    else line.stop()
  })
  block.addEventListener('change', () => {
    line.wire.blocked = block.checked
    if (block.checked) line.wire.cut()
  })
  const update = (): void => {
    cut.disabled = !line.open
    toggle.textContent = status.current.kind === 'stopped' ? 'Connect' : 'Disconnect'
  }
  status.changed.on(update)
  update()
  return element('div', { class: 'controls' }, cut, toggle, hold)
}

function story(logbook: Logbook): HTMLElement {
  const list = element('ol', { class: 'story', tabindex: 0, 'aria-label': 'What happened, the newest first', 'data-testid': 'timeline' })
  const write = (entry: Entry): void => {
    if (entry.times > 1) list.firstElementChild?.remove()
    list.prepend(
      element(
        'li',
        { 'data-kind': entry.kind },
        element('time', { datetime: new Date(entry.at).toISOString() }, timeOfDay(entry.at)),
        element('span', {}, entry.times > 1 ? `${entry.text} (${entry.times} times)` : entry.text),
      ),
    )
    while (list.childElementCount > logbook.entries.length) list.lastElementChild?.remove()
  }
  logbook.entries.forEach(write)
  logbook.written.on(write)
  return list
}
