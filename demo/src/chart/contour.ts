/** Heights on a regular grid, row by row. */
export interface Grid {
  columns: number
  rows: number
  heights: Float32Array
}

/** Alternating x and y in grid units; the last point joins the first. */
export type Loop = number[]

// Marching squares. Each pair is an edge walked in on and an edge walked out on, with the higher ground always
// on the right hand, so that the pieces join into closed loops. Edges: 0 top, 1 right, 2 bottom, 3 left.
const PIECES: readonly (readonly (readonly [number, number])[])[] = [
  [], [[3, 2]], [[2, 1]], [[3, 1]], [[1, 0]], [[1, 0], [3, 2]], [[2, 0]], [[3, 0]],
  [[0, 3]], [[0, 2]], [[0, 3], [2, 1]], [[0, 1]], [[1, 3]], [[1, 2]], [[2, 3]], [],
]

/** The lines along which the ground has this height. The grid's rim must lie below it. */
export function contour(grid: Grid, level: number): Loop[] {
  const next = walk(grid, level)
  const loops: Loop[] = []
  for (const [start] of next) {
    const loop: Loop = []
    let edge: number | undefined = start
    while (edge !== undefined && next.has(edge)) {
      pushCrossing(grid, level, edge, loop)
      const following: number | undefined = next.get(edge)
      next.delete(edge)
      edge = following
    }
    if (loop.length >= 6) loops.push(loop)
  }
  return loops
}

// An edge's number is twice that of the grid point it starts at, plus one when it runs down and not across.
function walk({ columns, rows, heights }: Grid, level: number): Map<number, number> {
  const next = new Map<number, number>()
  for (let row = 0; row < rows - 1; row++) {
    for (let column = 0; column < columns - 1; column++) {
      const point = row * columns + column
      const above = (offset: number): number => ((heights[point + offset] ?? 0) > level ? 1 : 0)
      const corners = above(0) * 8 + above(1) * 4 + above(columns + 1) * 2 + above(columns)
      const edges = [point * 2, (point + 1) * 2 + 1, (point + columns) * 2, point * 2 + 1]
      for (const [from, to] of PIECES[corners] ?? []) next.set(edges[from] ?? 0, edges[to] ?? 0)
    }
  }
  return next
}

function pushCrossing({ columns, heights }: Grid, level: number, edge: number, loop: Loop): void {
  const point = edge >> 1
  const down = edge & 1
  const a = heights[point] ?? 0
  const b = heights[point + (down ? columns : 1)] ?? 0
  const share = (level - a) / (b - a)
  const column = point % columns
  const row = Math.floor(point / columns)
  loop.push(column + (down ? 0 : share), row + (down ? share : 0))
}
