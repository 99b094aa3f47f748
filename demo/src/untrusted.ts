// Anyone may publish to a demo channel, so each field is read with suspicion.

export function numberField(data: unknown, name: string): number | undefined {
  const value = field(data, name)
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

/** Cut to the limit; undefined when there is no text but blanks. */
export function textField(data: unknown, name: string, limit: number): string | undefined {
  const value = field(data, name)
  return typeof value === 'string' && value.trim() ? value.slice(0, limit) : undefined
}

function field(data: unknown, name: string): unknown {
  return typeof data === 'object' && data !== null ? (data as Record<string, unknown>)[name] : undefined
}
