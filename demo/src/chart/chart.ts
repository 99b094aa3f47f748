import { motionIsReduced } from '../motion'
import { SharpCanvas, type Sheet } from './canvas'
import { contour, type Grid, type Loop } from './contour'
import { terrain, type Terrain } from './terrain'

const COLUMNS = 80
const ROWS = 54
/** Grid points beyond each side, so that the coast runs off the sheet and the rim can be sunk. */
const MARGIN = 3

const HIGH_WATER = 0.06
const LOW_WATER = -0.15
const LAND = 0.14
/** Below the water's edge, in heights. */
const SHALLOWS = [
  { below: 0, colour: '--sea-1' },
  { below: 0.13, colour: '--sea-2' },
  { below: 0.3, colour: '--sea-3' },
]
const METRES = 46

/** A sea chart of a room that does not exist, at any state of the tide. */
export class Chart {
  readonly canvas: SharpCanvas
  #ground: Terrain
  #grid: Grid
  /** 0 is low water, 1 is high water. */
  #level = 0
  #goal = 0
  #moving = false

  constructor(node: HTMLCanvasElement, seed: number) {
    this.#ground = terrain(seed)
    this.#grid = survey(this.#ground)
    this.canvas = new SharpCanvas(node, (sheet) => this.#draw(sheet))
    void document.fonts.load("italic 12px 'Newsreader Variable'").then(() => this.canvas.request())
  }

  show(seed: number): void {
    this.#ground = terrain(seed)
    this.#grid = survey(this.#ground)
    this.canvas.request()
  }

  set tide(level: number) {
    this.#goal = level
    if (motionIsReduced()) {
      this.#level = level
      this.canvas.request()
    } else if (!this.#moving) {
      this.#moving = true
      requestAnimationFrame((now) => this.#move(now, now))
    }
  }

  #move(now: number, before: number): void {
    this.#level += (this.#goal - this.#level) * Math.min(1, (now - before) / 420)
    this.#moving = Math.abs(this.#goal - this.#level) > 0.004
    if (!this.#moving) this.#level = this.#goal
    this.canvas.request()
    if (this.#moving) requestAnimationFrame((next) => this.#move(next, now))
  }

  #draw(sheet: Sheet): void {
    const { ink, width, height, colour } = sheet
    const water = LOW_WATER + (HIGH_WATER - LOW_WATER) * this.#level
    ink.fillStyle = colour('--sea-4')
    ink.fillRect(0, 0, width, height)
    for (const { below, colour: fill } of SHALLOWS.toReversed()) {
      this.#fill(sheet, water - below, colour(fill))
      this.#stroke(sheet, water - below, colour('--contour'), 0.8)
    }
    this.#fill(sheet, water, colour('--drying'))
    this.#stroke(sheet, water, colour('--coast'), 0.9)
    this.#fill(sheet, LAND, colour('--land'))
    this.#stroke(sheet, LAND, colour('--coast'), 1.3)
    this.#stroke(sheet, LAND + 0.16, colour('--hill'), 0.8)
    this.#stroke(sheet, LAND + 0.32, colour('--hill'), 0.8)
    this.#soundings(sheet, water)
    rose(sheet)
    neatline(sheet)
  }

  #fill({ ink, width, height }: Sheet, level: number, colour: string): void {
    trace(ink, contour(this.#grid, level), width, height)
    ink.fillStyle = colour
    ink.fill('evenodd')
  }

  #stroke({ ink, width, height }: Sheet, level: number, colour: string, thickness: number): void {
    trace(ink, contour(this.#grid, level), width, height)
    ink.strokeStyle = colour
    ink.lineWidth = thickness
    ink.stroke()
  }

  // Metres and decimetres of water as the tide stands; underlined where the ground is dry.
  #soundings({ ink, width, height, colour }: Sheet, water: number): void {
    const step = Math.max(56, width / 13)
    ink.fillStyle = colour('--sounding')
    ink.strokeStyle = colour('--sounding')
    ink.lineWidth = 0.7
    ink.textBaseline = 'alphabetic'
    for (let row = 0, y = step * 0.55; y < height - 20; row++, y += step * 0.72) {
      for (let column = 0, x = step * (row % 2 ? 0.9 : 0.45); x < width - 20; column++, x += step) {
        const jitterX = Math.sin(row * 12.9 + column * 78.2) * step * 0.2
        const jitterY = Math.cos(row * 39.3 + column * 11.1) * step * 0.16
        const depth = (water - this.#ground((x + jitterX) / width, (y + jitterY) / height)) * METRES
        const afloat = depth > (water - LAND) * METRES
        if (afloat && !isTaken(x + jitterX, y + jitterY, width, height)) sounding(ink, x + jitterX, y + jitterY, depth)
      }
    }
  }
}

function survey(ground: Terrain): Grid {
  const columns = COLUMNS + 2 * MARGIN + 1
  const rows = ROWS + 2 * MARGIN + 1
  const heights = new Float32Array(columns * rows)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const rim = row === 0 || column === 0 || row === rows - 1 || column === columns - 1
      heights[row * columns + column] = rim ? -9 : ground((column - MARGIN) / COLUMNS, (row - MARGIN) / ROWS)
    }
  }
  return { columns, rows, heights }
}

function trace(ink: CanvasRenderingContext2D, loops: Loop[], width: number, height: number): void {
  ink.beginPath()
  for (const loop of loops) {
    const count = loop.length / 2
    const x = (index: number): number => (((loop[(index % count) * 2] ?? 0) - MARGIN) / COLUMNS) * width
    const y = (index: number): number => (((loop[(index % count) * 2 + 1] ?? 0) - MARGIN) / ROWS) * height
    ink.moveTo((x(0) + x(1)) / 2, (y(0) + y(1)) / 2)
    for (let index = 1; index <= count; index++) {
      ink.quadraticCurveTo(x(index), y(index), (x(index) + x(index + 1)) / 2, (y(index) + y(index + 1)) / 2)
    }
    ink.closePath()
  }
}

// The room's name and the rose have their corners to themselves.
function isTaken(x: number, y: number, width: number, height: number): boolean {
  const radius = roseRadius(height)
  const underTitle = x < Math.min(330, width * 0.44) && y < Math.min(96, height * 0.24)
  const underRose = Math.hypot(x + 8 - (width - radius - 30), y - 4 - (height - radius - 30)) < radius + 14
  return underTitle || underRose
}

function roseRadius(height: number): number {
  return Math.min(62, height * 0.17)
}

function sounding(ink: CanvasRenderingContext2D, x: number, y: number, depth: number): void {
  const size = Math.abs(depth)
  const metres = String(Math.floor(size))
  ink.font = "italic 13px 'Newsreader Variable', Georgia, serif"
  ink.textAlign = 'left'
  ink.fillText(metres, x, y)
  const across = ink.measureText(metres).width
  if (depth < 0) {
    ink.beginPath()
    ink.moveTo(x, y + 2.5)
    ink.lineTo(x + across, y + 2.5)
    ink.stroke()
  }
  if (size >= 20) return
  ink.font = "italic 9px 'Newsreader Variable', Georgia, serif"
  ink.fillText(String(Math.floor((size % 1) * 10)), x + across + 0.5, y + 3)
}

function rose({ ink, width, height, colour }: Sheet): void {
  const radius = roseRadius(height)
  ink.save()
  ink.translate(width - radius - 30, height - radius - 30)
  ink.strokeStyle = colour('--rose')
  ink.fillStyle = colour('--rose')
  ink.lineWidth = 0.8
  for (const share of [1, 0.66]) {
    ink.beginPath()
    ink.arc(0, 0, radius * share, 0, Math.PI * 2)
    ink.stroke()
  }
  ink.beginPath()
  for (let degree = 0; degree < 360; degree += 5) {
    const angle = (degree * Math.PI) / 180
    const inner = radius * (degree % 30 === 0 ? 0.86 : degree % 10 === 0 ? 0.92 : 0.96)
    ink.moveTo(Math.sin(angle) * inner, -Math.cos(angle) * inner)
    ink.lineTo(Math.sin(angle) * radius, -Math.cos(angle) * radius)
  }
  ink.moveTo(-radius * 0.66, 0)
  ink.lineTo(radius * 0.66, 0)
  ink.moveTo(0, radius * 0.66)
  ink.lineTo(0, -radius * 0.66)
  ink.stroke()
  ink.beginPath()
  ink.moveTo(0, -radius * 1.16)
  ink.lineTo(radius * 0.09, -radius * 0.7)
  ink.lineTo(-radius * 0.09, -radius * 0.7)
  ink.fill()
  ink.restore()
}

// The black and white ladder of minutes around a chart.
function neatline({ ink, width, height, colour }: Sheet): void {
  const band = 6
  ink.fillStyle = colour('--paper')
  ink.fillRect(0, 0, width, band)
  ink.fillRect(0, height - band, width, band)
  ink.fillRect(0, 0, band, height)
  ink.fillRect(width - band, 0, band, height)
  ink.fillStyle = colour('--neatline')
  const across = width / 2 / Math.round(width / 2 / 46)
  const down = height / 2 / Math.round(height / 2 / 46)
  for (let x = 0; x < width - 1; x += across * 2) {
    ink.fillRect(x, 1.5, across, band - 3)
    ink.fillRect(x, height - band + 1.5, across, band - 3)
  }
  for (let y = 0; y < height - 1; y += down * 2) {
    ink.fillRect(1.5, y, band - 3, down)
    ink.fillRect(width - band + 1.5, y, band - 3, down)
  }
  ink.strokeStyle = colour('--neatline')
  ink.lineWidth = 1
  ink.strokeRect(0.5, 0.5, width - 1, height - 1)
  ink.strokeRect(band - 0.5, band - 0.5, width - 2 * band + 1, height - 2 * band + 1)
}
