import type { Sheet } from '../chart/canvas'
import type { Tide } from '../line/tide'

const SPAN_MS = 60_000
const STEP = 2

/** A tide gauge's curve of the connection, with each attempt marked by its number. */
export function drawTide({ ink, width, height, colour }: Sheet, tide: Tide): void {
  const now = Date.now()
  const right = width - 8
  const top = 16
  const bottom = height - 18
  const place = (at: number): number => right - ((now - at) / SPAN_MS) * right
  const moment = (x: number): number => now - ((right - x) / right) * SPAN_MS
  const depth = (level: number): number => bottom - 5 - (bottom - 5 - top) * level

  ink.font = "11px 'Hanken Grotesk Variable', system-ui, sans-serif"
  ink.textBaseline = 'alphabetic'
  staff(ink, right, top, bottom, colour('--line'))

  const born = tide.turns[0]?.at ?? now
  const left = Math.max(0, place(born))
  ink.beginPath()
  ink.moveTo(left, bottom)
  for (let x = left; x < right; x += STEP) ink.lineTo(x, depth(tide.level(moment(x))))
  ink.lineTo(right, depth(tide.level(now)))
  ink.lineTo(right, bottom)
  ink.closePath()
  ink.fillStyle = colour('--sea-2')
  ink.fill()

  ink.beginPath()
  ink.moveTo(left, depth(tide.level(moment(left))))
  for (let x = left; x < right; x += STEP) ink.lineTo(x, depth(tide.level(moment(x))))
  ink.lineTo(right, depth(tide.level(now)))
  ink.strokeStyle = colour('--tide-line')
  ink.lineWidth = 2
  ink.lineJoin = 'round'
  ink.stroke()

  attempts(ink, tide, place, top, bottom, colour('--accent'))
  legend(ink, width, height, colour('--muted'))

  ink.beginPath()
  ink.arc(right, depth(tide.level(now)), 4, 0, Math.PI * 2)
  ink.fillStyle = colour('--accent')
  ink.fill()
}

function staff(ink: CanvasRenderingContext2D, right: number, top: number, bottom: number, colour: string): void {
  ink.strokeStyle = colour
  ink.lineWidth = 1
  ink.beginPath()
  for (let second = 0; second <= 60; second += 10) {
    const x = Math.round(right - (second / 60) * right) + 0.5
    ink.moveTo(x, top - 6)
    ink.lineTo(x, bottom)
  }
  ink.moveTo(0, bottom + 0.5)
  ink.lineTo(right, bottom + 0.5)
  ink.stroke()
}

function attempts(
  ink: CanvasRenderingContext2D,
  tide: Tide,
  place: (at: number) => number,
  top: number,
  bottom: number,
  colour: string,
): void {
  ink.fillStyle = ink.strokeStyle = colour
  ink.lineWidth = 1.2
  ink.textAlign = 'center'
  let free = -Infinity
  for (const turn of tide.turns) {
    if (turn.kind !== 'trying' || turn.attempt === 0) continue
    const x = place(turn.at)
    if (x < 0) continue
    ink.beginPath()
    ink.moveTo(x, top + 2)
    ink.lineTo(x, bottom)
    ink.stroke()
    if (x < free) continue
    ink.fillText(String(turn.attempt), x, top - 4)
    free = x + 14
  }
}

function legend(ink: CanvasRenderingContext2D, width: number, height: number, colour: string): void {
  ink.fillStyle = colour
  ink.textAlign = 'left'
  ink.fillText('1 min ago', 0, height - 4)
  ink.textAlign = 'right'
  ink.fillText('now', width - 1, height - 4)
}
