const format = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
})

/** Wall clock time of a moment in milliseconds since 1970, to the second. */
export function timeOfDay(at: number): string {
  return format.format(at)
}

/** The same with milliseconds. */
export function timeOfDayExact(at: number): string {
  return `${format.format(at)}.${String(Math.floor(at) % 1000).padStart(3, '0')}`
}

/** A thin space between thousands, as tide tables print them. */
export function milliseconds(value: number): string {
  return `${Math.max(0, Math.round(value)).toLocaleString('en').replaceAll(',', '\u2009')} ms`
}
