// What the tests are given by whoever runs them.

function required(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: run these tests by "cargo xtask test e2e"`)
  return value
}

/** The gateway's binary. */
export const binary = () => required('TIDINGS_BIN')

/** The packed npm package. */
export const tarball = () => required('TIDINGS_TARBALL')

export const chromiumPath = process.env.CHROMIUM || '/usr/bin/chromium'
