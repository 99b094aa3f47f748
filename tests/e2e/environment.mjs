// What the tests are given by whoever runs them.

function required(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: run these tests by "cargo xtask test"`)
  return value
}

/** The gateway's binary. */
export const binary = () => required('TIDINGS_BIN')

/** The packed npm package. */
export const tarball = () => required('TIDINGS_TARBALL')

/** The environment of a gateway, to which a variable that begins with TIDINGS_ is a setting. */
export const environment = () =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TIDINGS_')))

export const chromiumPath = process.env.CHROMIUM || '/usr/bin/chromium'
