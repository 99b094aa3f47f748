import { themeChanged } from '../theme'

export interface Sheet {
  ink: CanvasRenderingContext2D
  width: number
  height: number
  /** The value of a custom property of the current theme. */
  colour: (property: string) => string
}

/** Keeps a canvas as sharp as the screen and drawn in the colours of the current theme. */
export class SharpCanvas {
  #width = 0
  #height = 0
  #queued = false
  #inView = true
  #colours = new Map<string, string>()

  constructor(
    readonly node: HTMLCanvasElement,
    private readonly draw: (sheet: Sheet) => void,
  ) {
    new ResizeObserver(([entry]) => {
      this.#width = entry?.contentRect.width ?? 0
      this.#height = entry?.contentRect.height ?? 0
      this.#paint()
    }).observe(node)
    new IntersectionObserver((entries) => {
      this.#inView = entries.at(-1)?.isIntersecting ?? true
      this.request()
    }).observe(node)
    themeChanged.on(() => {
      this.#colours.clear()
      this.request()
    })
  }

  /** Draws with the next frame, once, however often it is asked; not while scrolled out of view. */
  request(): void {
    if (this.#queued || !this.#inView) return
    this.#queued = true
    requestAnimationFrame(() => {
      this.#queued = false
      this.#paint()
    })
  }

  #paint(): void {
    const ink = this.node.getContext('2d')
    if (!ink || this.#width === 0 || this.#height === 0) return
    const ratio = devicePixelRatio || 1
    const across = Math.round(this.#width * ratio)
    const down = Math.round(this.#height * ratio)
    if (this.node.width !== across) this.node.width = across
    if (this.node.height !== down) this.node.height = down
    ink.setTransform(ratio, 0, 0, ratio, 0, 0)
    ink.clearRect(0, 0, this.#width, this.#height)
    this.draw({ ink, width: this.#width, height: this.#height, colour: (property) => this.#colour(property) })
  }

  #colour(property: string): string {
    const known = this.#colours.get(property)
    if (known !== undefined) return known
    const value = getComputedStyle(document.documentElement).getPropertyValue(property).trim()
    this.#colours.set(property, value)
    return value
  }
}
