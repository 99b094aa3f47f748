// The real gateway, beside an application.

import { startServer } from '../e2e/server.mjs'

/** Starts a gateway that lets pages of these origins connect; it stops when the test ends. */
export function startGateway(t, ...origins) {
  const allowed = origins.flatMap((origin) => ['--allow-origin', origin])
  return startServer(t, ['--allow-client-publish', 'package.*', ...allowed])
}
