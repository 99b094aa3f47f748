import { recall, remember } from '../memory'
import { Signal } from '../signal'
import { COLOURS, isColour, type Colour } from './palette'

const AREAS = [
  'Viking', 'Forties', 'Cromarty', 'Forth', 'Tyne', 'Dogger', 'Fisher', 'Humber', 'Thames', 'Dover',
  'Wight', 'Portland', 'Plymouth', 'Biscay', 'Trafalgar', 'FitzRoy', 'Sole', 'Lundy', 'Fastnet',
  'Shannon', 'Rockall', 'Malin', 'Hebrides', 'Bailey', 'Fair Isle', 'Utsire',
]
const BIRDS = ['Tern', 'Gannet', 'Petrel', 'Puffin', 'Skua', 'Fulmar', 'Plover', 'Curlew', 'Avocet', 'Dunlin']

export const NAME_LIMIT = 24

interface Looks {
  name: string
  colour: Colour
}

/** Who this tab is to the others. */
export class Person {
  /** New for every page load: one person may sit in several tabs. */
  readonly tab = randomId()
  readonly changed = new Signal<Person>()
  #looks: Looks

  private constructor(
    looks: Looks,
    private readonly seat: number | undefined,
  ) {
    this.#looks = looks
    this.#remember()
  }

  get name(): string {
    return this.#looks.name
  }

  get colour(): Colour {
    return this.#looks.colour
  }

  rename(name: string): void {
    const trimmed = name.trim().replace(/\s+/g, ' ').slice(0, NAME_LIMIT)
    if (trimmed && trimmed !== this.name) this.#become({ name: trimmed, colour: this.colour })
  }

  paint(colour: Colour): void {
    if (isColour(colour) && colour !== this.colour) this.#become({ name: this.name, colour })
  }

  #become(looks: Looks): void {
    this.#looks = looks
    this.#remember()
    this.changed.emit(this)
  }

  #remember(): void {
    if (this.seat !== undefined) remember('local', seatKey(this.seat), JSON.stringify(this.#looks))
  }

  /** Takes the first free seat of this browser, so that each tab finds its own name again. */
  static async arrive(): Promise<Person> {
    const seat = await takeSeat()
    return new Person(remembered(seat) ?? randomLooks(), seat)
  }
}

const SEATS = 12

async function takeSeat(): Promise<number | undefined> {
  // Locks need a secure context; without them every load is a newcomer.
  if (!('locks' in navigator)) return undefined
  const last = Number(recall('session', 'tidings.demo.seat') ?? 0)
  const order = [last, ...Array.from({ length: SEATS }, (_, seat) => seat).filter((seat) => seat !== last)]
  for (const seat of order) {
    if (await holdSeat(seat)) {
      remember('session', 'tidings.demo.seat', String(seat))
      return seat
    }
  }
  return undefined
}

/** The lock is held until the page goes. */
function holdSeat(seat: number): Promise<boolean> {
  return new Promise((resolve) => {
    navigator.locks
      .request(`tidings.demo.seat.${seat}`, { ifAvailable: true }, (lock) => {
        resolve(lock !== null)
        return lock === null ? undefined : new Promise<void>(() => undefined)
      })
      .catch(() => resolve(false))
  })
}

function seatKey(seat: number): string {
  return `tidings.demo.person.${seat}`
}

function remembered(seat: number | undefined): Looks | undefined {
  const text = seat === undefined ? undefined : recall('local', seatKey(seat))
  if (!text) return undefined
  try {
    const { name, colour } = JSON.parse(text) as Partial<Looks>
    return typeof name === 'string' && name && isColour(colour) ? { name, colour } : undefined
  } catch {
    return undefined
  }
}

function randomLooks(): Looks {
  return { name: `${pick(AREAS)} ${pick(BIRDS)}`, colour: Math.floor(Math.random() * COLOURS.length) }
}

function pick(words: readonly string[]): string {
  return words[Math.floor(Math.random() * words.length)] ?? 'Tern'
}

// `crypto.randomUUID` needs a secure context, which a page on the local network is not.
export function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
