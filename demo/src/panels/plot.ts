import type { Sheet } from '../chart/canvas'
import type { Tide } from '../line/tide'

export const SPAN_MS = 60_000
const LABELS = 46

export interface Axes {
  x: (at: number) => number
  y: (value: number) => number
  bottom: number
}

/** Draws what the plots have in common: the grid, the time axis, and a hatch where the line was down. */
export function frame(sheet: Sheet, now: number, top: number, tide: Tide): Axes {
  const { ink, width, height, colour } = sheet
  const right = width - 6
  const ceiling = 10
  const bottom = height - 20
  const x = (at: number): number => right - ((now - at) / SPAN_MS) * (right - LABELS)
  const y = (value: number): number => bottom - (value / top) * (bottom - ceiling)

  ink.font = "11px 'Hanken Grotesk Variable', system-ui, sans-serif"
  ink.lineWidth = 1
  ink.strokeStyle = colour('--line')
  ink.beginPath()
  for (const value of [0, top / 2, top]) {
    const row = Math.round(y(value)) + 0.5
    ink.moveTo(LABELS, row)
    ink.lineTo(right, row)
  }
  ink.stroke()
  outages(sheet, tide, now, x, ceiling, bottom)
  ink.fillStyle = colour('--muted')
  ink.textBaseline = 'alphabetic'
  ink.textAlign = 'left'
  ink.fillText('1 min ago', LABELS, height - 5)
  ink.textAlign = 'right'
  ink.fillText('now', right, height - 5)
  return { x, y, bottom }
}

export function label({ ink, colour }: Sheet, row: number, text: string): void {
  ink.fillStyle = colour('--muted')
  ink.textAlign = 'right'
  ink.textBaseline = 'middle'
  ink.fillText(text, LABELS - 8, row)
}

/** The next of 1, 2, 4, 10, 20, 40, … so that half of it is a whole number from 2 on. */
export function roundUp(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 4, 10].map((step) => step * unit).find((step) => step >= value) ?? unit * 10
}

function outages(
  { ink, colour }: Sheet,
  tide: Tide,
  now: number,
  x: (at: number) => number,
  ceiling: number,
  bottom: number,
): void {
  ink.save()
  ink.beginPath()
  tide.turns.forEach((turn, index) => {
    const firstCall = turn.kind === 'trying' && turn.attempt === 0
    if (turn.kind === 'open' || firstCall) return
    const until = tide.turns[index + 1]?.at ?? now
    const from = Math.max(LABELS, x(turn.at))
    if (x(until) > from) ink.rect(from, ceiling, x(until) - from, bottom - ceiling)
  })
  ink.clip()
  ink.strokeStyle = colour('--hatch')
  ink.lineWidth = 1
  ink.beginPath()
  for (let start = LABELS - bottom; start < x(now); start += 6) {
    ink.moveTo(start, bottom)
    ink.lineTo(start + bottom, 0)
  }
  ink.stroke()
  ink.restore()
}
