import { SharpCanvas, type Sheet } from '../chart/canvas'
import { element, panel } from '../dom'
import type { Tide } from '../line/tide'
import type { Second, Traffic } from '../line/traffic'
import { every } from './beat'
import { frame, label, roundUp, SPAN_MS } from './plot'

/** Events in and out, second by second. */
export function rate(traffic: Traffic, tide: Tide): HTMLElement {
  const received = element('strong', { class: 'key-received' }, '0')
  const published = element('span', { class: 'key-published' })
  const plot = element('canvas', {
    class: 'plot',
    role: 'img',
    'data-testid': 'rate-plot',
    'aria-label': 'Events received and published per second over the last minute',
  })
  const canvas = new SharpCanvas(plot, (sheet) => draw(sheet, traffic.seconds, tide))
  every(250, () => {
    received.textContent = `${traffic.rate.received} in`
    published.textContent = `${traffic.rate.published} out, in the last whole second`
    canvas.request()
  })
  return panel('rate', 'Events per second', element('p', { class: 'reading' }, received, published), plot)
}

function draw(sheet: Sheet, seconds: Second[], tide: Tide): void {
  const { ink, colour } = sheet
  const now = Date.now()
  const shown = seconds.filter(({ second }) => second * 1000 > now - SPAN_MS)
  const top = roundUp(Math.max(4, ...shown.map((second) => Math.max(second.received, second.published))))
  const { x, y, bottom } = frame(sheet, now, top, tide)
  const wide = Math.max(2, x(1000) - x(0) - 1)

  ink.fillStyle = colour('--tide-fill')
  for (const { second, received } of shown) {
    ink.fillRect(Math.max(x(0), x(second * 1000)), y(received), wide, bottom - y(received))
  }
  // What left is a line on top, so that it shows where more went out than came back.
  ink.strokeStyle = colour('--accent')
  ink.lineWidth = 1.5
  ink.beginPath()
  for (const { second, published } of shown) {
    ink.moveTo(x(second * 1000), y(published))
    ink.lineTo(x(second * 1000) + wide, y(published))
  }
  ink.stroke()
  label(sheet, y(top), String(top))
  label(sheet, y(top / 2), String(top / 2))
  label(sheet, bottom, '0')
}
