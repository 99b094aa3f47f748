import { colourOf, isColour, type Colour } from './palette'
import { NAME_LIMIT } from './person'

// Anyone may publish to a demo channel, so each field is read with suspicion.

export const TEXT_LIMIT = 500

export interface Sender {
  /** Absent when the event was not published by this page, for example by curl. */
  tab?: string
  from: string
  colour: Colour
}

export interface ChatPayload extends Sender {
  text: string
  /** The sender's own key, by which it knows its message again. */
  key?: string
}

export interface PointPayload extends Sender {
  x: number
  y: number
}

export function readSender(data: unknown): Sender | undefined {
  if (!isRecord(data)) return undefined
  const from = text(data['from'], NAME_LIMIT) ?? 'someone'
  const colour = isColour(data['colour']) ? data['colour'] : colourOf(from)
  const tab = text(data['tab'], 64)
  return tab === undefined ? { from, colour } : { tab, from, colour }
}

export function readChat(data: unknown): ChatPayload | undefined {
  const sender = readSender(data)
  if (!sender || !isRecord(data)) return undefined
  const body = text(data['text'], TEXT_LIMIT)
  if (body === undefined) return undefined
  const key = text(data['key'], 64)
  return key === undefined ? { ...sender, text: body } : { ...sender, text: body, key }
}

/** A point on a room's chart: both axes from 0 to 1. */
export function readPoint(data: unknown): PointPayload | undefined {
  const sender = readSender(data)
  if (!sender || !isRecord(data)) return undefined
  const { x, y } = data
  return isShare(x) && isShare(y) ? { ...sender, x, y } : undefined
}

export function readNumber(data: unknown, name: string): number | undefined {
  const value = isRecord(data) ? data[name] : undefined
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isShare(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 1
}

function text(value: unknown, limit: number): string | undefined {
  return typeof value === 'string' && value.trim() ? value.slice(0, limit) : undefined
}
