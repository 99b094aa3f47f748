import { defineConfig, type Plugin } from 'vite'

const gateway = 'http://127.0.0.1:8080'

// Only in the built page: the development server injects its styles inline.
const contentSecurityPolicy: Plugin = {
  name: 'content-security-policy',
  apply: 'build',
  transformIndexHtml: () => [
    {
      tag: 'meta',
      injectTo: 'head-prepend',
      attrs: {
        'http-equiv': 'Content-Security-Policy',
        content: "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'",
      },
    },
  ],
}

export default defineConfig({
  base: './',
  plugins: [contentSecurityPolicy],
  // An inlined asset would be a data: URL, which the policy above refuses.
  build: { target: 'es2023', assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: {
    proxy: {
      '/_broadcast': { target: gateway, ws: true },
      '/api': { target: gateway },
    },
  },
})
