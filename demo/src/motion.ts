const reduced = matchMedia('(prefers-reduced-motion: reduce)')

export function motionIsReduced(): boolean {
  return reduced.matches
}
