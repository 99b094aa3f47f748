import type { Status, StatusWatch } from './status'

export interface Turn {
  at: number
  kind: Status['kind']
  attempt: number
  /** The level when the tide turned. */
  from: number
}

const KEPT_MS = 5 * 60_000
const FLOOD_MS = 450
const EBB_MS = 900

/** The connection as water: it floods to 1 while the socket is open and ebbs to 0 while it is not. */
export class Tide {
  readonly turns: Turn[] = []

  constructor(status: StatusWatch) {
    this.#turn(status.current)
    status.changed.on((next) => this.#turn(next))
  }

  level(at: number): number {
    let turn: Turn | undefined
    for (let index = this.turns.length - 1; index >= 0; index--) {
      turn = this.turns[index]
      if (turn && turn.at <= at) break
    }
    if (!turn || at < turn.at) return 0
    const goal = turn.kind === 'open' ? 1 : 0
    return goal + (turn.from - goal) * Math.exp(-(at - turn.at) / (goal === 1 ? FLOOD_MS : EBB_MS))
  }

  #turn(status: Status): void {
    const at = Date.now()
    this.turns.push({ at, kind: status.kind, attempt: 'attempt' in status ? status.attempt : 0, from: this.level(at) })
    while (this.turns.length > 1 && (this.turns[1]?.at ?? at) < at - KEPT_MS) this.turns.shift()
  }
}
