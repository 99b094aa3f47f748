/** A height for every point of a room's chart, from about -1 (deep) to 1 (hills); x and y from 0 to 1. */
export type Terrain = (x: number, y: number) => number

/** The same seed always gives the same coast. */
export function terrain(seed: number): Terrain {
  const noise = valueNoise(seed)
  const turn = seed * 1.7
  const islandX = 0.3 + 0.4 * noise(seed, 1.5)
  const islandY = 0.4 + 0.25 * noise(1.5, seed)
  return (x, y) => {
    const rough = 0.55 * noise(x * 3.2 + 9, y * 2.2) + 0.28 * noise(x * 6.4, y * 4.4 + 5) + 0.13 * noise(x * 13, y * 9)
    const coast = 0.62 * ((x - 0.5) * Math.cos(turn) + (y - 0.5) * Math.sin(turn))
    const island = 0.5 * Math.exp(-((x - islandX) ** 2 + ((y - islandY) * 0.7) ** 2) / 0.012)
    return rough * 1.5 - 0.92 + coast + island
  }
}

function valueNoise(seed: number): (x: number, y: number) => number {
  const at = (x: number, y: number): number => {
    let hash = Math.imul(x, 374761393) ^ Math.imul(y, 668265263) ^ Math.imul(seed, 974634777)
    hash = Math.imul(hash ^ (hash >>> 13), 1274126177)
    return ((hash ^ (hash >>> 16)) >>> 0) / 4294967296
  }
  const ease = (t: number): number => t * t * (3 - 2 * t)
  const mix = (a: number, b: number, t: number): number => a + (b - a) * t
  return (x, y) => {
    const left = Math.floor(x)
    const top = Math.floor(y)
    const across = ease(x - left)
    return mix(
      mix(at(left, top), at(left + 1, top), across),
      mix(at(left, top + 1), at(left + 1, top + 1), across),
      ease(y - top),
    )
  }
}
