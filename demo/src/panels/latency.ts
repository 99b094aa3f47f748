import { SharpCanvas, type Sheet } from '../chart/canvas'
import { element, panel } from '../dom'
import type { Pulse, Sample } from '../line/pulse'
import type { Tide } from '../line/tide'
import { every } from './beat'
import { frame, label, roundUp, SPAN_MS } from './plot'

/** How long an event takes to the gateway and back. */
export function latency(pulse: Pulse, tide: Tide): HTMLElement {
  const newest = element('strong', {}, '–')
  const spread = element('span')
  const plot = element('canvas', {
    class: 'plot',
    role: 'img',
    'data-testid': 'latency-plot',
    'aria-label': 'Round trip in milliseconds over the last minute',
  })
  const canvas = new SharpCanvas(plot, (sheet) => draw(sheet, pulse.samples, tide))
  every(100, () => canvas.request())
  const update = (): void => {
    newest.textContent = pulse.refused ? '–' : precise(pulse.samples.at(-1)?.roundTrip)
    const sorted = pulse.samples.map(({ roundTrip }) => roundTrip).sort((a, b) => a - b)
    spread.textContent = pulse.refused
      ? `Not measured: ${pulse.refused}.`
      : `median ${precise(quantile(sorted, 0.5))}, 95 % below ${precise(quantile(sorted, 0.95))}`
  }
  pulse.measured.on(update)
  return panel('latency', 'Round trip', element('p', { class: 'reading' }, newest, spread), plot)
}

function draw(sheet: Sheet, samples: Sample[], tide: Tide): void {
  const { ink, colour } = sheet
  const now = Date.now()
  const shown = samples.filter(({ at }) => at > now - SPAN_MS)
  const sorted = shown.map(({ roundTrip }) => roundTrip).sort((a, b) => a - b)
  // A single outlier must not flatten everything else: it is drawn at the rim.
  const top = roundUp(Math.max((quantile(sorted, 0.9) ?? 0) * 1.2, (quantile(sorted, 0.5) ?? 0) * 2, 1))
  const { x, y, bottom } = frame(sheet, now, top, tide)

  ink.strokeStyle = colour('--tide-line')
  ink.lineWidth = 1.6
  ink.lineJoin = 'round'
  ink.beginPath()
  let before = 0
  for (const { at, roundTrip } of shown) {
    const height = y(Math.min(roundTrip, top))
    if (at - before > 2500) ink.moveTo(x(at), height)
    else ink.lineTo(x(at), height)
    before = at
  }
  ink.stroke()
  ink.fillStyle = colour('--accent')
  for (const { at, roundTrip } of shown) {
    if (roundTrip <= top) continue
    ink.beginPath()
    ink.moveTo(x(at), y(top) - 1)
    ink.lineTo(x(at) - 4, y(top) + 6)
    ink.lineTo(x(at) + 4, y(top) + 6)
    ink.fill()
  }
  const last = shown.at(-1)
  if (last) {
    ink.beginPath()
    ink.arc(x(last.at), y(Math.min(last.roundTrip, top)), 3.5, 0, Math.PI * 2)
    ink.fill()
  }
  label(sheet, y(top), `${top} ms`)
  label(sheet, y(top / 2), `${top / 2} ms`)
  label(sheet, bottom, '0')
}

function quantile(sorted: number[], share: number): number | undefined {
  return sorted[Math.floor((sorted.length - 1) * share)]
}

function precise(ms: number | undefined): string {
  return ms === undefined ? '–' : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`
}
