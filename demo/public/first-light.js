// Runs before the first paint, so that a chosen theme never flashes the other one.
;(function () {
  var theme = null
  try {
    theme = localStorage.getItem('tidings.demo.theme')
  } catch (blocked) {
    // The system's theme is then used.
  }
  if (theme !== 'light' && theme !== 'dark') {
    theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'
  }
  document.documentElement.dataset.theme = theme
})()
